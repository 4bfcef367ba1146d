"""Invitation addresses as they are compared: in lower case, without blanks around them.

A live invitation stays as it is where its organisation has another live one of the same address: of two people who
could be meant, no program should choose. The pre-flight checks name such pairs.
"""

from __future__ import annotations

from typing import Final

from apportion_migrate.data import ChunkResult, Key, in_page, next_page
from sqlalchemy import Connection, text

CHUNK_ROWS: Final = 1_000
"""Below the usual: each change writes five indexes and an audit entry."""
BLANKS: Final = r"E' \t\r\n'"
NORMAL: Final = f"lower(btrim(email, {BLANKS}))"

COUNT: Final = text(f"SELECT count(*) FROM invitation WHERE email <> {NORMAL}")
# What is to change is found once, before the join: a plan that looks for it again for every row would take minutes.
CHUNK: Final = text(
    f"""
    WITH page AS MATERIALIZED (
        SELECT invitation_id, org_id, email, {NORMAL} AS normal, consumed_at IS NULL AND revoked_at IS NULL AS live
        FROM invitation WHERE {in_page("invitation_id")}
    ), ranked AS (
        SELECT p.*, row_number() OVER (PARTITION BY org_id, normal, live ORDER BY invitation_id) AS place FROM page AS p
    ), wanted AS MATERIALIZED (
        SELECT * FROM ranked AS r
        WHERE r.normal <> r.email
            AND (NOT r.live OR lower(r.email) = r.normal OR (r.place = 1 AND NOT EXISTS (
                SELECT FROM invitation AS o
                WHERE o.org_id = r.org_id AND lower(o.email) = r.normal AND o.invitation_id <> r.invitation_id
                    AND o.consumed_at IS NULL AND o.revoked_at IS NULL
            )))
    ), changed AS (
        UPDATE invitation AS i SET email = w.normal FROM wanted AS w
        WHERE i.invitation_id = w.invitation_id AND i.email = w.email
        RETURNING i.invitation_id, i.org_id
    ), audited AS (
        INSERT INTO audit_entry (audit_id, actor, org_id, action, resource, before, after)
        SELECT gen_random_uuid(), 'migration:invitation_addresses', org_id, 'invitation.normalize',
            'invitation/' || invitation_id, '{{"email": "[redacted]"}}', '{{"email": "[redacted]"}}'
        FROM changed
    )
    SELECT count(*) FROM changed
    """
)


class InvitationAddresses:
    """Brings `invitation.email` into the form in which it is unique among an organisation's live invitations."""

    name = "invitation_addresses"
    service = "identity"
    after_revision = "20250920_01_domain_claims_email"
    chunk_rows = CHUNK_ROWS

    def count(self, connection: Connection) -> int:
        """Invitations whose address is not in that form."""
        return int(connection.execute(COUNT).scalar_one())

    def chunk(self, connection: Connection, after_key: Key | None) -> ChunkResult:
        """Normalise the addresses of the next invitations, each with its audit entry."""
        page = next_page(connection, "invitation", "invitation_id", after_key, self.chunk_rows)
        if page is None:
            return ChunkResult(None, 0)
        return ChunkResult(page["last"], connection.execute(CHUNK, page).scalar_one())


MIGRATION: Final = InvitationAddresses()
