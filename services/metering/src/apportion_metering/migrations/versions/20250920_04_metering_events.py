"""Events, their keys, the decision journal, dead letters, and what replay and reconciliation need.

Why:        Spec 04. Events lie in monthly partitions of received_at, so that old months can be detached; the keys that
            make an event count once lie apart, unpartitioned, for ever. Uniqueness over a partitioned table would have
            to include its month, and one id could then be billed in two of them.
Lock class: ACCESS EXCLUSIVE for an instant on metering_event of before, which becomes the default partition: its rows
            are neither read nor written under it. Its index and its check are made beside the writers.
Reversible: Yes; the events of before stay, everything else goes with the tables it is in.
Pre-flight: See preflight.py: request ids that came twice, quantities that are none.
Again:      Until the last transaction everything can be begun again; that one has the rest and the revision's name.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.audit import hand_over_migration_audit
from apportion_migrate.preflight import checks_beside
from apportion_migrate.revision import RevisionNotes

revision = "20250920_04_metering_events"
down_revision = "metering_baseline"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="Events lie in monthly partitions; the keys that make one count once lie apart, for ever.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    checks=checks_beside(__file__),
    data=("event_keys",),
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="Indexes are built and constraints validated beside the writers, on tables of any size.",
    test="tests/migrations/preflight/test_legacy_to_head.py",
)

REASONS = (
    "'UNKNOWN_ORG', 'UNKNOWN_SKU', 'NO_ENTITLEMENT', 'PERIOD_CLOSED', 'EVENT_IN_FUTURE', 'CORRECTION_BELOW_ZERO', "
    "'PAYLOAD_MISMATCH', 'UNDECODABLE', 'PROCESSING_FAILED'"
)

# What came before the lanes has no place in one: lane -1 is none of theirs, and its time of receipt is not known.
# May be begun again after any crash; a column is made with a constant, so no row is written.
WIDEN = """
    ALTER TABLE metering_event
        ADD COLUMN IF NOT EXISTS source smallint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS received_at timestamptz NOT NULL DEFAULT '2000-01-01T00:00:00Z',
        -- squawk-ignore adding-field-with-default
        ADD COLUMN IF NOT EXISTS lane smallint NOT NULL DEFAULT -1,
        ADD COLUMN IF NOT EXISTS pos bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS seq bigint NOT NULL DEFAULT 0
"""

# From here on all is one transaction, with the revision's name: it is there whole or not at all.
SET_ASIDE = (
    """
    -- squawk-ignore renaming-table
    ALTER TABLE metering_event RENAME TO metering_event_before
    """,
    """
    -- squawk-ignore renaming-object
    ALTER INDEX ix_metering_event_event_id RENAME TO metering_event_default_event_id_idx
    """,
    """
    ALTER TABLE metering_event_before
        ALTER COLUMN source DROP DEFAULT,
        ALTER COLUMN received_at DROP DEFAULT,
        ALTER COLUMN lane DROP DEFAULT,
        ALTER COLUMN pos DROP DEFAULT,
        ALTER COLUMN seq DROP DEFAULT
    """,
)

# The old table becomes the partition of the months that have none; being the first, it need not be read for it.
TAKE_OVER = (
    """
    -- squawk-ignore require-concurrent-partition-detach
    ALTER TABLE metering_event DETACH PARTITION metering_event_default
    """,
    """
    -- squawk-ignore ban-drop-table
    DROP TABLE metering_event_default
    """,
    """
    -- squawk-ignore renaming-table
    ALTER TABLE metering_event_before RENAME TO metering_event_default
    """,
    "ALTER TABLE metering_event ATTACH PARTITION metering_event_default DEFAULT",
)

# Events of the lanes go with the lanes; those of before stay.
GIVE_BACK = (
    "ALTER TABLE metering_event DETACH PARTITION metering_event_default",
    "ALTER TABLE metering_event_default RENAME TO metering_event_before",
)
UNWIDEN = (
    "DELETE FROM metering_event_before WHERE lane >= 0",
    """
    ALTER TABLE metering_event_before
        DROP CONSTRAINT ck_metering_event_quantity_finite,
        DROP COLUMN seq, DROP COLUMN pos, DROP COLUMN lane, DROP COLUMN received_at, DROP COLUMN source
    """,
    "ALTER INDEX metering_event_default_event_id_idx RENAME TO ix_metering_event_event_id",
    "ALTER TABLE metering_event_before RENAME TO metering_event",
)

EVENTS = (
    """
    CREATE TABLE metering_event (
        event_id uuid NOT NULL,
        org_id uuid NOT NULL,
        project_id uuid,
        sku text NOT NULL,
        quantity numeric(27,9) NOT NULL,
        source smallint NOT NULL,
        event_time timestamptz NOT NULL,
        request_id text NOT NULL,
        received_at timestamptz NOT NULL,
        lane smallint NOT NULL,
        pos bigint NOT NULL,
        seq bigint NOT NULL,
        metadata jsonb,
        CONSTRAINT ck_metering_event_quantity_finite CHECK (quantity <> 'NaN'::numeric)
    ) PARTITION BY RANGE (received_at)
    """,
    "CREATE INDEX ix_metering_event_lane_pos ON metering_event (lane, pos)",
)

TABLES = (
    """
    CREATE TABLE metering_event_key (
        org_id uuid NOT NULL,
        request_id text COLLATE "C" NOT NULL,
        content_hash bytea NOT NULL,
        event_id uuid NOT NULL,
        lane smallint NOT NULL,
        pos bigint NOT NULL,
        seq bigint,
        CONSTRAINT pk_metering_event_key PRIMARY KEY (org_id, request_id),
        CONSTRAINT ck_metering_event_key_content_hash_length CHECK (octet_length(content_hash) = 32)
    )
    """,
    """
    CREATE TABLE lane_journal (
        lane integer NOT NULL,
        pos bigint NOT NULL,
        seq_from bigint NOT NULL,
        seq_to bigint NOT NULL,
        event_count integer NOT NULL,
        event_total bigint NOT NULL,
        catalog_revision bigint,
        orgs_revision bigint,
        charge_count integer,
        refusal_count integer,
        rated_at timestamptz,
        ledger_revision bigint,
        line_count integer,
        lines_digest bytea,
        posted_at timestamptz,
        CONSTRAINT pk_lane_journal PRIMARY KEY (lane, pos),
        CONSTRAINT ck_lane_journal_seq_range CHECK (seq_to >= seq_from - 1),
        CONSTRAINT ck_lane_journal_event_count CHECK (event_count >= 0 AND event_total >= event_count)
    )
    """,
    f"""
    CREATE TABLE dead_letter (
        dead_letter_id uuid NOT NULL,
        org_id uuid,
        request_id text,
        event_id uuid,
        content_hash bytea,
        reason text NOT NULL,
        detail text NOT NULL DEFAULT '',
        payload bytea NOT NULL,
        attempts integer NOT NULL DEFAULT 1,
        state text NOT NULL DEFAULT 'open',
        lane integer NOT NULL,
        seq bigint,
        requeue_attempt integer NOT NULL DEFAULT 0,
        taken_attempt integer NOT NULL DEFAULT 0,
        discard_reason text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_dead_letter PRIMARY KEY (dead_letter_id),
        CONSTRAINT uq_dead_letter_org_id_request_id_content_hash UNIQUE (org_id, request_id, content_hash),
        CONSTRAINT ck_dead_letter_reason CHECK (reason IN ({REASONS})),
        CONSTRAINT ck_dead_letter_state CHECK (state IN ('open', 'requeued', 'discarded')),
        CONSTRAINT ck_dead_letter_discard_reason CHECK ((state = 'discarded') = (discard_reason IS NOT NULL)),
        CONSTRAINT ck_dead_letter_taken_attempt CHECK (taken_attempt BETWEEN 0 AND requeue_attempt),
        CONSTRAINT ck_dead_letter_attempts CHECK (attempts >= 1)
    )
    """,
    "CREATE INDEX ix_dead_letter_event_id ON dead_letter (event_id)",
    "CREATE INDEX ix_dead_letter_created_at_dead_letter_id ON dead_letter (created_at, dead_letter_id)",
    "CREATE INDEX ix_dead_letter_open ON dead_letter (reason) WHERE state = 'open'",
    """
    CREATE TABLE metering_shadow (
        lane smallint NOT NULL,
        stream_seq bigint NOT NULL,
        entry smallint NOT NULL,
        org_id uuid NOT NULL,
        project_id uuid,
        request_id text NOT NULL,
        sku text NOT NULL,
        quantity numeric(27,9) NOT NULL,
        event_time timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        content_hash bytea NOT NULL,
        reconciliation_tag text,
        CONSTRAINT pk_metering_shadow PRIMARY KEY (lane, stream_seq, entry),
        CONSTRAINT ck_metering_shadow_quantity_finite CHECK (quantity <> 'NaN'::numeric)
    )
    """,
    "CREATE INDEX ix_metering_shadow_org_id_request_id ON metering_shadow (org_id, request_id)",
    """
    CREATE TABLE replay_run (
        replay_id uuid NOT NULL,
        org_id uuid,
        from_time timestamptz NOT NULL,
        to_time timestamptz NOT NULL,
        target text NOT NULL,
        state text NOT NULL DEFAULT 'running',
        done_count bigint NOT NULL DEFAULT 0,
        total_count bigint,
        cursor jsonb,
        result jsonb,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        CONSTRAINT pk_replay_run PRIMARY KEY (replay_id),
        CONSTRAINT ck_replay_run_target CHECK (target IN ('verify', 'repair')),
        CONSTRAINT ck_replay_run_state CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
        CONSTRAINT ck_replay_run_window CHECK (from_time < to_time)
    )
    """,
    """
    CREATE TABLE reconciliation_run (
        run_id uuid NOT NULL,
        kind text NOT NULL,
        tag text,
        from_time timestamptz,
        to_time timestamptz,
        counts jsonb,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        CONSTRAINT pk_reconciliation_run PRIMARY KEY (run_id),
        CONSTRAINT ck_reconciliation_run_kind CHECK (kind IN ('pipeline', 'provider_log'))
    )
    """,
    """
    CREATE TABLE reconciliation_delta (
        run_id uuid NOT NULL,
        number bigint NOT NULL,
        org_id uuid,
        request_id text NOT NULL,
        kind text NOT NULL,
        stage text NOT NULL,
        detail jsonb,
        CONSTRAINT pk_reconciliation_delta PRIMARY KEY (run_id, number),
        CONSTRAINT fk_reconciliation_delta_run_id FOREIGN KEY (run_id) REFERENCES reconciliation_run (run_id),
        CONSTRAINT ck_reconciliation_delta_kind CHECK (kind IN ('missing', 'extra', 'different'))
    )
    """,
)

GRANTS = {
    # Events are append-only; a key changes its place when its event is requeued, and nothing else.
    "metering_event": "SELECT, INSERT",
    "metering_event_key": "SELECT, INSERT, UPDATE",
    "lane_journal": "SELECT, INSERT, UPDATE",
    "dead_letter": "SELECT, INSERT, UPDATE",
    "metering_shadow": "SELECT, INSERT, UPDATE",
    "replay_run": "SELECT, INSERT, UPDATE",
    "reconciliation_run": "SELECT, INSERT, UPDATE",
    "reconciliation_delta": "SELECT, INSERT",
}


def upgrade() -> None:
    """Make the tables, their grants, and the function that adds months; the events of before become a partition."""
    op.execute(WIDEN)
    safe.create_index_concurrently("metering_event_default_lane_pos_idx", "metering_event", "lane, pos")
    safe.add_constraint_online(
        "metering_event", "ck_metering_event_quantity_finite", "CHECK (quantity <> 'NaN'::numeric)"
    )
    safe.create_shared_tables()
    safe.create_data_migration_table()
    safe.create_lane_tables()
    hand_over_migration_audit()
    for statement in TABLES:
        op.execute(statement)
    for table, privileges in GRANTS.items():
        if table != "metering_event":
            safe.grant(table, privileges)
    for statement in (*SET_ASIDE, *EVENTS):
        op.execute(statement)
    safe.grant("metering_event", GRANTS["metering_event"])
    safe.create_month_partitions("metering_event")
    for statement in TAKE_OVER:
        op.execute(statement)
    op.execute(f"REVOKE ALL ON TABLE metering_event_default FROM PUBLIC, {safe.app_role()}")


def downgrade() -> None:
    """Drop everything that upgrade made, and give the older table back with the events of before."""
    for table in (
        "reconciliation_delta",
        "reconciliation_run",
        "replay_run",
        "metering_shadow",
        "dead_letter",
        "lane_journal",
        "metering_event_key",
    ):
        op.execute(f"DROP TABLE {table}")
    for statement in GIVE_BACK:
        op.execute(statement)
    safe.drop_month_partitions("metering_event")
    for statement in UNWIDEN:
        op.execute(statement)
    safe.drop_lane_tables()
    safe.drop_data_migration_table()
    safe.drop_shared_tables()
