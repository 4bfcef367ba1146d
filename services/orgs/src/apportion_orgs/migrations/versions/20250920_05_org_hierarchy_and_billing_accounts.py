"""Hierarchy, billing accounts and invoices: the closure of the parent pointers, mappings over time, invoices that stay.

Why:        A group of organisations is read, moved and billed as one; every bill says who pays what, and once it has
            a number nobody can change it.
Lock class: ACCESS EXCLUSIVE for an instant on organization, org_hierarchy, billing_account and org_billing_mapping,
            while a column with a constant or a checked constraint is added. Indexes are built, and constraints
            validated, beside the writers.
Reversible: Yes, as long as no invoice may be lost: the way back drops invoices and everything that hangs on them, and
            leaves the four older tables as they were.
Pre-flight: See preflight.py; every constraint that rows of before could break has its check, and so have cycles and a
            closure that says otherwise than the parent pointers.
Again:      Until the last transaction everything can be begun again; that one has the rest and the revision's name.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.audit import hand_over_migration_audit
from apportion_migrate.preflight import checks_beside
from apportion_migrate.revision import RevisionNotes

revision = "20250920_05_org_hierarchy_and_billing_accounts"
down_revision = "orgs_baseline"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="A group of organisations is read, moved and billed as one, and a numbered bill can never change.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    checks=checks_beside(__file__),
    data=("org_roots",),
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="Indexes are built and constraints validated beside the writers, on tables of any size.",
    test="tests/migrations/preflight/test_legacy_to_head.py",
)

TERMS = ("organization", "billing_account", "org_billing_mapping")

# May be begun again after any crash; a column is made with a constant, so no row is written.
TERMS_COLUMNS = """
    ADD COLUMN IF NOT EXISTS revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT 'migration',
    ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now()
"""
IS_DEFAULT = "ALTER TABLE billing_account ADD COLUMN IF NOT EXISTS is_default boolean NOT NULL DEFAULT false"

UNIQUE = {
    "uq_organization_org_slug": ("organization", "org_slug", ""),
    "uq_billing_account_account_no": ("billing_account", "account_no", ""),
    "ix_billing_account_default": ("billing_account", "owner_org_id", "is_default"),
    "uq_org_billing_mapping_org_id_effective_at": ("org_billing_mapping", "org_id, effective_at", ""),
    "uq_org_billing_mapping_billing_account_id_declared_order": (
        "org_billing_mapping",
        "billing_account_id, declared_order",
        "",
    ),
    "pk_org_hierarchy": ("org_hierarchy", "ancestor_org_id, descendant_org_id", ""),
    "uq_org_hierarchy_descendant_org_id_depth": ("org_hierarchy", "descendant_org_id, depth", ""),
}

INDEXES = {
    "ix_organization_parent_org_id": ("organization", "parent_org_id"),
    "ix_billing_account_owner_org_id": ("billing_account", "owner_org_id"),
}

CONSTRAINTS = {
    "ck_organization_org_slug": (
        "organization",
        "CHECK (org_slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",
    ),
    "ck_organization_visibility": ("organization", "CHECK (visibility IN ('private', 'partners', 'public'))"),
    "ck_organization_not_its_parent": ("organization", "CHECK (parent_org_id <> org_id)"),
    "fk_organization_parent_org_id": (
        "organization",
        "FOREIGN KEY (parent_org_id) REFERENCES organization (org_id)",
    ),
    "ck_billing_account_currency": ("billing_account", "CHECK (currency ~ '^[A-Z]{3}$')"),
    "ck_billing_account_status": ("billing_account", "CHECK (status IN ('active', 'closed'))"),
    "fk_billing_account_owner_org_id": (
        "billing_account",
        "FOREIGN KEY (owner_org_id) REFERENCES organization (org_id)",
    ),
    "ck_org_billing_mapping_allocation": (
        "org_billing_mapping",
        "CHECK (allocation IN ('absorb', 'chargeback', 'split'))",
    ),
    "ck_org_billing_mapping_split": (
        "org_billing_mapping",
        "CHECK ((allocation = 'split') = (percent IS NOT NULL))",
    ),
    "ck_org_billing_mapping_percent": ("org_billing_mapping", "CHECK (percent >= 0 AND percent <= 100)"),
    "fk_org_billing_mapping_org_id": (
        "org_billing_mapping",
        "FOREIGN KEY (org_id) REFERENCES organization (org_id)",
    ),
    "fk_org_billing_mapping_billing_account_id": (
        "org_billing_mapping",
        "FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)",
    ),
    "ck_org_hierarchy_depth": ("org_hierarchy", "CHECK (depth >= 0 AND depth <= 32)"),
    "ck_org_hierarchy_self": (
        "org_hierarchy",
        "CHECK ((depth = 0) = (ancestor_org_id = descendant_org_id))",
    ),
    "fk_org_hierarchy_ancestor_org_id": (
        "org_hierarchy",
        "FOREIGN KEY (ancestor_org_id) REFERENCES organization (org_id)",
    ),
    "fk_org_hierarchy_descendant_org_id": (
        "org_hierarchy",
        "FOREIGN KEY (descendant_org_id) REFERENCES organization (org_id)",
    ),
}

# From here on all is one transaction, with the revision's name: it is there whole or not at all.
SETTLE = (
    # The numbers that were given stay; the next one follows the last, which its index knows.
    """
    ALTER TABLE billing_account
        ALTER COLUMN account_no DROP DEFAULT,
        ADD CONSTRAINT uq_billing_account_account_no UNIQUE USING INDEX uq_billing_account_account_no
    """,
    # Only the default that was dropped just now used it.
    """
    -- squawk-ignore ban-drop-sequence
    DROP SEQUENCE billing_account_account_no_seq
    """,
    """
    -- squawk-ignore ban-alter-identity
    ALTER TABLE billing_account ALTER COLUMN account_no ADD GENERATED ALWAYS AS IDENTITY
    """,
    """
    SELECT setval('billing_account_account_no_seq', coalesce(max(account_no), 1), max(account_no) IS NOT NULL)
    FROM billing_account
    """,
    "ALTER TABLE organization ADD CONSTRAINT uq_organization_org_slug UNIQUE USING INDEX uq_organization_org_slug",
    """
    ALTER TABLE org_billing_mapping
        ALTER COLUMN declared_order DROP DEFAULT,
        ADD CONSTRAINT uq_org_billing_mapping_org_id_effective_at
            UNIQUE USING INDEX uq_org_billing_mapping_org_id_effective_at,
        ADD CONSTRAINT uq_org_billing_mapping_billing_account_id_declared_order
            UNIQUE USING INDEX uq_org_billing_mapping_billing_account_id_declared_order
    """,
    """
    -- squawk-ignore ban-drop-sequence
    DROP SEQUENCE org_billing_mapping_declared_order_seq
    """,
    """
    ALTER TABLE org_hierarchy
        ADD CONSTRAINT pk_org_hierarchy PRIMARY KEY USING INDEX pk_org_hierarchy,
        ADD CONSTRAINT uq_org_hierarchy_descendant_org_id_depth
            UNIQUE USING INDEX uq_org_hierarchy_descendant_org_id_depth
    """,
)

TABLES = (
    """
    CREATE TABLE cost_center (
        cost_center_id uuid NOT NULL,
        org_id uuid NOT NULL,
        name text NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_cost_center PRIMARY KEY (cost_center_id),
        CONSTRAINT uq_cost_center_org_id_name UNIQUE (org_id, name)
    )
    """,
    """
    CREATE TABLE project (
        project_id uuid NOT NULL,
        org_id uuid NOT NULL,
        name text NOT NULL,
        cost_center_id uuid,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_project PRIMARY KEY (project_id),
        CONSTRAINT uq_project_org_id_name UNIQUE (org_id, name),
        CONSTRAINT fk_project_cost_center_id FOREIGN KEY (cost_center_id) REFERENCES cost_center (cost_center_id)
    )
    """,
    "CREATE INDEX ix_project_cost_center_id ON project (cost_center_id)",
    """
    CREATE TABLE group_role_membership (
        ancestor_org_id uuid NOT NULL,
        user_id uuid NOT NULL,
        role text NOT NULL,
        granted_by text NOT NULL,
        granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_group_role_membership PRIMARY KEY (ancestor_org_id, user_id, role),
        CONSTRAINT ck_group_role_membership_role CHECK (role IN ('GroupAdmin', 'GroupBilling', 'GroupSupport'))
    )
    """,
    "CREATE INDEX ix_group_role_membership_user_id ON group_role_membership (user_id)",
    """
    CREATE TABLE assist_session (
        session_id uuid NOT NULL,
        actor_user_id uuid NOT NULL,
        target_org_id uuid NOT NULL,
        purpose text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT pk_assist_session PRIMARY KEY (session_id),
        CONSTRAINT ck_assist_session_purpose CHECK (purpose <> ''),
        CONSTRAINT ck_assist_session_times CHECK (expires_at > started_at AND ended_at >= started_at)
    )
    """,
    "CREATE INDEX ix_assist_session_target_org_id ON assist_session (target_org_id, started_at)",
    "CREATE INDEX ix_assist_session_open ON assist_session (expires_at) WHERE ended_at IS NULL",
    """
    CREATE TABLE invoice (
        invoice_id uuid NOT NULL,
        billing_account_id uuid NOT NULL,
        period text NOT NULL,
        state text NOT NULL,
        sequence bigint,
        number text,
        currency text NOT NULL,
        ledger_total numeric(27, 9) NOT NULL,
        total numeric(27, 9) NOT NULL,
        rounding_difference numeric(27, 9) NOT NULL,
        horizon bigint NOT NULL,
        until timestamptz NOT NULL,
        previous_invoice_id uuid,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finalized_by text,
        finalized_at timestamptz,
        CONSTRAINT pk_invoice PRIMARY KEY (invoice_id),
        CONSTRAINT uq_invoice_billing_account_id_sequence UNIQUE (billing_account_id, sequence),
        CONSTRAINT uq_invoice_number UNIQUE (number),
        CONSTRAINT ck_invoice_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
        CONSTRAINT ck_invoice_state CHECK (state IN ('draft', 'final', 'paid', 'void')),
        CONSTRAINT ck_invoice_numbered CHECK (
            num_nonnulls(sequence, number, finalized_by, finalized_at) = CASE state WHEN 'draft' THEN 0 ELSE 4 END
        ),
        CONSTRAINT ck_invoice_sequence CHECK (sequence > 0),
        CONSTRAINT ck_invoice_currency CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT ck_invoice_finite CHECK (ledger_total <> 'NaN'::numeric AND total <> 'NaN'::numeric),
        CONSTRAINT ck_invoice_rounding CHECK (rounding_difference = total - ledger_total),
        CONSTRAINT ck_invoice_horizon CHECK (horizon > 0),
        CONSTRAINT fk_invoice_previous_invoice_id FOREIGN KEY (previous_invoice_id) REFERENCES invoice (invoice_id)
    )
    """,
    "CREATE UNIQUE INDEX ix_invoice_draft ON invoice (billing_account_id, period) WHERE state = 'draft'",
    "CREATE INDEX ix_invoice_billing_account_id ON invoice (billing_account_id, invoice_id)",
    "CREATE INDEX ix_invoice_period ON invoice (period, invoice_id)",
    """
    CREATE TABLE invoice_part (
        invoice_id uuid NOT NULL,
        position integer NOT NULL,
        org_id uuid NOT NULL,
        ledger_total numeric(27, 9) NOT NULL,
        part numeric(27, 9) NOT NULL,
        allocation text NOT NULL,
        percent numeric(7, 4),
        owner_pays numeric(27, 9) NOT NULL,
        org_pays numeric(27, 9) NOT NULL,
        CONSTRAINT pk_invoice_part PRIMARY KEY (invoice_id, position),
        CONSTRAINT uq_invoice_part_invoice_id_org_id UNIQUE (invoice_id, org_id),
        CONSTRAINT ck_invoice_part_payers CHECK (part = owner_pays + org_pays),
        CONSTRAINT ck_invoice_part_finite CHECK (ledger_total <> 'NaN'::numeric AND part <> 'NaN'::numeric),
        CONSTRAINT ck_invoice_part_allocation CHECK (allocation IN ('absorb', 'chargeback', 'split')),
        CONSTRAINT ck_invoice_part_split CHECK ((allocation = 'split') = (percent IS NOT NULL)),
        CONSTRAINT ck_invoice_part_percent CHECK (percent >= 0 AND percent <= 100),
        CONSTRAINT fk_invoice_part_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id)
    )
    """,
    """
    CREATE TABLE invoice_document (
        invoice_id uuid NOT NULL,
        position integer NOT NULL,
        document_id uuid NOT NULL,
        org_id uuid NOT NULL,
        payable boolean NOT NULL,
        total numeric(27, 9) NOT NULL,
        number text,
        CONSTRAINT pk_invoice_document PRIMARY KEY (invoice_id, position),
        CONSTRAINT uq_invoice_document_document_id UNIQUE (document_id),
        CONSTRAINT uq_invoice_document_number UNIQUE (number),
        CONSTRAINT uq_invoice_document_invoice_id_org_id_payable UNIQUE (invoice_id, org_id, payable),
        CONSTRAINT ck_invoice_document_finite CHECK (total <> 'NaN'::numeric),
        CONSTRAINT fk_invoice_document_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id)
    )
    """,
    """
    CREATE TABLE invoice_line (
        invoice_id uuid NOT NULL,
        position integer NOT NULL,
        org_id uuid NOT NULL,
        sku text NOT NULL,
        project_id uuid,
        kind text NOT NULL,
        quantity numeric(27, 9) NOT NULL,
        gross numeric(27, 9) NOT NULL,
        partner_id uuid,
        partner_amount numeric(27, 9) NOT NULL,
        partner_from_account boolean NOT NULL,
        line_count bigint NOT NULL,
        amount numeric(27, 9) NOT NULL,
        CONSTRAINT pk_invoice_line PRIMARY KEY (invoice_id, position),
        CONSTRAINT ck_invoice_line_kind CHECK (
            kind IN ('usage', 'rerate', 'base', 'minimum', 'adjustment', 'reversal')
        ),
        CONSTRAINT ck_invoice_line_finite CHECK (
            quantity <> 'NaN'::numeric AND gross <> 'NaN'::numeric
            AND partner_amount <> 'NaN'::numeric AND amount <> 'NaN'::numeric
        ),
        CONSTRAINT ck_invoice_line_partner CHECK (
            partner_id IS NOT NULL OR (partner_amount = 0 AND NOT partner_from_account)
        ),
        CONSTRAINT ck_invoice_line_line_count CHECK (line_count > 0),
        CONSTRAINT fk_invoice_line_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id)
    )
    """,
    """
    CREATE TABLE invoice_number (
        billing_account_id uuid NOT NULL,
        last bigint NOT NULL,
        CONSTRAINT pk_invoice_number PRIMARY KEY (billing_account_id),
        CONSTRAINT ck_invoice_number_last CHECK (last > 0)
    )
    """,
    """
    CREATE TABLE rounding_entry (
        invoice_id uuid NOT NULL,
        billing_account_id uuid NOT NULL,
        currency text NOT NULL,
        amount numeric(27, 9) NOT NULL,
        booked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_rounding_entry PRIMARY KEY (invoice_id),
        CONSTRAINT ck_rounding_entry_amount CHECK (amount <> 'NaN'::numeric),
        CONSTRAINT fk_rounding_entry_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id)
    )
    """,
    "CREATE INDEX ix_rounding_entry_billing_account_id ON rounding_entry (billing_account_id)",
)

# What has a number stays as it is: afterwards only its state goes on, to paid or void. On the way to its number an
# invoice is asked whether it adds up.
INVOICES_STAY = (
    """
    CREATE FUNCTION refuse_invoice_change() RETURNS trigger LANGUAGE plpgsql AS $function$
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
                SELECT org_id, sum(amount) AS amount, sum(gross) AS gross
                FROM invoice_line WHERE invoice_id = NEW.invoice_id GROUP BY org_id
            ) AS l ON l.org_id = p.org_id
            WHERE p.invoice_id = NEW.invoice_id
                AND (l.amount, l.gross) IS DISTINCT FROM (p.part, p.ledger_total);
        IF parts <> NEW.total OR shown <> NEW.total OR payable <> NEW.total
                OR charged <> NEW.ledger_total OR crooked > 0 THEN
            RAISE EXCEPTION 'Invoice % does not add up.', NEW.invoice_id USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END
    $function$
    """,
    """
    CREATE TRIGGER invoice_no_change BEFORE INSERT OR UPDATE OR DELETE ON invoice
        FOR EACH ROW EXECUTE FUNCTION refuse_invoice_change()
    """,
    "ALTER TABLE invoice ENABLE ALWAYS TRIGGER invoice_no_change",
    # The share lock makes whoever writes contents and whoever gives the number wait for each other.
    """
    CREATE FUNCTION refuse_invoice_content_change() RETURNS trigger LANGUAGE plpgsql AS $function$
    DECLARE
        of_invoice uuid;
        current_state text;
    BEGIN
        IF TG_OP = 'UPDATE' AND NEW.invoice_id <> OLD.invoice_id THEN
            RAISE EXCEPTION 'What is on an invoice does not move to another.' USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'INSERT' THEN
            of_invoice := NEW.invoice_id;
        ELSE
            of_invoice := OLD.invoice_id;
        END IF;
        SELECT state INTO current_state FROM invoice WHERE invoice_id = of_invoice FOR SHARE;
        IF current_state IS DISTINCT FROM 'draft' THEN
            RAISE EXCEPTION 'Invoice % is % and its contents stay.', of_invoice, current_state
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END
    $function$
    """,
    *(
        statement
        for table in ("invoice_part", "invoice_document", "invoice_line")
        for statement in (
            f"""
            CREATE TRIGGER {table}_no_change BEFORE INSERT OR UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION refuse_invoice_content_change()
            """,
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_change",
        )
    ),
    *(
        statement
        for table in ("invoice", "invoice_part", "invoice_document", "invoice_line")
        for statement in (
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate",
        )
    ),
)

# What points to a table of before stops its writers for a moment, and comes at the very end.
FOREIGN_KEYS = {
    "fk_cost_center_org_id": ("cost_center", "FOREIGN KEY (org_id) REFERENCES organization (org_id)"),
    "fk_project_org_id": ("project", "FOREIGN KEY (org_id) REFERENCES organization (org_id)"),
    "fk_group_role_membership_ancestor_org_id": (
        "group_role_membership",
        "FOREIGN KEY (ancestor_org_id) REFERENCES organization (org_id)",
    ),
    "fk_assist_session_target_org_id": (
        "assist_session",
        "FOREIGN KEY (target_org_id) REFERENCES organization (org_id)",
    ),
    "fk_invoice_billing_account_id": (
        "invoice",
        "FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)",
    ),
    "fk_invoice_part_org_id": ("invoice_part", "FOREIGN KEY (org_id) REFERENCES organization (org_id)"),
    "fk_invoice_document_org_id": ("invoice_document", "FOREIGN KEY (org_id) REFERENCES organization (org_id)"),
    "fk_invoice_line_org_id": ("invoice_line", "FOREIGN KEY (org_id) REFERENCES organization (org_id)"),
    "fk_invoice_number_billing_account_id": (
        "invoice_number",
        "FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)",
    ),
    "fk_rounding_entry_billing_account_id": (
        "rounding_entry",
        "FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)",
    ),
}

GRANTS = {
    "organization": "SELECT, INSERT, UPDATE",
    "org_hierarchy": "SELECT, INSERT, DELETE",
    "billing_account": "SELECT, INSERT, UPDATE",
    "org_billing_mapping": "SELECT, INSERT",
    "cost_center": "SELECT, INSERT, UPDATE",
    "project": "SELECT, INSERT, UPDATE",
    "group_role_membership": "SELECT, INSERT, DELETE",
    "assist_session": "SELECT, INSERT, UPDATE",
    "invoice": "SELECT, INSERT, UPDATE",
    "invoice_part": "SELECT, INSERT, DELETE",
    "invoice_document": "SELECT, INSERT, UPDATE, DELETE",
    "invoice_line": "SELECT, INSERT, DELETE",
    "invoice_number": "SELECT, INSERT, UPDATE",
    "rounding_entry": "SELECT, INSERT",
}

BEFORE = (*TERMS, "org_hierarchy")

WAY_BACK = (
    "DROP TABLE rounding_entry",
    "DROP TABLE invoice_number",
    "DROP TABLE invoice_line",
    "DROP TABLE invoice_document",
    "DROP TABLE invoice_part",
    "DROP TABLE invoice",
    "DROP FUNCTION refuse_invoice_content_change()",
    "DROP FUNCTION refuse_invoice_change()",
    "DROP TABLE assist_session",
    "DROP TABLE group_role_membership",
    "DROP TABLE project",
    "DROP TABLE cost_center",
    """
    ALTER TABLE org_hierarchy
        DROP CONSTRAINT fk_org_hierarchy_descendant_org_id,
        DROP CONSTRAINT fk_org_hierarchy_ancestor_org_id,
        DROP CONSTRAINT ck_org_hierarchy_self,
        DROP CONSTRAINT ck_org_hierarchy_depth,
        DROP CONSTRAINT uq_org_hierarchy_descendant_org_id_depth,
        DROP CONSTRAINT pk_org_hierarchy,
        ALTER COLUMN ancestor_org_id SET NOT NULL,
        ALTER COLUMN descendant_org_id SET NOT NULL
    """,
    "DROP TRIGGER org_billing_mapping_no_truncate ON org_billing_mapping",
    "DROP TRIGGER org_billing_mapping_no_change ON org_billing_mapping",
    """
    ALTER TABLE org_billing_mapping
        DROP CONSTRAINT fk_org_billing_mapping_billing_account_id,
        DROP CONSTRAINT fk_org_billing_mapping_org_id,
        DROP CONSTRAINT ck_org_billing_mapping_percent,
        DROP CONSTRAINT ck_org_billing_mapping_split,
        DROP CONSTRAINT ck_org_billing_mapping_allocation,
        DROP CONSTRAINT uq_org_billing_mapping_billing_account_id_declared_order,
        DROP CONSTRAINT uq_org_billing_mapping_org_id_effective_at,
        DROP COLUMN created_at,
        DROP COLUMN created_by,
        DROP COLUMN revision
    """,
    "CREATE SEQUENCE org_billing_mapping_declared_order_seq OWNED BY org_billing_mapping.declared_order",
    """
    SELECT setval('org_billing_mapping_declared_order_seq', coalesce(max(declared_order), 1),
        max(declared_order) IS NOT NULL) FROM org_billing_mapping
    """,
    """
    ALTER TABLE org_billing_mapping
        ALTER COLUMN declared_order SET DEFAULT nextval('org_billing_mapping_declared_order_seq')
    """,
    "DROP INDEX ix_billing_account_default",
    "DROP INDEX ix_billing_account_owner_org_id",
    """
    ALTER TABLE billing_account
        DROP CONSTRAINT fk_billing_account_owner_org_id,
        DROP CONSTRAINT ck_billing_account_status,
        DROP CONSTRAINT ck_billing_account_currency,
        DROP CONSTRAINT uq_billing_account_account_no,
        DROP COLUMN is_default,
        DROP COLUMN created_at,
        DROP COLUMN created_by,
        DROP COLUMN revision,
        ALTER COLUMN account_no DROP IDENTITY
    """,
    "CREATE SEQUENCE billing_account_account_no_seq OWNED BY billing_account.account_no",
    """
    SELECT setval('billing_account_account_no_seq', coalesce(max(account_no), 1), max(account_no) IS NOT NULL)
    FROM billing_account
    """,
    """
    ALTER TABLE billing_account ALTER COLUMN account_no SET DEFAULT nextval('billing_account_account_no_seq')
    """,
    "DROP INDEX ix_organization_parent_org_id",
    """
    ALTER TABLE organization
        DROP CONSTRAINT fk_organization_parent_org_id,
        DROP CONSTRAINT ck_organization_not_its_parent,
        DROP CONSTRAINT ck_organization_visibility,
        DROP CONSTRAINT ck_organization_org_slug,
        DROP CONSTRAINT uq_organization_org_slug,
        DROP COLUMN created_at,
        DROP COLUMN created_by,
        DROP COLUMN revision
    """,
)


def upgrade() -> None:
    """Constrain what was there, make the rest, and say who may do what."""
    for table in TERMS:
        op.execute(f"ALTER TABLE {table} {TERMS_COLUMNS}")
    op.execute(IS_DEFAULT)
    for name, (table, columns, where) in UNIQUE.items():
        safe.create_index_concurrently(name, table, columns, unique=True, where=where)
    for name, (table, columns) in INDEXES.items():
        safe.create_index_concurrently(name, table, columns)
    for name, (table, definition) in CONSTRAINTS.items():
        safe.add_constraint_online(table, name, definition)
    safe.create_shared_tables()
    safe.create_data_migration_table()
    hand_over_migration_audit()
    for statement in (*TABLES, *INVOICES_STAY):
        op.execute(statement)
    for table, privileges in GRANTS.items():
        if table not in BEFORE:
            safe.grant(table, privileges)
    safe.make_immutable("rounding_entry")
    for name, (table, definition) in FOREIGN_KEYS.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for table in TERMS:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN created_at SET DEFAULT clock_timestamp()")
    for statement in SETTLE:
        op.execute(statement)
    for table in BEFORE:
        safe.grant(table, GRANTS[table])
    safe.make_immutable("org_billing_mapping")


def downgrade() -> None:
    """Drop what upgrade made, and give the older tables back as they were."""
    for statement in WAY_BACK:
        op.execute(statement)
    for table in BEFORE:
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {safe.app_role()}")
    safe.drop_data_migration_table()
    safe.drop_shared_tables()
