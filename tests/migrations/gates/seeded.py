"""Rows for the tables of each revision: sound ones, so that nothing but their number is in the way.

The rows of a baseline stay through the revisions after it, as an operator's would, and so follow the schema. A revision
that makes a table gets statements of its own here, so that the gates of later ones find rows in it.
"""

# ruff: noqa: ISC004 (statements that begin with their verb are told apart well enough)
from __future__ import annotations

from typing import Final

import psycopg
from apportion_dev.testing.databases import ServiceDatabase

ROWS: Final = 20_000
"""Enough for a scan under a strong lock, a rewrite or an index to show; little enough for every run."""
SOME_ROWS: Final = 2_000
"""Of partners of record: an exclusion constraint cannot be built beside the writers, and they are thousands at most."""
CATALOG_ROWS: Final = 200
"""Of a catalog, which no operator lets grow."""

OUTBOX: Final = (
    "INSERT INTO lane_outbox (role, lane, pos, subject, payload)"
    " SELECT '{role}', n % 32, n / 32, 'subject', sha256(n::text::bytea) FROM {{many}}"
)

SEEDS: Final = {
    "identity_baseline": (
        "INSERT INTO app_user (user_id, email)"
        " SELECT md5('user' || n)::uuid, 'user' || n || '@example.com' FROM {many}",
        "INSERT INTO membership (org_id, user_id, role, status)"
        " SELECT md5('org' || n % 100)::uuid, md5('user' || n)::uuid, 'User', 'active' FROM {many}",
        "INSERT INTO invitation (invitation_id, org_id, email, role, token_hash, expires_at)"
        " SELECT md5('invitation' || n)::uuid, md5('org' || n % 100)::uuid, 'guest' || n || '@example.com', 'User',"
        " sha256(n::text::bytea), now() FROM {many}",
        "INSERT INTO global_setting (key, value, value_type, scope, updated_at)"
        " SELECT 'key' || n, '1', 'int', 'global', now() FROM {few}",
        "INSERT INTO domain_claim (claim_id, org_id, domain, status)"
        " SELECT md5('claim' || n)::uuid, md5('org' || n)::uuid, 'd' || n || '.example', 'pending' FROM {many}",
    ),
    "ledger_baseline": (
        "INSERT INTO partner (partner_id, name, payout_currency)"
        " SELECT md5('partner' || n)::uuid, 'Partner ' || n, 'AUD' FROM {many}",
        "INSERT INTO commission_rate (rate_id, partner_tier, match_kind, match_value, pct, effective_at)"
        " SELECT md5('rate' || n)::uuid, 'tier' || n, 'default', '', 10, '2025-01-01Z' FROM {few}",
        "INSERT INTO partner_of_record (por_id, subject_type, subject_id, partner_id, start_at)"
        " SELECT md5('por' || n)::uuid, 'org', md5('org' || n)::uuid, md5('partner' || n)::uuid, '2025-01-01Z'"
        " FROM {some}",
    ),
    "pricing_baseline": (
        "INSERT INTO product_sku (sku, type, unit) SELECT 'sku-' || n, 'action', 'call' FROM {few}",
        "INSERT INTO plan (plan_id, name, currency) SELECT md5('plan' || n)::uuid, 'Plan ' || n, 'AUD' FROM {few}",
        "INSERT INTO plan_sku (plan_id, sku, overage_price)"
        " SELECT md5('plan' || 1 + n % 100)::uuid, 'sku-' || 1 + n / 100, 1 FROM {many} WHERE n / 100 < 200",
    ),
    "metering_baseline": (
        "INSERT INTO metering_event (event_id, org_id, sku, quantity, event_time, request_id)"
        " SELECT md5('event' || n)::uuid, md5('org' || n % 100)::uuid, 'sku-1', 1, '2025-01-01Z', 'r' || n FROM {many}",
    ),
    "20250920_02_por_commission_ledger": (
        OUTBOX.format(role="ledger_poster"),
        "INSERT INTO ledger_line (entry_id, charge_id, event_id, kind, org_id, billing_account_id, mapping_id, sku,"
        " sku_type, quantity, currency, amount_gross, partner_id, partner_from_account, partner_pct, partner_amount,"
        " net, catalog_revision, orgs_revision, ledger_revision, lane, pos, seq, period, event_time, content_hash)"
        " SELECT md5('entry' || n)::uuid, md5('charge' || n)::uuid, md5('event' || n)::uuid, 'usage',"
        " md5('org' || n % 100)::uuid, md5('account' || n % 100)::uuid, md5('mapping' || n % 100)::uuid, 'sku-1',"
        " 'action', 1, 'AUD', 1, md5('partner' || n % 100)::uuid, false, 10, 0.1, 0.9, 0, 0, 0, n % 32, n / 32, n / 32,"
        " '2025-01', '2025-01-01Z', sha256(n::text::bytea) FROM {many}",
    ),
    "20250920_03_business_model_entitlements": (
        OUTBOX.format(role="pricing_rater"),
        "INSERT INTO charge (charge_id, event_id, org_id, billing_account_id, mapping_id, plan_id, sku, sku_type, kind,"
        " mode, quantity, quantity_before, currency, amount, event_time, period, included_revision, price_revision,"
        " tiers_revision, catalog_revision, orgs_revision, lane, pos, seq)"
        " SELECT md5('charge' || n)::uuid, md5('event' || n)::uuid, md5('org' || n % 100)::uuid,"
        " md5('account' || n % 100)::uuid, md5('mapping' || n % 100)::uuid, md5('plan1')::uuid, 'sku-1', 'action',"
        " 'usage', 'live', 1, 0, 'AUD', 1, '2025-01-01Z', '2025-01', 0, 0, 0, 0, 0, n % 32, n / 32, n / 32 FROM {many}",
    ),
    "20250920_04_metering_events": (OUTBOX.format(role="metering_writer"),),
    "orgs_baseline": (
        "INSERT INTO organization (org_id, legal_name, org_slug)"
        " SELECT md5('org' || n)::uuid, 'Org ' || n, 'org-' || n FROM {many}",
        "INSERT INTO billing_account (billing_account_id, owner_org_id, name, currency)"
        " SELECT md5('account' || n)::uuid, md5('org' || n)::uuid, 'Account ' || n, 'AUD' FROM {many}",
        "INSERT INTO org_billing_mapping (mapping_id, org_id, billing_account_id, allocation, effective_at)"
        " SELECT md5('mapping' || n)::uuid, md5('org' || n)::uuid, md5('account' || n)::uuid, 'absorb', '2025-01-01Z'"
        " FROM {many}",
        "INSERT INTO org_hierarchy (ancestor_org_id, descendant_org_id, depth)"
        " SELECT md5('org' || n)::uuid, md5('org' || n)::uuid, 0 FROM {many}",
    ),
}
"""The statements by the revision after which they run."""


def seed(database: ServiceDatabase, revision: str) -> None:
    """Fill the tables of a database that stands at a revision."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        for statement in SEEDS.get(revision, ()):
            many, some, few = (f"generate_series(1, {rows}) AS n" for rows in (ROWS, SOME_ROWS, CATALOG_ROWS))
            connection.execute(statement.format(many=many, some=some, few=few).encode())
        connection.execute("ANALYZE")
