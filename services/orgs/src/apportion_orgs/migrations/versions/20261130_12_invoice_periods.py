"""Invoice periods: a part of an invoice has the period of its usage, and a line the part that it belongs to.

Why:        An invoice holds lines of other periods than its own, each under its period and the allocation of its event
            time (spec 08 choice 17): an org may have several parts on it.
Lock class: ACCESS EXCLUSIVE for an instant on invoice_part and invoice_line, for columns without rows to write, a check
            before it is validated, and a unique constraint that goes. No row is read or written under it.
Reversible: Yes, as long as no invoice has late parts, parts of another period or several of one org; with one, which is
            never deleted, the way back refuses.
Pre-flight: None: parts and lines that are there stay as they are. A part without a period is of its invoice's.
Beside:     The code of before writes neither column, and one part for each org: its invoices add up as they did.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_12_invoice_periods"
down_revision = "20250920_05_org_hierarchy_and_billing_accounts"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="An invoice holds lines of other periods than its own, each under its period and its allocation.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    test="services/orgs/tests/test_orgs_invoice_periods.py",
)

# The same as before, but for which lines are those of a part: the named one's, or all of the org.
CHECK_SUMS = """
    CREATE OR REPLACE FUNCTION refuse_invoice_change() RETURNS trigger LANGUAGE plpgsql AS $function$
    DECLARE
        parts numeric;
        charged numeric;
        shown numeric;
        payable numeric;
        crooked bigint;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.state <> 'draft' THEN
                RAISE EXCEPTION 'An invoice begins as a draft.' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END IF;
        IF TG_OP = 'DELETE' OR OLD.state <> 'draft' THEN
            IF TG_OP = 'UPDATE' AND OLD.state = 'final' AND NEW.state IN ('paid', 'void')
                    AND to_jsonb(NEW) - 'state' = to_jsonb(OLD) - 'state' THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'Invoice % is % and stays as it is.', OLD.invoice_id, OLD.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF NEW.state = 'draft' THEN
            RETURN NEW;
        END IF;
        IF NEW.state <> 'final' THEN
            RAISE EXCEPTION 'A draft does not become %.', NEW.state USING ERRCODE = 'restrict_violation';
        END IF;
        SELECT coalesce(sum(part), 0), coalesce(sum(ledger_total), 0) INTO parts, charged
            FROM invoice_part WHERE invoice_id = NEW.invoice_id;
        SELECT coalesce(sum(amount), 0) INTO shown FROM invoice_line WHERE invoice_id = NEW.invoice_id;
        SELECT coalesce(sum(total) FILTER (WHERE d.payable), 0) INTO payable
            FROM invoice_document AS d WHERE invoice_id = NEW.invoice_id;
        SELECT count(*) INTO crooked
            FROM invoice_part AS p
            LEFT JOIN (
                SELECT {key}, sum(amount) AS amount, sum(gross) AS gross
                FROM invoice_line WHERE invoice_id = NEW.invoice_id GROUP BY {key}
            ) AS l ON {of_part}
            WHERE p.invoice_id = NEW.invoice_id
                AND (l.amount, l.gross) IS DISTINCT FROM (p.part, p.ledger_total);
        IF parts <> NEW.total OR shown <> NEW.total OR payable <> NEW.total
                OR charged <> NEW.ledger_total OR crooked > 0 THEN
            RAISE EXCEPTION 'Invoice % does not add up.', NEW.invoice_id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END
    $function$
"""
BY_PART = CHECK_SUMS.format(
    key="org_id, part_position",
    of_part="l.org_id = p.org_id AND (l.part_position IS NULL OR l.part_position = p.position)",
)
BY_ORG = CHECK_SUMS.format(key="org_id", of_part="l.org_id = p.org_id")

SEVERAL_PARTS = """
    -- allow drop-constraint: nothing refers to it, and code that makes one part for each org goes on doing so
    ALTER TABLE invoice_part DROP CONSTRAINT uq_invoice_part_invoice_id_org_id
"""

REFUSE = """
    DO $do$ BEGIN
        IF EXISTS (
            SELECT FROM invoice_part AS p JOIN invoice AS i USING (invoice_id) WHERE p.late OR p.period <> i.period
        ) OR EXISTS (SELECT FROM invoice_part GROUP BY invoice_id, org_id HAVING count(*) > 1) THEN
            RAISE EXCEPTION 'Invoices have parts of other periods, which the revision before has no place for.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END $do$
"""


def upgrade() -> None:
    """Add the columns and the check, drop the constraint that an org has one part, and compare lines by part."""
    with op.get_context().autocommit_block():
        op.execute(
            "ALTER TABLE invoice_part ADD COLUMN IF NOT EXISTS period text,"
            " ADD COLUMN IF NOT EXISTS late boolean NOT NULL DEFAULT false"
        )
        op.execute("ALTER TABLE invoice_line ADD COLUMN IF NOT EXISTS part_position integer")
    safe.add_constraint_online("invoice_part", "ck_invoice_part_period", "CHECK (octet_length(period) = 7)")
    op.execute(BY_PART)
    op.execute(SEVERAL_PARTS)


def downgrade() -> None:
    """Go back, where every org has one part, of the invoice's period."""
    op.execute(REFUSE)
    safe.create_index_concurrently(
        "uq_invoice_part_invoice_id_org_id", "invoice_part", "invoice_id, org_id", unique=True
    )
    op.execute(
        "ALTER TABLE invoice_part"
        " ADD CONSTRAINT uq_invoice_part_invoice_id_org_id UNIQUE USING INDEX uq_invoice_part_invoice_id_org_id"
    )
    op.execute(BY_ORG)
    op.execute("ALTER TABLE invoice_line DROP COLUMN part_position")
    op.execute("ALTER TABLE invoice_part DROP COLUMN late, DROP COLUMN period")
