"""PoR and ledger: append-only lines with their split, partners of record without overlaps, settlements and sweeps.

Why:        Every charge gets a line that balances by construction and that nobody can change; every line can be
            traced to the partner of record, tier and rate that it was decided under, and to the payout it is in.
Lock class: ACCESS EXCLUSIVE for an instant on partner, commission_rate and partner_of_record, and on the last one while
            its exclusion constraint is built, which PostgreSQL cannot do otherwise. All else is validated and indexed
            beside the writers, or new.
Reversible: Yes, as long as no line may be lost: the way back drops the lines with everything that hangs on them, and
            leaves the three older tables as they were.
Pre-flight: See preflight.py; every constraint that rows of before could break has its check.
Again:      Until the last transaction everything can be begun again; that one has the rest and the revision's name.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.audit import hand_over_migration_audit
from apportion_migrate.preflight import checks_beside
from apportion_migrate.revision import RevisionNotes

revision = "20250920_02_por_commission_ledger"
down_revision = "ledger_baseline"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="Every charge gets a line that balances by construction and that nobody can change.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    checks=checks_beside(__file__),
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="Indexes are built and constraints validated beside the writers, on tables of any size.",
    test="tests/migrations/preflight/test_legacy_to_head.py",
)

# No index that stands already can carry an exclusion constraint, so this one reads its table under a strong lock: it
# holds a row per assignment of a partner, thousands at most. First of all, so that an overlap stops before any change.
NO_OVERLAP = """
    -- squawk-ignore ban-drop-constraint
    ALTER TABLE partner_of_record
        DROP CONSTRAINT IF EXISTS ex_partner_of_record_overlap,
        ADD CONSTRAINT ex_partner_of_record_overlap EXCLUDE USING gist
            (subject_type WITH =, subject_id WITH =, tstzrange(start_at, end_at) WITH &&)
"""

TERMS = ("partner", "commission_rate", "partner_of_record")

# May be begun again after any crash; a column is made with a constant, so no row is written.
TERMS_COLUMNS = """
    ADD COLUMN IF NOT EXISTS revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT 'migration',
    ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()
"""

CONSTRAINTS = {
    "ck_partner_payout_currency": ("partner", "CHECK (payout_currency ~ '^[A-Z]{3}$')"),
    "ck_partner_status": ("partner", "CHECK (status IN ('active', 'held', 'closed'))"),
    "ck_commission_rate_pct": ("commission_rate", "CHECK (pct >= 0 AND pct <= 100)"),
    "ck_commission_rate_match_kind": ("commission_rate", "CHECK (match_kind IN ('sku', 'sku_type', 'default'))"),
    "ck_commission_rate_match_value": ("commission_rate", "CHECK ((match_kind = 'default') = (match_value = ''))"),
    "fk_partner_of_record_partner_id": (
        "partner_of_record",
        "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)",
    ),
    "ck_partner_of_record_subject_type": (
        "partner_of_record",
        "CHECK (subject_type IN ('org', 'billing_account'))",
    ),
    "ck_partner_of_record_status": (
        "partner_of_record",
        "CHECK (status IN ('active', 'expired', 'disputed'))",
    ),
    "ck_partner_of_record_interval": ("partner_of_record", "CHECK (end_at > start_at)"),
}

TABLES = (
    """
    CREATE TABLE partner_tier (
        partner_id uuid NOT NULL,
        revision bigint NOT NULL,
        tier text NOT NULL,
        effective_at timestamptz NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_partner_tier PRIMARY KEY (partner_id, revision),
        CONSTRAINT ck_partner_tier_tier CHECK (tier <> '')
    )
    """,
    """
    CREATE TABLE partner_of_record_version (
        por_id uuid NOT NULL,
        revision bigint NOT NULL,
        end_at timestamptz,
        status text NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_partner_of_record_version PRIMARY KEY (por_id, revision),
        CONSTRAINT ck_partner_of_record_version_status CHECK (status IN ('active', 'expired', 'disputed'))
    )
    """,
    """
    CREATE TABLE ledger_line (
        entry_id uuid NOT NULL,
        charge_id uuid NOT NULL,
        event_id uuid NOT NULL,
        kind text NOT NULL,
        org_id uuid NOT NULL,
        project_id uuid,
        billing_account_id uuid NOT NULL,
        mapping_id uuid NOT NULL,
        sku text NOT NULL,
        sku_type text NOT NULL,
        quantity numeric(27, 9) NOT NULL,
        currency text NOT NULL,
        amount_gross numeric(27, 9) NOT NULL,
        partner_id uuid,
        partner_from_account boolean NOT NULL,
        partner_pct numeric(7, 4) NOT NULL,
        partner_amount numeric(27, 9) NOT NULL,
        net numeric(27, 9) NOT NULL,
        reverses_entry_id uuid,
        catalog_revision bigint NOT NULL,
        orgs_revision bigint NOT NULL,
        ledger_revision bigint NOT NULL,
        lane smallint,
        pos bigint,
        seq bigint,
        period text NOT NULL,
        event_time timestamptz NOT NULL,
        content_hash bytea NOT NULL,
        posted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        posted_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        CONSTRAINT pk_ledger_line PRIMARY KEY (entry_id, posted_at),
        CONSTRAINT ck_ledger_line_balanced CHECK (amount_gross = partner_amount + net),
        CONSTRAINT ck_ledger_line_finite
            CHECK (quantity <> 'NaN'::numeric AND amount_gross <> 'NaN'::numeric
                AND partner_amount <> 'NaN'::numeric AND net <> 'NaN'::numeric),
        CONSTRAINT ck_ledger_line_partner_pct CHECK (partner_pct >= 0 AND partner_pct <= 100),
        CONSTRAINT ck_ledger_line_partner
            CHECK (partner_id IS NOT NULL OR (partner_pct = 0 AND partner_amount = 0 AND NOT partner_from_account)),
        CONSTRAINT ck_ledger_line_kind
            CHECK (kind IN ('usage', 'rerate', 'base', 'minimum', 'adjustment', 'reversal')),
        CONSTRAINT ck_ledger_line_reverses CHECK ((kind = 'reversal') = (reverses_entry_id IS NOT NULL)),
        CONSTRAINT ck_ledger_line_place CHECK ((lane IS NULL) = (pos IS NULL) AND (lane IS NULL) = (seq IS NULL)),
        CONSTRAINT ck_ledger_line_currency CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT ck_ledger_line_period CHECK (period ~ '^[0-9]{4}-[0-9]{2}$'),
        CONSTRAINT ck_ledger_line_content_hash CHECK (octet_length(content_hash) = 32)) PARTITION BY RANGE (posted_at)
    """,
    "CREATE INDEX ix_ledger_line_billing_account_id_event_time ON ledger_line (billing_account_id, event_time)",
    "CREATE INDEX ix_ledger_line_event_id ON ledger_line (event_id) WHERE lane IS NULL",
    "CREATE INDEX ix_ledger_line_org_id_event_time ON ledger_line (org_id, event_time)",
    """
    CREATE INDEX ix_ledger_line_partner_id_event_time ON ledger_line (partner_id, event_time)
        WHERE partner_id IS NOT NULL
    """,
    """
    CREATE INDEX ix_ledger_line_reverses_entry_id ON ledger_line (reverses_entry_id)
        WHERE reverses_entry_id IS NOT NULL
    """,
    """
    CREATE TABLE ledger_charge_key (
        charge_id uuid NOT NULL,
        content_hash bytea NOT NULL,
        entry_id uuid NOT NULL,
        CONSTRAINT pk_ledger_charge_key PRIMARY KEY (charge_id),
        CONSTRAINT ck_ledger_charge_key_content_hash CHECK (octet_length(content_hash) = 32)
    )
    """,
    """
    CREATE TABLE partner_balance (
        partner_id uuid NOT NULL,
        currency text NOT NULL,
        earned numeric(38, 9) NOT NULL DEFAULT 0,
        clawed_back numeric(38, 9) NOT NULL DEFAULT 0,
        paid_real_time numeric(38, 9) NOT NULL DEFAULT 0,
        paid_sweep numeric(38, 9) NOT NULL DEFAULT 0,
        CONSTRAINT pk_partner_balance PRIMARY KEY (partner_id, currency),
        CONSTRAINT ck_partner_balance_finite
            CHECK (earned <> 'NaN'::numeric AND clawed_back <> 'NaN'::numeric
                AND paid_real_time <> 'NaN'::numeric AND paid_sweep <> 'NaN'::numeric)
    )
    """,
    """
    CREATE TABLE partner_day (
        partner_id uuid NOT NULL,
        currency text NOT NULL,
        day date NOT NULL,
        earned numeric(38, 9) NOT NULL DEFAULT 0,
        clawed_back numeric(38, 9) NOT NULL DEFAULT 0,
        paid_real_time numeric(38, 9) NOT NULL DEFAULT 0,
        line_count bigint NOT NULL DEFAULT 0,
        real_time_count bigint NOT NULL DEFAULT 0,
        CONSTRAINT pk_partner_day PRIMARY KEY (partner_id, currency, day),
        CONSTRAINT ck_partner_day_finite
            CHECK (earned <> 'NaN'::numeric AND clawed_back <> 'NaN'::numeric AND paid_real_time <> 'NaN'::numeric)
    )
    """,
    """
    CREATE TABLE settlement (
        settlement_id uuid NOT NULL,
        partner_id uuid NOT NULL,
        kind text NOT NULL,
        currency text NOT NULL,
        amount numeric(27, 9) NOT NULL,
        week text,
        business_day date NOT NULL,
        threshold numeric(27, 9),
        state text NOT NULL DEFAULT 'pending',
        idempotency_key text NOT NULL,
        entry_id uuid,
        refusals integer NOT NULL DEFAULT 0,
        refused_at timestamptz,
        void_reason text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        decided_at timestamptz,
        CONSTRAINT pk_settlement PRIMARY KEY (settlement_id),
        CONSTRAINT uq_settlement_idempotency_key UNIQUE (idempotency_key),
        CONSTRAINT ck_settlement_amount CHECK (amount > 0 AND amount <> 'NaN'::numeric),
        CONSTRAINT ck_settlement_kind CHECK (kind IN ('real_time', 'sweep')),
        CONSTRAINT ck_settlement_state CHECK (state IN ('pending', 'paid', 'void')),
        CONSTRAINT ck_settlement_week CHECK ((kind = 'sweep') = (week IS NOT NULL)),
        CONSTRAINT ck_settlement_entry
            CHECK ((kind = 'real_time') = (entry_id IS NOT NULL AND threshold IS NOT NULL)),
        CONSTRAINT ck_settlement_void_reason CHECK ((state = 'void') = (void_reason IS NOT NULL)),
        CONSTRAINT ck_settlement_decided CHECK ((state = 'pending') = (decided_at IS NULL))
    )
    """,
    "CREATE INDEX ix_settlement_partner_id_currency ON settlement (partner_id, currency, kind, business_day)",
    "CREATE INDEX ix_settlement_pending ON settlement (settlement_id) WHERE state = 'pending'",
    "CREATE UNIQUE INDEX uq_settlement_entry_id ON settlement (entry_id) WHERE entry_id IS NOT NULL",
    """
    CREATE TABLE settlement_line (
        entry_id uuid NOT NULL,
        settlement_id uuid NOT NULL,
        CONSTRAINT pk_settlement_line PRIMARY KEY (entry_id, settlement_id),
        CONSTRAINT fk_settlement_line_settlement_id FOREIGN KEY (settlement_id) REFERENCES settlement (settlement_id)
    )
    """,
    "CREATE INDEX ix_settlement_line_settlement_id ON settlement_line (settlement_id)",
    """
    CREATE TABLE sweep_run (
        week text NOT NULL,
        created_by text NOT NULL,
        finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_sweep_run PRIMARY KEY (week)
    )
    """,
    """
    CREATE TABLE sweep_claim (
        week text NOT NULL,
        partner_id uuid NOT NULL,
        currency text NOT NULL,
        balance numeric(38, 9) NOT NULL,
        paid numeric(27, 9) NOT NULL,
        carried_reason text NOT NULL,
        settlement_id uuid,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_sweep_claim PRIMARY KEY (week, partner_id, currency),
        CONSTRAINT ck_sweep_claim_paid CHECK (paid >= 0 AND paid <> 'NaN'::numeric),
        CONSTRAINT ck_sweep_claim_settlement CHECK ((paid > 0) = (settlement_id IS NOT NULL)),
        CONSTRAINT ck_sweep_claim_balance CHECK (paid = 0 OR paid <= balance),
        CONSTRAINT fk_sweep_claim_settlement_id FOREIGN KEY (settlement_id) REFERENCES settlement (settlement_id)
    )
    """,
    """
    CREATE TABLE payout_instruction (
        settlement_id uuid NOT NULL,
        partner_id uuid NOT NULL,
        currency text NOT NULL,
        amount numeric(27, 9) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_payout_instruction PRIMARY KEY (settlement_id),
        CONSTRAINT fk_payout_instruction_settlement_id
            FOREIGN KEY (settlement_id) REFERENCES settlement (settlement_id)
    )
    """,
    "CREATE INDEX ix_payout_instruction_created_at ON payout_instruction (created_at)",
    """
    CREATE TABLE period_close (
        period text NOT NULL,
        lane smallint NOT NULL,
        org_id uuid,
        pos bigint NOT NULL,
        closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        posted_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        CONSTRAINT uq_period_close_period_lane_org_id UNIQUE NULLS NOT DISTINCT (period, lane, org_id),
        CONSTRAINT ck_period_close_period CHECK (period ~ '^[0-9]{4}-[0-9]{2}$')
    )
    """,
    """
    CREATE TABLE dispute (
        dispute_id uuid NOT NULL,
        partner_id uuid NOT NULL,
        state text NOT NULL DEFAULT 'open',
        reason text NOT NULL,
        opened_by text NOT NULL,
        opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        resolved_by text,
        resolved_at timestamptz,
        CONSTRAINT pk_dispute PRIMARY KEY (dispute_id),
        CONSTRAINT ck_dispute_state CHECK (state IN ('open', 'upheld', 'rejected')),
        CONSTRAINT ck_dispute_resolved CHECK ((state = 'open') = (resolved_at IS NULL))
    )
    """,
    "CREATE INDEX ix_dispute_open ON dispute (partner_id) WHERE state = 'open'",
    """
    CREATE TABLE dispute_line (
        dispute_id uuid NOT NULL,
        entry_id uuid NOT NULL,
        CONSTRAINT pk_dispute_line PRIMARY KEY (dispute_id, entry_id),
        CONSTRAINT fk_dispute_line_dispute_id FOREIGN KEY (dispute_id) REFERENCES dispute (dispute_id)
    )
    """,
    "CREATE INDEX ix_dispute_line_entry_id ON dispute_line (entry_id)",
    """
    CREATE TABLE statement (
        statement_id uuid NOT NULL,
        partner_id uuid NOT NULL,
        currency text NOT NULL,
        period text NOT NULL,
        opening numeric(38, 9) NOT NULL,
        earned numeric(38, 9) NOT NULL,
        clawed_back numeric(38, 9) NOT NULL,
        paid_real_time numeric(38, 9) NOT NULL,
        paid_sweep numeric(38, 9) NOT NULL,
        closing numeric(38, 9) NOT NULL,
        issued_by text NOT NULL,
        issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_statement PRIMARY KEY (statement_id),
        CONSTRAINT uq_statement_partner_id_currency_period UNIQUE (partner_id, currency, period),
        CONSTRAINT ck_statement_closing
            CHECK (closing = opening + earned - clawed_back - paid_real_time - paid_sweep
                AND closing <> 'NaN'::numeric)
    )
    """,
)

# All of them before any lock and any foreign key; once more under the lock, for those that were written meanwhile.
ADOPT_ASSIGNMENTS = """
    INSERT INTO partner_of_record_version (por_id, revision, end_at, status, created_by)
    SELECT por_id, revision, end_at, status, created_by FROM partner_of_record
    ON CONFLICT (por_id, revision) DO NOTHING
"""

SETTLEMENT_GUARD = (
    """
    CREATE FUNCTION settlement_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'UPDATE' OR OLD.state <> 'pending' OR
           (to_jsonb(OLD) - '{state,refusals,refused_at,void_reason,decided_at}'::text[]) <>
           (to_jsonb(NEW) - '{state,refusals,refused_at,void_reason,decided_at}'::text[]) THEN
            RAISE EXCEPTION 'A settlement goes from pending to paid or void, once; nothing else of it changes.'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE TRIGGER settlement_transition BEFORE UPDATE OR DELETE ON settlement
        FOR EACH ROW EXECUTE FUNCTION settlement_guard()
    """,
    "ALTER TABLE settlement ENABLE ALWAYS TRIGGER settlement_transition",
    "CREATE TRIGGER settlement_no_truncate BEFORE TRUNCATE ON settlement EXECUTE FUNCTION refuse_change()",
    "ALTER TABLE settlement ENABLE ALWAYS TRIGGER settlement_no_truncate",
)

VIEWS = (
    """
    CREATE VIEW posting AS
    SELECT l.entry_id AS source_id, p.account, l.currency,
        greatest(p.amount, 0) AS debit, greatest(-p.amount, 0) AS credit
    FROM ledger_line AS l CROSS JOIN LATERAL (VALUES
        ('receivable', l.amount_gross), ('partner_payable', -l.partner_amount), ('revenue', -l.net)
    ) AS p (account, amount)
    UNION ALL
    SELECT s.settlement_id, p.account, s.currency, greatest(p.amount, 0), greatest(-p.amount, 0)
    FROM settlement AS s CROSS JOIN LATERAL (VALUES
        ('partner_payable', s.amount), ('cash', -s.amount)
    ) AS p (account, amount)
    WHERE s.state <> 'void'
    """,
    """
    CREATE VIEW line_view AS
    SELECT l.*, paid.amount AS real_time_amount, CASE
        WHEN l.amount_gross <> 0 AND reversed.gross = -l.amount_gross THEN 'reversed'
        WHEN reversed.gross IS NOT NULL THEN 'partly_reversed'
        WHEN EXISTS (
            SELECT FROM dispute_line AS i JOIN dispute AS d USING (dispute_id)
            WHERE i.entry_id = l.entry_id AND d.state = 'open'
        ) THEN 'held'
        WHEN l.partner_id IS NULL THEN 'none'
        WHEN paid.state = 'paid' THEN 'settled'
        WHEN EXISTS (
            SELECT FROM settlement_line AS a JOIN settlement AS s USING (settlement_id)
            WHERE a.entry_id = l.entry_id AND s.state = 'paid'
        ) THEN 'settled'
        ELSE 'pending'
    END AS status
    FROM ledger_line AS l
    LEFT JOIN settlement AS paid ON paid.entry_id = l.entry_id AND paid.state <> 'void'
    LEFT JOIN LATERAL (
        SELECT sum(r.amount_gross) AS gross FROM ledger_line AS r WHERE r.reverses_entry_id = l.entry_id
    ) AS reversed ON true
    """,
)

IMMUTABLE = (
    "partner_tier",
    "commission_rate",
    "partner_of_record_version",
    "ledger_charge_key",
    "settlement_line",
    "sweep_run",
    "sweep_claim",
    "payout_instruction",
    "period_close",
    "statement",
)

# What points to a table of before stops its writers for a moment, and comes at the very end.
FOREIGN_KEYS = {
    "fk_partner_tier_partner_id": ("partner_tier", "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)"),
    "fk_partner_balance_partner_id": ("partner_balance", "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)"),
    "fk_settlement_partner_id": ("settlement", "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)"),
    "fk_sweep_claim_partner_id": ("sweep_claim", "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)"),
    "fk_dispute_partner_id": ("dispute", "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)"),
    "fk_statement_partner_id": ("statement", "FOREIGN KEY (partner_id) REFERENCES partner (partner_id)"),
    "fk_partner_of_record_version_por_id": (
        "partner_of_record_version",
        "FOREIGN KEY (por_id) REFERENCES partner_of_record (por_id)",
    ),
}

LAST = ("commission_rate", "partner_of_record_version")
"""What is made immutable once the tables of before are in hand."""

GRANTS = {
    "partner": "SELECT, INSERT, UPDATE",
    "partner_of_record": "SELECT, INSERT, UPDATE",
    "ledger_line": "SELECT, INSERT",
    "partner_balance": "SELECT, INSERT, UPDATE",
    "partner_day": "SELECT, INSERT, UPDATE",
    "settlement": "SELECT, INSERT, UPDATE",
    "dispute": "SELECT, INSERT, UPDATE",
    "dispute_line": "SELECT, INSERT",
    "posting": "SELECT",
    "line_view": "SELECT",
} | dict.fromkeys(IMMUTABLE, "SELECT, INSERT")

DROPPED = (
    "statement",
    "dispute_line",
    "dispute",
    "period_close",
    "payout_instruction",
    "sweep_claim",
    "sweep_run",
    "settlement_line",
    "settlement",
    "partner_day",
    "partner_balance",
    "ledger_charge_key",
)

RESTORED = (
    "DROP TRIGGER commission_rate_no_change ON commission_rate",
    "DROP TRIGGER commission_rate_no_truncate ON commission_rate",
    "DROP INDEX ix_partner_of_record_partner_id",
    """
    ALTER TABLE partner_of_record
        DROP CONSTRAINT ex_partner_of_record_overlap,
        DROP CONSTRAINT ck_partner_of_record_interval,
        DROP CONSTRAINT ck_partner_of_record_status,
        DROP CONSTRAINT ck_partner_of_record_subject_type,
        DROP CONSTRAINT fk_partner_of_record_partner_id,
        DROP COLUMN revision, DROP COLUMN created_by, DROP COLUMN created_at
    """,
    """
    ALTER TABLE commission_rate
        DROP CONSTRAINT ck_commission_rate_match_value,
        DROP CONSTRAINT ck_commission_rate_match_kind,
        DROP CONSTRAINT ck_commission_rate_pct,
        DROP COLUMN revision, DROP COLUMN created_by, DROP COLUMN created_at
    """,
    """
    ALTER TABLE partner
        DROP CONSTRAINT ck_partner_status,
        DROP CONSTRAINT ck_partner_payout_currency,
        DROP COLUMN revision, DROP COLUMN created_by, DROP COLUMN created_at
    """,
)


def upgrade() -> None:
    safe.create_extension("btree_gist")
    op.execute(NO_OVERLAP)
    for table in TERMS:
        op.execute(f"ALTER TABLE {table} {TERMS_COLUMNS}")
    safe.create_index_concurrently("ix_partner_of_record_partner_id", "partner_of_record", "partner_id")
    for name, (table, definition) in CONSTRAINTS.items():
        safe.add_constraint_online(table, name, definition)
    # From here on all is one transaction, with the revision's name: it is there whole or not at all.
    safe.create_shared_tables()
    safe.create_data_migration_table()
    safe.create_lane_tables()
    hand_over_migration_audit()
    for statement in TABLES:
        op.execute(statement)
    safe.create_month_partitions("ledger_line", immutable=True)
    for table in IMMUTABLE:
        if table not in LAST:
            safe.make_immutable(table)
    for statement in (*SETTLEMENT_GUARD, *VIEWS):
        op.execute(statement)
    for table, privileges in GRANTS.items():
        if table not in TERMS:
            safe.grant(table, privileges)
    op.execute(ADOPT_ASSIGNMENTS)
    for name, (table, definition) in FOREIGN_KEYS.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for table in TERMS:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN created_at SET DEFAULT clock_timestamp()")
        safe.grant(table, GRANTS[table])
    op.execute(ADOPT_ASSIGNMENTS)
    for table in LAST:
        safe.make_immutable(table)


def downgrade() -> None:
    op.execute("DROP VIEW line_view")
    op.execute("DROP VIEW posting")
    for table in DROPPED:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION settlement_guard()")
    safe.drop_month_partitions("ledger_line")
    op.execute("DROP TABLE partner_of_record_version")
    op.execute("DROP TABLE partner_tier")
    for table in ("partner", "partner_of_record", "commission_rate"):
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {safe.app_role()}")
    for statement in RESTORED:
        op.execute(statement)
    safe.drop_lane_tables()
    safe.drop_data_migration_table()
    safe.drop_shared_tables()
