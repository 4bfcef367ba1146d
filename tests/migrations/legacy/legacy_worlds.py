"""Databases as they were before the plan: a few thousand rows of each service on its baseline, clean or with conflicts.

Ids are made of names, so that a test can tell what it will find. A clean database is made once per service and session
and then cloned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import md5
from pathlib import Path
from typing import Any, Final, LiteralString, cast
from uuid import UUID

import psycopg
from alembic import command
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_migrate.plan import Plan, load_plan

ROOT: Final = Path(__file__).parents[3]

ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "identity": (
        """
        INSERT INTO app_user (user_id, email, default_org_id)
        SELECT md5('user' || n)::uuid, 'User.' || n || '@Example.com', md5('org' || n % 500)::uuid
        FROM generate_series(1, 2000) AS n
        """,
        """
        INSERT INTO membership (org_id, user_id, role, status)
        SELECT md5('org' || n % 500)::uuid, md5('user' || n)::uuid,
            (ARRAY['Owner', 'Admin', 'User'])[1 + n % 3], (ARRAY['active', 'pending'])[1 + n % 2]
        FROM generate_series(1, 2000) AS n
        """,
        # One in three is still live; an address is invited again by its organisation once the last invitation ended.
        """
        INSERT INTO invitation (invitation_id, org_id, email, role, token_hash, expires_at, consumed_at, revoked_at)
        SELECT md5('invitation' || n)::uuid, md5('org' || n % 500)::uuid, ' Guest' || n / 3 || '@Example.org ', 'User',
            sha256(n::text::bytea), '2025-10-01'::timestamptz + n * interval '1 minute',
            CASE WHEN n % 3 = 1 THEN '2025-09-01'::timestamptz END,
            CASE WHEN n % 3 = 2 THEN '2025-09-02'::timestamptz END
        FROM generate_series(1, 1500) AS n
        """,
        """
        INSERT INTO global_setting (key, value, value_type, scope, updated_at)
        VALUES ('invite_daily_limit', '50', 'int', 'global', '2025-01-01'),
            ('invite_token_ttl_hours', '24', 'int', 'global', '2025-01-01')
        """,
        """
        INSERT INTO domain_claim (claim_id, org_id, domain, status, verified_at, proof)
        SELECT md5('claim' || n)::uuid, md5('org' || n)::uuid, 'company' || n / 2 || '.example.com',
            CASE WHEN n % 2 = 1 THEN 'revoked' WHEN n % 4 = 0 THEN 'verified' ELSE 'pending' END,
            CASE WHEN n % 4 = 0 THEN '2025-03-01'::timestamptz END,
            CASE WHEN n % 4 = 0 THEN '{"by": "phone"}'::jsonb END
        FROM generate_series(0, 399) AS n
        """,
    ),
    "ledger": (
        """
        INSERT INTO partner (partner_id, name, payout_currency, status)
        SELECT md5('partner' || n)::uuid, 'Partner ' || n, (ARRAY['AUD', 'NZD'])[1 + n % 2], 'active'
        FROM generate_series(1, 60) AS n
        """,
        # Of each subject two intervals that touch, the second one open.
        """
        INSERT INTO partner_of_record (por_id, subject_type, subject_id, partner_id, start_at, end_at, status)
        SELECT md5('por' || n)::uuid, (ARRAY['org', 'billing_account'])[1 + n % 2], md5('org' || n / 4)::uuid,
            md5('partner' || 1 + n % 60)::uuid,
            CASE WHEN n / 2 % 2 = 0 THEN '2024-01-01' ELSE '2025-01-01' END::timestamptz,
            CASE WHEN n / 2 % 2 = 0 THEN '2025-01-01'::timestamptz END,
            CASE WHEN n / 2 % 2 = 0 THEN 'expired' ELSE 'active' END
        FROM generate_series(0, 1599) AS n
        """,
        """
        INSERT INTO commission_rate (rate_id, partner_tier, match_kind, match_value, pct, effective_at)
        SELECT md5('rate' || n)::uuid, 'tier' || n % 5, (ARRAY['sku', 'sku_type', 'default'])[1 + n % 3],
            (ARRAY['SKU-' || n, 'action', ''])[1 + n % 3], n % 101, '2024-01-01'
        FROM generate_series(1, 300) AS n
        """,
    ),
    "pricing": (
        """
        INSERT INTO product_sku (sku, type, unit, cost, retail, tax_code, metadata)
        SELECT 'SKU-' || n, (ARRAY['hosting', 'object', 'validation', 'action', 'analytics'])[1 + n % 5], 'use',
            CASE WHEN n % 3 = 0 THEN 0.01 END, 0.02, 'GST', '{"old": true}'
        FROM generate_series(1, 50) AS n
        """,
        """
        INSERT INTO plan (plan_id, name, tier, currency, base_price)
        SELECT md5('plan' || n)::uuid, 'Plan ' || n, CASE WHEN n % 2 = 0 THEN 'gold' END, 'AUD', n
        FROM generate_series(1, 60) AS n
        """,
        """
        INSERT INTO plan_sku (plan_id, sku, included_qty, overage_price, tiers, charge_model)
        SELECT md5('plan' || p)::uuid, 'SKU-' || s, 100, 0.02,
            CASE WHEN s % 4 = 0 THEN '[{"threshold": "1000", "price": "0.018"}, {"threshold": 5000, "price": "0.015"}]'
                ELSE '[]' END::jsonb,
            CASE WHEN s % 4 = 0 THEN (ARRAY['graduated', 'volume'])[1 + p % 2] ELSE 'per_unit' END
        FROM generate_series(1, 60) AS p, generate_series(1, 50) AS s
        """,
    ),
    "metering": (
        """
        INSERT INTO metering_event (event_id, org_id, project_id, sku, quantity, event_time, request_id, metadata)
        SELECT md5('event' || n)::uuid, md5('org' || n % 300)::uuid, NULL, 'SKU-' || n % 50, n,
            '2025-08-01'::timestamptz + n * interval '1 minute', 'request-' || n / 300, '{"old": true}'
        FROM generate_series(1, 3000) AS n
        """,
    ),
    # Trees of 1 + 4 + 16 + ...: the parent of n is (n - 1) / 4 of the same tree; every other one keeps self rows.
    "orgs": (
        """
        INSERT INTO organization (org_id, legal_name, org_slug, billing_email, visibility, parent_org_id)
        SELECT md5('org' || t || '/' || n)::uuid, 'Org ' || t || '/' || n, 'org-' || t || '-' || n, 'bills@example.com',
            (ARRAY['private', 'partners', 'public'])[1 + n % 3],
            CASE WHEN n > 0 THEN md5('org' || t || '/' || (n - 1) / 4)::uuid END
        FROM generate_series(1, 20) AS t, generate_series(0, 84) AS n
        """,
        """
        INSERT INTO org_hierarchy (ancestor_org_id, descendant_org_id, depth)
        WITH RECURSIVE up (descendant, ancestor, depth, next) AS (
            SELECT org_id, org_id, 0, parent_org_id FROM organization
            UNION ALL
            SELECT up.descendant, p.org_id, up.depth + 1, p.parent_org_id
            FROM up JOIN organization AS p ON p.org_id = up.next
        )
        SELECT ancestor, descendant, depth FROM up WHERE depth > 0 OR ancestor::text < '8'
        """,
        """
        INSERT INTO billing_account (billing_account_id, owner_org_id, name, currency)
        SELECT md5('account' || t)::uuid, md5('org' || t || '/0')::uuid, 'Account ' || t, 'AUD'
        FROM generate_series(1, 15) AS t
        """,
        """
        INSERT INTO org_billing_mapping (mapping_id, org_id, billing_account_id, allocation, percent, effective_at)
        SELECT md5('mapping' || t || '/' || n)::uuid, md5('org' || t || '/' || n)::uuid, md5('account' || t)::uuid,
            (ARRAY['absorb', 'chargeback', 'split'])[1 + n % 3], CASE WHEN n % 3 = 2 THEN 62.5 END, '2024-01-01'
        FROM generate_series(1, 15) AS t, generate_series(0, 84) AS n
        """,
    ),
}
"""What a clean legacy database holds."""

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "identity": {
        "app_user": "user_id, email::text, default_org_id",
        "membership": "org_id, user_id, role, status",
        "invitation": "invitation_id, org_id, email, role, token_hash, expires_at, consumed_at, revoked_at, invited_by",
        "global_setting": "key, value, value_type, scope, updated_at",
        "domain_claim": "claim_id, org_id, domain, status, verified_at, proof",
    },
    "ledger": {
        "partner": "partner_id, name, payout_currency, status",
        "partner_of_record": "por_id, subject_type, subject_id, partner_id, start_at, end_at, status",
        "commission_rate": "rate_id, partner_tier, match_kind, match_value, pct, effective_at",
    },
    "pricing": {
        "product_sku": "sku, type, unit, cost, retail, tax_code, metadata",
        "plan": "plan_id, name, tier, currency, base_price, notes",
        "plan_sku": "plan_id, sku, included_qty, overage_price, tiers, charge_model",
    },
    "metering": {
        "metering_event": "event_id, org_id, project_id, sku, quantity, event_time, request_id, metadata",
    },
    "orgs": {
        "organization": "org_id, legal_name, org_slug, billing_email, default_timezone, tax_id, visibility,"
        " parent_org_id",
        "billing_account": "billing_account_id, owner_org_id, name, currency, status, account_no",
        "org_billing_mapping": "mapping_id, org_id, billing_account_id, allocation, percent, effective_at,"
        " declared_order",
        "org_hierarchy": "ancestor_org_id, descendant_org_id, depth",
    },
}
"""The tables that stood before, with their columns of then."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Something planted: what it is called, how it is planted, which check finds it and which fix mends it.

    `groups` are the ids that the report must name, a set for each group.
    """

    name: str
    service: str
    check: str
    fix: str | None
    plant: tuple[str, ...]
    groups: tuple[frozenset[str], ...]


def named(name: str) -> str:
    """The id that the rows above make of a name: `md5(name)::uuid`."""
    return str(UUID(md5(name.encode(), usedforsecurity=False).hexdigest()))


def group(*names: str) -> frozenset[str]:
    """The ids of some names."""
    return frozenset(named(name) for name in names)


CONFLICTS: Final = (
    Conflict(
        name="a domain held twice, in two spellings",
        service="identity",
        check="duplicate_domains",
        fix="duplicate-domains",
        # claim4 is verified for company2; claim8 holds company4 already and is joined by a pending one.
        plant=(
            """
            INSERT INTO domain_claim VALUES
                (md5('second')::uuid, md5('org9')::uuid, 'company2.example.com', 'pending', NULL, NULL),
                (md5('third')::uuid, md5('org9')::uuid, 'company2.example.com', 'verified', '2025-04-01', '{}'),
                (md5('fourth')::uuid, md5('org9')::uuid, 'Company4.example.com.', 'pending', NULL, NULL)
            """,
        ),
        groups=(group("claim4", "second", "third"), group("claim8", "fourth")),
    ),
    Conflict(
        name="a domain in capitals and with a dot",
        service="identity",
        check="malformed_domains",
        fix="malformed-domains",
        plant=("UPDATE domain_claim SET domain = 'Company2.Example.Com.' WHERE claim_id = md5('claim4')::uuid",),
        groups=(group("claim4"),),
    ),
    Conflict(
        name="a claim verified without proof",
        service="identity",
        check="unproved_claims",
        fix="unproved-claims",
        plant=("UPDATE domain_claim SET proof = NULL WHERE claim_id = md5('claim8')::uuid",),
        groups=(group("claim8"),),
    ),
    Conflict(
        name="an address invited twice",
        service="identity",
        check="duplicate_invitations",
        fix="duplicate-invitations",
        plant=(
            """
            INSERT INTO invitation
            SELECT md5('again')::uuid, org_id, upper(btrim(email)), role, sha256('again'), '2030-01-01'
            FROM invitation WHERE invitation_id = md5('invitation3')::uuid
            """,
        ),
        groups=(group("invitation3", "again"),),
    ),
    Conflict(
        name="an invitation that was accepted and revoked",
        service="identity",
        check="invitation_ends",
        fix="invitation-ends",
        plant=("UPDATE invitation SET revoked_at = '2025-09-03' WHERE invitation_id = md5('invitation1')::uuid",),
        groups=(group("invitation1"),),
    ),
    Conflict(
        name="a membership of nobody",
        service="identity",
        check="orphaned_memberships",
        fix="orphaned-memberships",
        plant=("INSERT INTO membership VALUES (md5('org1')::uuid, md5('nobody')::uuid, 'User', 'active')",),
        groups=(group("org1"),),
    ),
    Conflict(
        name="a partner of record inside another's time",
        service="ledger",
        check="overlapping_por",
        fix="overlapping-por",
        # por0 and por2 are those of one subject, por1 and por3 of another; 'same' starts with por3.
        plant=(
            """
            INSERT INTO partner_of_record
            SELECT md5('inside')::uuid, subject_type, subject_id, partner_id, '2024-06-01', '2024-07-01', 'disputed'
            FROM partner_of_record WHERE por_id = md5('por0')::uuid
            """,
            """
            INSERT INTO partner_of_record
            SELECT md5('same')::uuid, subject_type, subject_id, partner_id, start_at, NULL, 'expired'
            FROM partner_of_record WHERE por_id = md5('por3')::uuid
            """,
        ),
        groups=(group("por0", "inside"), group("por3", "same")),
    ),
    Conflict(
        name="a partner of record that never held",
        service="ledger",
        check="empty_intervals",
        fix="empty-intervals",
        plant=("UPDATE partner_of_record SET end_at = start_at WHERE por_id = md5('por4')::uuid",),
        groups=(group("por4"),),
    ),
    Conflict(
        name="a partner of record who is no partner",
        service="ledger",
        check="orphaned_por",
        fix="orphaned-por",
        plant=("UPDATE partner_of_record SET partner_id = md5('nobody')::uuid WHERE por_id = md5('por5')::uuid",),
        groups=(group("por5"),),
    ),
    Conflict(
        name="rates beyond 0 and 100 and of no number",
        service="ledger",
        check="rates_out_of_range",
        fix="rates-out-of-range",
        plant=(
            "UPDATE commission_rate SET pct = 150 WHERE rate_id = md5('rate1')::uuid",
            "UPDATE commission_rate SET pct = -0.5 WHERE rate_id = md5('rate2')::uuid",
            "UPDATE commission_rate SET pct = 'NaN' WHERE rate_id = md5('rate3')::uuid",
        ),
        groups=(group("rate1"), group("rate2"), group("rate3")),
    ),
    Conflict(
        name="tiers that do not rise",
        service="pricing",
        check="unsorted_tiers",
        fix="unsorted-tiers",
        plant=(
            """
            UPDATE plan_sku SET charge_model = 'graduated', tiers = '[{"threshold": "5000", "price": "0.015"},
                {"threshold": "1000", "price": "0.018"}, {"threshold": "5000", "price": "0.015"}]'
            WHERE plan_id = md5('plan1')::uuid AND sku IN ('SKU-4', 'SKU-5')
            """,
        ),
        groups=(frozenset({"SKU-4", "SKU-5"}),),
    ),
    Conflict(
        name="tiers that nobody would charge by",
        service="pricing",
        check="charge_models",
        fix="charge-models",
        plant=("UPDATE plan_sku SET charge_model = 'per_unit' WHERE plan_id = md5('plan2')::uuid AND sku = 'SKU-8'",),
        groups=(frozenset({f"{named('plan2')}/SKU-8"}),),
    ),
    Conflict(
        name="a row of a plan said twice",
        service="pricing",
        check="duplicate_plan_rows",
        fix="duplicate-plan-rows",
        plant=("INSERT INTO plan_sku SELECT * FROM plan_sku WHERE plan_id = md5('plan3')::uuid AND sku = 'SKU-1'",),
        groups=(frozenset({"0.020000000000"}),),
    ),
    Conflict(
        name="a row of a SKU that is gone",
        service="pricing",
        check="orphaned_plan_rows",
        fix="orphaned-plan-rows",
        plant=("INSERT INTO plan_sku VALUES (md5('plan4')::uuid, 'SKU-GONE', 0, 1)",),
        groups=(frozenset({f"{named('plan4')}/SKU-GONE"}),),
    ),
    Conflict(
        name="two plans of one name",
        service="pricing",
        check="duplicate_plan_names",
        fix="duplicate-plan-names",
        plant=("UPDATE plan SET name = 'Plan 6' WHERE plan_id = md5('plan5')::uuid",),
        groups=(group("plan5", "plan6"),),
    ),
    Conflict(
        name="request ids that came again, the same and otherwise",
        service="metering",
        check="duplicate_request_ids",
        fix="duplicate-request-ids",
        plant=(
            """
            INSERT INTO metering_event
            SELECT md5('twin')::uuid, org_id, project_id, sku, quantity, event_time, request_id, metadata
            FROM metering_event WHERE event_id = md5('event300')::uuid
            """,
            """
            INSERT INTO metering_event
            SELECT md5('other')::uuid, org_id, project_id, sku, quantity + 1, event_time + interval '1 hour',
                request_id, metadata
            FROM metering_event WHERE event_id = md5('event300')::uuid
            """,
        ),
        groups=(group("event300", "twin", "other"),),
    ),
    Conflict(
        name="a parent that is gone",
        service="orgs",
        check="orphaned_parents",
        fix="orphaned-parents",
        plant=("UPDATE organization SET parent_org_id = md5('nobody')::uuid WHERE org_id = md5('org1/0')::uuid",),
        groups=(group("org1/0"),),
    ),
    Conflict(
        name="parents in a circle",
        service="orgs",
        check="hierarchy_cycles",
        fix="hierarchy-cycles",
        # org2/0 is the root above org2/1, which is the parent of org2/5; org3/0 becomes its own parent.
        plant=(
            "UPDATE organization SET parent_org_id = md5('org2/5')::uuid WHERE org_id = md5('org2/0')::uuid",
            "UPDATE organization SET parent_org_id = org_id WHERE org_id = md5('org3/0')::uuid",
        ),
        groups=(group("org2/0", "org2/1", "org2/5"), group("org3/0")),
    ),
    Conflict(
        name="a closure that drifted",
        service="orgs",
        check="closure_drift",
        fix="closure-drift",
        # A row lacks, a row has another depth, and a row says what no pointer does.
        plant=(
            """
            DELETE FROM org_hierarchy
            WHERE descendant_org_id = md5('org4/5')::uuid AND ancestor_org_id = md5('org4/0')::uuid
            """,
            """
            UPDATE org_hierarchy SET depth = 7
            WHERE descendant_org_id = md5('org4/6')::uuid AND ancestor_org_id = md5('org4/1')::uuid
            """,
            "INSERT INTO org_hierarchy VALUES (md5('org5/0')::uuid, md5('org4/7')::uuid, 9)",
        ),
        groups=(group("org4/0"), group("org4/1"), group("org5/0")),
    ),
    Conflict(
        name="a row of the closure twice",
        service="orgs",
        check="duplicate_closure_rows",
        fix="closure-drift",
        plant=("INSERT INTO org_hierarchy VALUES (md5('org6/0')::uuid, md5('org6/1')::uuid, 1)",),
        groups=(group("org6/0"),),
    ),
    Conflict(
        name="two organisations of one slug",
        service="orgs",
        check="duplicate_slugs",
        fix="duplicate-slugs",
        plant=("UPDATE organization SET org_slug = 'org-7-1' WHERE org_id = md5('org7/2')::uuid",),
        groups=(group("org7/1", "org7/2"),),
    ),
    Conflict(
        name="mappings of nobody and to nothing",
        service="orgs",
        check="orphaned_mappings",
        fix="orphaned-mappings",
        plant=(
            """
            INSERT INTO org_billing_mapping VALUES
                (md5('of nobody')::uuid, md5('nobody')::uuid, md5('account1')::uuid, 'absorb', NULL, '2024-01-01'),
                (md5('to nothing')::uuid, md5('org8/1')::uuid, md5('nothing')::uuid, 'absorb', NULL, '2023-01-01')
            """,
        ),
        groups=(group("of nobody"), group("to nothing")),
    ),
    Conflict(
        name="two mappings from one instant on",
        service="orgs",
        check="duplicate_mappings",
        fix="duplicate-mappings",
        plant=(
            """
            INSERT INTO org_billing_mapping
            SELECT md5('later')::uuid, org_id, billing_account_id, 'absorb', NULL, effective_at
            FROM org_billing_mapping WHERE mapping_id = md5('mapping9/1')::uuid
            """,
        ),
        groups=(group("mapping9/1", "later"),),
    ),
    Conflict(
        name="percentages beyond 0 and 100",
        service="orgs",
        check="percentages_out_of_range",
        fix="percentages-out-of-range",
        plant=(
            "UPDATE org_billing_mapping SET percent = 120 WHERE mapping_id = md5('mapping10/2')::uuid",
            "UPDATE org_billing_mapping SET percent = -1 WHERE mapping_id = md5('mapping10/5')::uuid",
        ),
        groups=(group("mapping10/2"), group("mapping10/5")),
    ),
    Conflict(
        name="a percentage where nothing is split",
        service="orgs",
        check="mapping_allocations",
        fix="mapping-allocations",
        plant=("UPDATE org_billing_mapping SET percent = 10 WHERE mapping_id = md5('mapping11/0')::uuid",),
        groups=(group("mapping11/0"),),
    ),
)
"""What can be planted and mended by a command."""


@dataclass(frozen=True)
class LegacyWorld:
    """Databases of some services, each on its baseline with the rows of before."""

    databases: Mapping[str, ServiceDatabase]
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The plan's steps of these services, as a plan of their own."""
        plan = load_plan()
        steps = [step for step in plan.steps if step.service in self.databases]
        return replace(plan, steps=tuple(replace(step, number=number) for number, step in enumerate(steps, start=1)))

    def execute(self, service: str, *statements: str) -> None:
        """Run statements as the owner, in one transaction."""
        with self.session(service) as session:
            for statement in statements:
                session.execute(statement.encode())

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.session(service) as session:
            return session.execute(query.encode()).fetchall()

    @contextmanager
    def session(self, service: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A session of the owner, committed at its end."""
        with psycopg.connect(self.databases[service].owner_url) as session:
            yield session

    def versions(self) -> dict[str, str | None]:
        """Where each service stands."""
        return {
            service: self.rows(service, "SELECT max(version_num) FROM alembic_version")[0][0]
            for service in self.databases
        }

    def contents(self, service: str) -> dict[str, list[str]]:
        """Every row of the tables of before, in the columns of before, as text and in order."""
        return {
            table: [
                json.dumps(row, default=str)
                for row in self.rows(service, f"SELECT {columns} FROM {table} ORDER BY ({columns})::text")
            ]
            for table, columns in TABLES[service].items()
        }

    def drop(self, factory: DatabaseFactory) -> None:
        """Drop the databases."""
        for database in self.databases.values():
            factory.drop(database.name)


def legacy_world(
    factory: DatabaseFactory, services: Iterable[str] = SERVICES, conflicts: Iterable[Conflict] = ()
) -> LegacyWorld:
    """Clean databases of services on their baselines, with conflicts planted."""
    databases = {service: _clean(factory, service) for service in services}
    environ = {f"{service.upper()}_MIGRATION_DATABASE_URL": made.owner_url for service, made in databases.items()}
    world = LegacyWorld(databases, environ)
    for conflict in conflicts:
        world.execute(conflict.service, *conflict.plant)
    return world


def legacy_schemas(factory: DatabaseFactory) -> LegacyWorld:
    """One database with a schema for each service, each on its baseline with the rows of before."""
    home, *_ = (factory.blank(service) for service in SERVICES)
    databases = {}
    for service in SERVICES:
        url = f"{home.owner_url}?options=-csearch_path%3D{service}"
        databases[service] = made = ServiceDatabase(service, home.name, url, url)
        with psycopg.connect(home.owner_url) as session:
            session.execute(cast(LiteralString, f"CREATE SCHEMA {service}"))
        _fill(factory, made)
    environ = {f"{service.upper()}_MIGRATION_DATABASE_URL": made.owner_url for service, made in databases.items()}
    return LegacyWorld(databases, environ)


def _clean(factory: DatabaseFactory, service: str) -> ServiceDatabase:
    """A clone of the service's clean legacy database."""
    return factory._clone(f"legacy:{service}", service, lambda made: _fill(factory, made))


def _fill(factory: DatabaseFactory, made: ServiceDatabase) -> None:
    """Bring an empty database to its baseline, and put the rows of before in."""
    command.upgrade(factory.alembic_config(made), f"{made.service}_baseline")
    with psycopg.connect(made.owner_url) as session:
        for statement in ROWS[made.service]:
            session.execute(cast(LiteralString, statement))
