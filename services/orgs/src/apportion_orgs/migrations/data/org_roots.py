"""Existing organisations become trees: closure rows of each, and of each root its default billing account and mapping.

A root that owns an account already keeps it as its default: the one that it is mapped to first, else the one with the
lowest number, open ones before closed ones. A root that has a mapping keeps its mappings; one that has none is on its
default account from 1970 on, as if it had been made today. Ids of what is made follow from the organisation's, so a
second copy of the database gets the same. It runs while hierarchies are not moved: the flag `org_hierarchy` opens
after it.
"""

from __future__ import annotations

from typing import Final

from apportion_common.db.head import take_revision
from apportion_migrate.data import ChunkResult, Key, in_page, next_page
from sqlalchemy import Connection, text

CHUNK_ROWS: Final = 2_000
"""Each organisation makes several rows, and the writers of orgs' configuration wait for a chunk."""
DEFAULT_CURRENCY: Final = "AUD"
"""What a root's account has where nobody says otherwise, as for organisations made today."""
ACTOR: Final = "migration:org_roots"

_NO_DEFAULT: Final = """
    o.parent_org_id IS NULL
    AND NOT EXISTS (SELECT FROM billing_account AS d WHERE d.owner_org_id = o.org_id AND d.is_default)
"""
_NO_SELF_ROW: Final = """
    NOT EXISTS (SELECT FROM org_hierarchy AS h WHERE h.ancestor_org_id = o.org_id AND h.descendant_org_id = o.org_id)
"""
_IN_PAGE: Final = in_page("o.org_id")

COUNT: Final = text(f"SELECT count(*) FROM organization AS o WHERE ({_NO_DEFAULT}) OR ({_NO_SELF_ROW})")
# Parent pointers that form a cycle come to an organisation above itself, which a check refuses: the chunk fails.
CLOSURE: Final = text(
    f"""
    WITH RECURSIVE up (ancestor_org_id, descendant_org_id, depth) AS (
        SELECT o.org_id, o.org_id, 0 FROM organization AS o WHERE {_IN_PAGE}
        UNION ALL
        SELECT p.parent_org_id, up.descendant_org_id, up.depth + 1
        FROM up JOIN organization AS p ON p.org_id = up.ancestor_org_id
        WHERE p.parent_org_id IS NOT NULL AND up.depth <= 32
    ), added AS (
        INSERT INTO org_hierarchy (ancestor_org_id, descendant_org_id, depth)
        SELECT ancestor_org_id, descendant_org_id, depth FROM up
        ON CONFLICT (ancestor_org_id, descendant_org_id) DO NOTHING
        RETURNING descendant_org_id
    )
    SELECT DISTINCT descendant_org_id FROM added
    """
)
ROOTS: Final = text(f"SELECT o.org_id FROM organization AS o WHERE {_IN_PAGE} AND {_NO_DEFAULT}")
KEEP: Final = text(
    f"""
    WITH chosen AS (
        SELECT o.org_id, (
            SELECT a.billing_account_id FROM billing_account AS a
            LEFT JOIN org_billing_mapping AS m
                ON m.billing_account_id = a.billing_account_id AND m.org_id = o.org_id
            WHERE a.owner_org_id = o.org_id
            ORDER BY a.status = 'closed', m.effective_at NULLS LAST, a.account_no LIMIT 1
        ) AS account_id
        FROM organization AS o WHERE {_IN_PAGE} AND {_NO_DEFAULT}
    ), changed AS (
        UPDATE billing_account AS a SET is_default = true FROM chosen
        WHERE a.billing_account_id = chosen.account_id
        RETURNING a.billing_account_id, a.owner_org_id
    )
    INSERT INTO audit_entry (audit_id, actor, org_id, action, resource, before, after)
    SELECT gen_random_uuid(), '{ACTOR}', owner_org_id, 'billing_account.make_default',
        'billing_account/' || billing_account_id, '{{"is_default": false}}', '{{"is_default": true}}'
    FROM changed
    """
)
MAKE: Final = text(
    f"""
    WITH made AS (
        INSERT INTO billing_account
            (billing_account_id, owner_org_id, name, currency, status, is_default, revision, created_by)
        SELECT encode(substr(sha256(convert_to('default_account.' || o.org_id, 'UTF8')), 1, 16), 'hex')::uuid,
            o.org_id, o.legal_name, coalesce(held.currency, '{DEFAULT_CURRENCY}'), 'active', true,
            CAST(:revision AS bigint), '{ACTOR}'
        FROM organization AS o
        LEFT JOIN LATERAL (
            SELECT a.currency FROM org_billing_mapping AS m
            JOIN billing_account AS a ON a.billing_account_id = m.billing_account_id
            WHERE m.org_id = o.org_id ORDER BY m.effective_at DESC LIMIT 1
        ) AS held ON true
        WHERE {_IN_PAGE} AND {_NO_DEFAULT}
        ON CONFLICT DO NOTHING
        RETURNING billing_account_id, owner_org_id, name, currency
    )
    INSERT INTO audit_entry (audit_id, actor, org_id, action, resource, after)
    SELECT gen_random_uuid(), '{ACTOR}', owner_org_id, 'billing_account.create',
        'billing_account/' || billing_account_id,
        jsonb_build_object('owner_org_id', owner_org_id, 'name', name, 'currency', currency, 'is_default', true,
            'revision', CAST(:revision AS bigint))
    FROM made
    """
)
MAP: Final = text(
    f"""
    WITH mapped AS (
        INSERT INTO org_billing_mapping
            (mapping_id, org_id, billing_account_id, allocation, effective_at, declared_order, revision, created_by)
        SELECT encode(substr(sha256(convert_to('default_mapping.' || o.org_id, 'UTF8')), 1, 16), 'hex')::uuid,
            o.org_id, a.billing_account_id, 'absorb', timestamptz '1970-01-01 00:00:00+00',
            1 + coalesce((
                SELECT max(n.declared_order) FROM org_billing_mapping AS n
                WHERE n.billing_account_id = a.billing_account_id
            ), 0),
            CAST(:revision AS bigint), '{ACTOR}'
        FROM organization AS o JOIN billing_account AS a ON a.owner_org_id = o.org_id AND a.is_default
        WHERE {_IN_PAGE} AND o.org_id = ANY(CAST(:roots AS uuid[]))
            AND NOT EXISTS (SELECT FROM org_billing_mapping AS m WHERE m.org_id = o.org_id)
        ON CONFLICT DO NOTHING
        RETURNING mapping_id, org_id, billing_account_id, allocation
    )
    INSERT INTO audit_entry (audit_id, actor, org_id, action, resource, after)
    SELECT gen_random_uuid(), '{ACTOR}', org_id, 'billing_mapping.create', 'org_billing_mapping/' || mapping_id,
        jsonb_build_object('org_id', org_id, 'billing_account_id', billing_account_id, 'allocation', allocation,
            'revision', CAST(:revision AS bigint))
    FROM mapped
    """
)


class OrgRoots:
    """Adds to existing organisations what CreateOrg makes for new ones."""

    name = "org_roots"
    service = "orgs"
    after_revision = "20250920_05_org_hierarchy_and_billing_accounts"
    chunk_rows = CHUNK_ROWS

    def count(self, connection: Connection) -> int:
        """Organisations without their own closure row, and roots without a default account."""
        return int(connection.execute(COUNT).scalar_one())

    def chunk(self, connection: Connection, after_key: Key | None) -> ChunkResult:
        """Complete the next organisations; what becomes known of them carries one new revision of the configuration."""
        page = next_page(connection, "organization", "org_id", after_key, self.chunk_rows)
        if page is None:
            return ChunkResult(None, 0)
        changed = set(connection.execute(CLOSURE, page).scalars())
        if connection.execute(ROOTS, page).first() is not None:
            # Looked at again under the lock: what was made meanwhile is seen by the next statement.
            revision = take_revision(connection)
            roots = list(connection.execute(ROOTS, page).scalars())
            connection.execute(KEEP, page)
            connection.execute(MAKE, page | {"revision": revision})
            connection.execute(MAP, page | {"revision": revision, "roots": roots})
            changed.update(roots)
        return ChunkResult(page["last"], len(changed))


MIGRATION: Final = OrgRoots()
