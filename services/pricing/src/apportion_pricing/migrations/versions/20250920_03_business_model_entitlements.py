"""Business models, versioned plan rows, entitlements, the engine's positions and charges, parity, budgets, tax.

Why:        Terms become append-only, each row with an effective time and a revision, so that the past keeps its
            prices; rating stores its place in the period's usage and what it decided under.
Lock class: ACCESS EXCLUSIVE for an instant on product_sku, plan and plan_sku, while a column with a constant or a
            checked constraint is added. Indexes are built, and constraints validated, beside the writers.
Reversible: Yes; the versions of plan rows are cut down to the newest, what is new is dropped with what is in it.
Pre-flight: See preflight.py; every constraint that rows of before could break has its check, and tiers have theirs.
Again:      Until the last transaction everything can be begun again; that one has the rest and the revision's name.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.audit import hand_over_migration_audit
from apportion_migrate.preflight import checks_beside
from apportion_migrate.revision import RevisionNotes

revision = "20250920_03_business_model_entitlements"
down_revision = "pricing_baseline"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="Terms become append-only, so that the past keeps its prices; rating stores what it decided under.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    checks=checks_beside(__file__),
    data=("plan_defaults",),
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="Indexes are built and constraints validated beside the writers, on tables of any size.",
    test="tests/migrations/preflight/test_legacy_to_head.py",
)

# May be begun again after any crash; a column is made with a constant, so no row is written.
WIDEN = (
    """
    CREATE TABLE IF NOT EXISTS business_model (
        model_id uuid NOT NULL,
        code text NOT NULL,
        name text NOT NULL,
        status text NOT NULL,
        version integer NOT NULL,
        currency text NOT NULL,
        default_plan_id uuid,
        revision bigint NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_business_model PRIMARY KEY (model_id),
        CONSTRAINT uq_business_model_code UNIQUE (code),
        CONSTRAINT ck_business_model_status CHECK (status IN ('draft', 'active', 'retired')),
        CONSTRAINT ck_business_model_currency CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT fk_business_model_default_plan_id FOREIGN KEY (default_plan_id) REFERENCES plan (plan_id)
    )
    """,
    """
    ALTER TABLE product_sku
        ADD COLUMN IF NOT EXISTS revision bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT 'baseline',
        ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()
    """,
    """
    ALTER TABLE plan
        ADD COLUMN IF NOT EXISTS model_id uuid,
        ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'active',
        ADD COLUMN IF NOT EXISTS revision bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT 'baseline',
        ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()
    """,
    # A row without a date has always held: the first instant that a period can have.
    """
    ALTER TABLE plan_sku
        ADD COLUMN IF NOT EXISTS effective_at timestamptz NOT NULL DEFAULT '2000-01-01T00:00:00Z',
        ADD COLUMN IF NOT EXISTS revision bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT 'baseline',
        ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()
    """,
)

UNIQUE = {
    "uq_plan_name": ("plan", "name"),
    "pk_plan_sku": ("plan_sku", "plan_id, sku, revision"),
}

CONSTRAINTS = {
    "ck_product_sku_type": (
        "product_sku",
        "CHECK (type IN ('hosting', 'object', 'validation', 'action', 'analytics'))",
    ),
    "ck_product_sku_cost": ("product_sku", "CHECK (cost >= 0 AND cost < 'NaN')"),
    "ck_product_sku_retail": ("product_sku", "CHECK (retail >= 0 AND retail < 'NaN')"),
    "ck_plan_status": ("plan", "CHECK (status IN ('active', 'retired'))"),
    "ck_plan_currency": ("plan", "CHECK (currency ~ '^[A-Z]{3}$')"),
    "ck_plan_base_price": ("plan", "CHECK (base_price >= 0 AND base_price < 'NaN')"),
    "fk_plan_model_id": ("plan", "FOREIGN KEY (model_id) REFERENCES business_model (model_id)"),
    "fk_plan_sku_plan_id": ("plan_sku", "FOREIGN KEY (plan_id) REFERENCES plan (plan_id)"),
    "fk_plan_sku_sku": ("plan_sku", "FOREIGN KEY (sku) REFERENCES product_sku (sku)"),
    "ck_plan_sku_charge_model": (
        "plan_sku",
        "CHECK (charge_model IN ('per_unit', 'graduated', 'volume', 'package', 'percentage', 'flat', 'day_pass'))",
    ),
    "ck_plan_sku_included_qty": ("plan_sku", "CHECK (included_qty >= 0 AND included_qty < 'NaN')"),
    "ck_plan_sku_overage_price": ("plan_sku", "CHECK (overage_price >= 0 AND overage_price < 'NaN')"),
    "ck_plan_sku_tiers": ("plan_sku", "CHECK (jsonb_typeof(tiers) = 'array')"),
}

# From here on all is one transaction, with the revision's name: it is there whole or not at all.
SETTLE = (
    """
    ALTER TABLE product_sku
        ALTER COLUMN revision DROP DEFAULT,
        ALTER COLUMN created_by DROP DEFAULT,
        ALTER COLUMN created_at SET DEFAULT clock_timestamp()
    """,
    """
    ALTER TABLE plan
        ALTER COLUMN revision DROP DEFAULT,
        ALTER COLUMN created_by DROP DEFAULT,
        ALTER COLUMN created_at SET DEFAULT clock_timestamp(),
        ADD CONSTRAINT uq_plan_name UNIQUE USING INDEX uq_plan_name
    """,
    """
    ALTER TABLE plan_sku
        ALTER COLUMN charge_model DROP DEFAULT,
        ALTER COLUMN effective_at DROP DEFAULT,
        ALTER COLUMN revision DROP DEFAULT,
        ALTER COLUMN created_by DROP DEFAULT,
        ALTER COLUMN created_at SET DEFAULT clock_timestamp(),
        ADD CONSTRAINT pk_plan_sku PRIMARY KEY USING INDEX pk_plan_sku
    """,
)

TERMS = (
    """
    CREATE TABLE org_business_model (
        org_id uuid NOT NULL,
        model_id uuid,
        plan_id uuid NOT NULL,
        effective_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        assigned_by text NOT NULL,
        notes text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_org_business_model PRIMARY KEY (org_id, revision),
        CONSTRAINT fk_org_business_model_model_id FOREIGN KEY (model_id) REFERENCES business_model (model_id)
    )
    """,
    """
    CREATE TABLE org_entitlement (
        subject_type text NOT NULL,
        subject_id uuid NOT NULL,
        plan_id uuid NOT NULL,
        overrides jsonb NOT NULL,
        effective_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_org_entitlement PRIMARY KEY (subject_type, subject_id, revision),
        CONSTRAINT ck_org_entitlement_subject_type CHECK (subject_type IN ('org', 'account')),
        CONSTRAINT ck_org_entitlement_overrides CHECK (jsonb_typeof(overrides) = 'object')
    )
    """,
    """
    CREATE TABLE tax_rate (
        tax_code text NOT NULL,
        rate numeric(7, 4) NOT NULL,
        effective_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_tax_rate PRIMARY KEY (tax_code, revision),
        CONSTRAINT ck_tax_rate_rate CHECK (rate >= 0 AND rate <= 100)
    )
    """,
    # So that loading what a newer revision added reads only that.
    "CREATE INDEX ix_org_business_model_revision ON org_business_model (revision)",
    "CREATE INDEX ix_org_entitlement_revision ON org_entitlement (revision)",
)

PARITY = (
    """
    CREATE TABLE catalog_version (
        version bigint NOT NULL,
        status text NOT NULL,
        parity_run_id uuid,
        published_by text,
        published_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_catalog_version PRIMARY KEY (version),
        CONSTRAINT ck_catalog_version_status CHECK (status IN ('draft', 'published')),
        CONSTRAINT ck_catalog_version_published
            CHECK (status = 'draft'
                OR (parity_run_id IS NOT NULL AND published_by IS NOT NULL AND published_at IS NOT NULL))
    )
    """,
    """
    CREATE TABLE parity_run (
        run_id uuid NOT NULL,
        kind text NOT NULL,
        catalog_version bigint NOT NULL,
        tolerance numeric(27, 9) NOT NULL,
        status text NOT NULL,
        started_by text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        CONSTRAINT pk_parity_run PRIMARY KEY (run_id),
        CONSTRAINT ck_parity_run_kind CHECK (kind IN ('matrix', 'live')),
        CONSTRAINT ck_parity_run_status CHECK (status IN ('running', 'passed', 'failed', 'not_enough_data')),
        CONSTRAINT ck_parity_run_tolerance CHECK (tolerance >= 0 AND tolerance < 'NaN')
    )
    """,
    """
    CREATE TABLE parity_result (
        run_id uuid NOT NULL,
        ordinal integer NOT NULL,
        sku text NOT NULL,
        estimated numeric(27, 9) NOT NULL,
        rated numeric(27, 9) NOT NULL,
        passed boolean NOT NULL,
        detail jsonb,
        CONSTRAINT pk_parity_result PRIMARY KEY (run_id, ordinal),
        CONSTRAINT fk_parity_result_run_id FOREIGN KEY (run_id) REFERENCES parity_run (run_id),
        CONSTRAINT ck_parity_result_estimated CHECK (estimated <> 'NaN'),
        CONSTRAINT ck_parity_result_rated CHECK (rated <> 'NaN')
    )
    """,
    """
    ALTER TABLE catalog_version
        ADD CONSTRAINT fk_catalog_version_parity_run_id FOREIGN KEY (parity_run_id) REFERENCES parity_run (run_id)
    """,
    """
    CREATE TABLE engine_mode (
        org_id uuid,
        mode text NOT NULL,
        override_reason text,
        parity_run_id uuid,
        effective_at timestamptz,
        revision bigint NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_engine_mode PRIMARY KEY (revision),
        CONSTRAINT ck_engine_mode_mode CHECK (mode IN ('off', 'shadow', 'live')),
        CONSTRAINT ck_engine_mode_live_proved
            CHECK (mode <> 'live' OR parity_run_id IS NOT NULL OR btrim(coalesce(override_reason, '')) <> ''),
        CONSTRAINT fk_engine_mode_parity_run_id FOREIGN KEY (parity_run_id) REFERENCES parity_run (run_id)
    )
    """,
    """
    CREATE TABLE pricing_estimate (
        estimate_id uuid NOT NULL,
        key bytea NOT NULL,
        org_id uuid,
        project_id uuid,
        inputs jsonb NOT NULL,
        result jsonb NOT NULL,
        catalog_version bigint NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_pricing_estimate PRIMARY KEY (estimate_id),
        CONSTRAINT uq_pricing_estimate_key UNIQUE (key)
    )
    """,
)

RATING = (
    """
    CREATE TABLE usage_position (
        org_id uuid NOT NULL,
        sku text NOT NULL,
        period text NOT NULL,
        group_key text NOT NULL DEFAULT '',
        quantity numeric(27, 9) NOT NULL,
        CONSTRAINT pk_usage_position PRIMARY KEY (org_id, sku, period, group_key),
        CONSTRAINT ck_usage_position_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
        CONSTRAINT ck_usage_position_quantity CHECK (quantity >= 0 AND quantity < 'NaN')
    )
    """,
    # Updated by nearly every batch: room on the page keeps the update off the index.
    "ALTER TABLE usage_position SET (fillfactor = 50)",
    """
    CREATE TABLE charge (
        charge_id uuid NOT NULL,
        event_id uuid NOT NULL,
        org_id uuid NOT NULL,
        project_id uuid,
        billing_account_id uuid NOT NULL,
        mapping_id uuid NOT NULL,
        plan_id uuid NOT NULL,
        sku text NOT NULL,
        sku_type text NOT NULL,
        kind text NOT NULL,
        mode text NOT NULL,
        quantity numeric(27, 9) NOT NULL,
        quantity_before numeric(27, 9) NOT NULL,
        currency text NOT NULL,
        amount numeric(27, 9) NOT NULL,
        event_time timestamptz NOT NULL,
        period text NOT NULL,
        included_revision bigint NOT NULL,
        price_revision bigint NOT NULL,
        tiers_revision bigint NOT NULL,
        catalog_revision bigint NOT NULL,
        orgs_revision bigint NOT NULL,
        lane integer NOT NULL,
        pos bigint NOT NULL,
        seq bigint NOT NULL,
        rated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_charge PRIMARY KEY (charge_id),
        CONSTRAINT ck_charge_kind CHECK (kind IN ('usage', 'rerate', 'base', 'minimum')),
        CONSTRAINT ck_charge_mode CHECK (mode IN ('shadow', 'live', 'held')),
        CONSTRAINT ck_charge_quantity CHECK (quantity <> 'NaN'),
        CONSTRAINT ck_charge_quantity_before CHECK (quantity_before >= 0 AND quantity_before < 'NaN'),
        CONSTRAINT ck_charge_amount CHECK (amount <> 'NaN')
    )
    """,
    "CREATE UNIQUE INDEX ix_charge_lane ON charge (lane, seq, kind)",
    """
    CREATE TABLE charge_refusal (
        event_id uuid NOT NULL,
        seq bigint NOT NULL,
        org_id uuid NOT NULL,
        sku text NOT NULL,
        event_time timestamptz NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        catalog_revision bigint NOT NULL,
        orgs_revision bigint NOT NULL,
        lane integer NOT NULL,
        pos bigint NOT NULL,
        refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_charge_refusal PRIMARY KEY (event_id, seq),
        CONSTRAINT ck_charge_refusal_reason CHECK (reason IN ('UNKNOWN_ORG', 'UNKNOWN_SKU', 'NO_ENTITLEMENT',
            'PERIOD_CLOSED', 'CORRECTION_BELOW_ZERO', 'PROCESSING_FAILED'))
    )
    """,
    """
    CREATE TABLE period_close (
        period text NOT NULL,
        lane integer NOT NULL,
        org_id uuid,
        pos bigint NOT NULL,
        seq bigint NOT NULL,
        closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT uq_period_close_period_lane_org_id UNIQUE NULLS NOT DISTINCT (period, lane, org_id),
        CONSTRAINT ck_period_close_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$')
    )
    """,
)

BUDGETS = (
    """
    CREATE TABLE budget (
        budget_id uuid NOT NULL,
        subject_type text NOT NULL,
        subject_id uuid NOT NULL,
        currency text NOT NULL,
        amount numeric(27, 9) NOT NULL,
        hard_cap boolean NOT NULL,
        effective_at timestamptz NOT NULL,
        revision bigint NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_budget PRIMARY KEY (budget_id),
        CONSTRAINT uq_budget_subject_type_subject_id_revision UNIQUE (subject_type, subject_id, revision),
        CONSTRAINT ck_budget_subject_type CHECK (subject_type IN ('org', 'account')),
        CONSTRAINT ck_budget_currency CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT ck_budget_amount CHECK (amount >= 0 AND amount < 'NaN')
    )
    """,
    """
    CREATE TABLE budget_alert (
        budget_id uuid NOT NULL,
        period text NOT NULL,
        percent integer NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_budget_alert PRIMARY KEY (budget_id, period, percent),
        CONSTRAINT fk_budget_alert_budget_id FOREIGN KEY (budget_id) REFERENCES budget (budget_id),
        CONSTRAINT ck_budget_alert_percent CHECK (percent IN (50, 80, 100)),
        CONSTRAINT ck_budget_alert_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$')
    )
    """,
)

APPEND_ONLY = ("plan_sku", "org_business_model", "org_entitlement", "tax_rate", "engine_mode")

# What points to a table of before stops its writers for a moment, and comes at the very end.
FOREIGN_KEYS = {
    "fk_org_business_model_plan_id": ("org_business_model", "FOREIGN KEY (plan_id) REFERENCES plan (plan_id)"),
    "fk_org_entitlement_plan_id": ("org_entitlement", "FOREIGN KEY (plan_id) REFERENCES plan (plan_id)"),
}

GRANTS = {
    **dict.fromkeys(("product_sku", "plan", *APPEND_ONLY), "SELECT, INSERT"),
    "business_model": "SELECT, INSERT, UPDATE",
    "catalog_version": "SELECT, INSERT, UPDATE",
    "parity_run": "SELECT, INSERT, UPDATE",
    "parity_result": "SELECT, INSERT",
    "pricing_estimate": "SELECT, INSERT",
    "usage_position": "SELECT, INSERT, UPDATE",
    "charge": "SELECT, INSERT",
    "charge_refusal": "SELECT, INSERT",
    "period_close": "SELECT, INSERT",
    "budget": "SELECT, INSERT",
    "budget_alert": "SELECT, INSERT",
}

BEFORE = ("product_sku", "plan", "plan_sku")

NEW_TABLES = (
    "budget_alert",
    "budget",
    "period_close",
    "charge_refusal",
    "charge",
    "usage_position",
    "pricing_estimate",
    "engine_mode",
    "catalog_version",
    "parity_result",
    "parity_run",
    "tax_rate",
    "org_entitlement",
    "org_business_model",
)

BACK = (
    # Only the newest version of a plan's row was there before.
    """
    DELETE FROM plan_sku AS old USING plan_sku AS new
        WHERE old.plan_id = new.plan_id AND old.sku = new.sku
            AND (old.effective_at, old.revision) < (new.effective_at, new.revision)
    """,
    "DROP INDEX ix_plan_sku_revision",
    """
    ALTER TABLE plan_sku
        DROP CONSTRAINT ck_plan_sku_tiers, DROP CONSTRAINT ck_plan_sku_overage_price,
        DROP CONSTRAINT ck_plan_sku_included_qty, DROP CONSTRAINT ck_plan_sku_charge_model,
        DROP CONSTRAINT fk_plan_sku_sku, DROP CONSTRAINT fk_plan_sku_plan_id, DROP CONSTRAINT pk_plan_sku,
        ALTER COLUMN plan_id SET NOT NULL, ALTER COLUMN sku SET NOT NULL,
        DROP COLUMN created_at, DROP COLUMN created_by, DROP COLUMN revision, DROP COLUMN effective_at,
        ALTER COLUMN charge_model SET DEFAULT 'per_unit'
    """,
    """
    ALTER TABLE plan
        DROP CONSTRAINT fk_plan_model_id, DROP CONSTRAINT ck_plan_base_price, DROP CONSTRAINT ck_plan_currency,
        DROP CONSTRAINT ck_plan_status, DROP CONSTRAINT uq_plan_name,
        DROP COLUMN created_at, DROP COLUMN created_by, DROP COLUMN revision, DROP COLUMN status, DROP COLUMN model_id
    """,
    "DROP TABLE business_model",
    """
    ALTER TABLE product_sku
        DROP CONSTRAINT ck_product_sku_retail, DROP CONSTRAINT ck_product_sku_cost, DROP CONSTRAINT ck_product_sku_type,
        DROP COLUMN created_at, DROP COLUMN created_by, DROP COLUMN revision
    """,
)


def upgrade() -> None:
    for statement in WIDEN:
        op.execute(statement)
    for name, (table, columns) in UNIQUE.items():
        safe.create_index_concurrently(name, table, columns, unique=True)
    # So that loading what a newer revision added reads only that.
    safe.create_index_concurrently("ix_plan_sku_revision", "plan_sku", "revision")
    for name, (table, definition) in CONSTRAINTS.items():
        safe.add_constraint_online(table, name, definition)
    safe.create_shared_tables()
    safe.create_data_migration_table()
    safe.create_lane_tables()
    hand_over_migration_audit()
    for statement in (*TERMS, *PARITY, *RATING, *BUDGETS):
        op.execute(statement)
    for table in APPEND_ONLY:
        if table not in BEFORE:
            safe.make_immutable(table)
    for table, privileges in GRANTS.items():
        if table not in BEFORE:
            safe.grant(table, privileges)
    for name, (table, definition) in FOREIGN_KEYS.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for statement in SETTLE:
        op.execute(statement)
    for table in BEFORE:
        safe.grant(table, GRANTS[table])
    safe.make_immutable("plan_sku")


def downgrade() -> None:
    op.execute("DROP TRIGGER plan_sku_no_change ON plan_sku")
    op.execute("DROP TRIGGER plan_sku_no_truncate ON plan_sku")
    for table in BEFORE:
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {safe.app_role()}")
    for table in NEW_TABLES:
        op.execute(f"DROP TABLE {table}")
    for statement in BACK:
        op.execute(statement)
    safe.drop_lane_tables()
    safe.drop_data_migration_table()
    safe.drop_shared_tables()
