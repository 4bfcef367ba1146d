"""Where corrections of legacy rows are audited: audit_entry where it stands, before the plan a table of its own.

`migration_audit` is made by the first correction that is applied to a database on its baseline. The plan's revision
hands what is in it over to audit_entry, which nobody can change, and drops it: at the head there is one audit.
"""

from __future__ import annotations

from typing import Final

from alembic import op

MIGRATION_AUDIT_TABLE: Final = "migration_audit"
AUDIT_TABLE: Final = "audit_entry"

CREATE_MIGRATION_AUDIT: Final = f"""
CREATE TABLE IF NOT EXISTS {MIGRATION_AUDIT_TABLE} (
    audit_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    resource text NOT NULL,
    before jsonb,
    after jsonb,
    CONSTRAINT pk_{MIGRATION_AUDIT_TABLE} PRIMARY KEY (audit_id)
)
"""


def hand_over_migration_audit() -> None:
    """Move what corrections left in migration_audit to audit_entry; needs `create_shared_tables()` before."""
    op.execute(
        f"""
        DO $do$ BEGIN
            IF to_regclass('{MIGRATION_AUDIT_TABLE}') IS NOT NULL THEN
                INSERT INTO {AUDIT_TABLE} (audit_id, at, actor, action, resource, before, after)
                SELECT audit_id, at, actor, action, resource, before, after FROM {MIGRATION_AUDIT_TABLE};
                DROP TABLE {MIGRATION_AUDIT_TABLE};
            END IF;
        END $do$
        """  # noqa: S608 (constants)
    )
