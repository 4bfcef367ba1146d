"""Hierarchy, billing accounts and invoices: the closure of the parent pointers, mappings over time, invoices that stay.

Why:        A group of organisations is read, moved and billed as one; every bill says who pays what, and once it has
            a number nobody can change it.
Lock class: ACCESS EXCLUSIVE on organization, billing_account and org_billing_mapping while they are checked and get
            their constraints (they hold configuration: a hundred thousand rows at most; billing_account is rewritten
            for its running number); everything else is new.
Reversible: Yes, as long as no invoice may be lost: the way back drops invoices, the closure (it follows from the
            parent pointers) and everything that hangs on them, and leaves the three older tables as they were.
Pre-flight: Slugs are unique and well formed; parents exist and form no cycle and no tree of more than 32 levels below
            its root; visibility is private, partners or public; accounts have an owner that exists and a currency of
            three capitals; mappings name an org and an account that exist, one per org and instant; a percentage of
            0 to 100 with at most 4 places just where the allocation is split.
            Roots of before keep the accounts they have: no default account is made for them.
"""

from __future__ import annotations

from alembic import op
from apportion_common.migrations import ops as safe

revision = "20250920_05_org_hierarchy_and_billing_accounts"
down_revision = "orgs_baseline"
branch_labels = None
depends_on = None

TERMS_COLUMNS = """
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN created_by text NOT NULL DEFAULT 'migration',
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT clock_timestamp()
"""

ALTERED = (
    f"""
    ALTER TABLE organization {TERMS_COLUMNS},
        ADD CONSTRAINT uq_organization_org_slug UNIQUE (org_slug),
        ADD CONSTRAINT ck_organization_org_slug CHECK (org_slug ~ '^[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?$'),
        ADD CONSTRAINT ck_organization_visibility CHECK (visibility IN ('private', 'partners', 'public')),
        ADD CONSTRAINT ck_organization_not_its_parent CHECK (parent_org_id <> org_id),
        ADD CONSTRAINT fk_organization_parent_org_id
            FOREIGN KEY (parent_org_id) REFERENCES organization (org_id)
    """,
    "CREATE INDEX ix_organization_parent_org_id ON organization (parent_org_id)",
    f"""
    ALTER TABLE billing_account {TERMS_COLUMNS},
        ADD COLUMN account_no bigint GENERATED ALWAYS AS IDENTITY,
        ADD COLUMN is_default boolean NOT NULL DEFAULT false,
        ADD CONSTRAINT uq_billing_account_account_no UNIQUE (account_no),
        ADD CONSTRAINT ck_billing_account_currency CHECK (currency ~ '^[A-Z]{{3}}$'),
        ADD CONSTRAINT ck_billing_account_status CHECK (status IN ('active', 'closed')),
        ADD CONSTRAINT fk_billing_account_owner_org_id
            FOREIGN KEY (owner_org_id) REFERENCES organization (org_id)
    """,
    "CREATE INDEX ix_billing_account_owner_org_id ON billing_account (owner_org_id)",
    "CREATE UNIQUE INDEX ix_billing_account_default ON billing_account (owner_org_id) WHERE is_default",
    f"""
    ALTER TABLE org_billing_mapping {TERMS_COLUMNS},
        ALTER COLUMN percent TYPE numeric(7, 4),
        ADD COLUMN declared_order bigint
    """,
    """
    UPDATE org_billing_mapping AS m SET declared_order = n.number
    FROM (
        SELECT mapping_id,
            row_number() OVER (PARTITION BY billing_account_id ORDER BY effective_at, mapping_id) AS number
        FROM org_billing_mapping
    ) AS n
    WHERE n.mapping_id = m.mapping_id
    """,
    """
    ALTER TABLE org_billing_mapping
        ALTER COLUMN declared_order SET NOT NULL,
        ADD CONSTRAINT uq_org_billing_mapping_org_id_effective_at UNIQUE (org_id, effective_at),
        ADD CONSTRAINT uq_org_billing_mapping_billing_account_id_declared_order
            UNIQUE (billing_account_id, declared_order),
        ADD CONSTRAINT ck_org_billing_mapping_allocation CHECK (allocation IN ('absorb', 'chargeback', 'split')),
        ADD CONSTRAINT ck_org_billing_mapping_split CHECK ((allocation = 'split') = (percent IS NOT NULL)),
        ADD CONSTRAINT ck_org_billing_mapping_percent CHECK (percent >= 0 AND percent <= 100),
        ADD CONSTRAINT fk_org_billing_mapping_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id),
        ADD CONSTRAINT fk_org_billing_mapping_billing_account_id
            FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)
    """,
)

TABLES = (
    """
    CREATE TABLE org_hierarchy (
        ancestor_org_id uuid NOT NULL,
        descendant_org_id uuid NOT NULL,
        depth smallint NOT NULL,
        CONSTRAINT pk_org_hierarchy PRIMARY KEY (ancestor_org_id, descendant_org_id),
        CONSTRAINT uq_org_hierarchy_descendant_org_id_depth UNIQUE (descendant_org_id, depth),
        CONSTRAINT ck_org_hierarchy_depth CHECK (depth >= 0 AND depth <= 32),
        CONSTRAINT ck_org_hierarchy_self CHECK ((depth = 0) = (ancestor_org_id = descendant_org_id)),
        CONSTRAINT fk_org_hierarchy_ancestor_org_id FOREIGN KEY (ancestor_org_id) REFERENCES organization (org_id),
        CONSTRAINT fk_org_hierarchy_descendant_org_id FOREIGN KEY (descendant_org_id) REFERENCES organization (org_id)
    )
    """,
    # A cycle or a tree too deep runs into depth 33, which the check refuses: the migration stops and changes nothing.
    """
    INSERT INTO org_hierarchy (ancestor_org_id, descendant_org_id, depth)
    WITH RECURSIVE up (ancestor_org_id, descendant_org_id, depth) AS (
        SELECT org_id, org_id, 0 FROM organization
        UNION ALL
        SELECT o.parent_org_id, up.descendant_org_id, up.depth + 1
        FROM up JOIN organization AS o ON o.org_id = up.ancestor_org_id
        WHERE o.parent_org_id IS NOT NULL AND up.depth <= 32
    )
    SELECT ancestor_org_id, descendant_org_id, depth FROM up
    """,
    """
    CREATE TABLE cost_center (
        cost_center_id uuid NOT NULL,
        org_id uuid NOT NULL,
        name text NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_cost_center PRIMARY KEY (cost_center_id),
        CONSTRAINT uq_cost_center_org_id_name UNIQUE (org_id, name),
        CONSTRAINT fk_cost_center_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id)
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
        CONSTRAINT fk_project_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id),
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
        CONSTRAINT ck_group_role_membership_role CHECK (role IN ('GroupAdmin', 'GroupBilling', 'GroupSupport')),
        CONSTRAINT fk_group_role_membership_ancestor_org_id
            FOREIGN KEY (ancestor_org_id) REFERENCES organization (org_id)
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
        CONSTRAINT ck_assist_session_times CHECK (expires_at > started_at AND ended_at >= started_at),
        CONSTRAINT fk_assist_session_target_org_id FOREIGN KEY (target_org_id) REFERENCES organization (org_id)
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
        CONSTRAINT fk_invoice_billing_account_id
            FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id),
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
        CONSTRAINT fk_invoice_part_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id),
        CONSTRAINT fk_invoice_part_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id)
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
        CONSTRAINT fk_invoice_document_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id),
        CONSTRAINT fk_invoice_document_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id)
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
        CONSTRAINT fk_invoice_line_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id),
        CONSTRAINT fk_invoice_line_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id)
    )
    """,
    """
    CREATE TABLE invoice_number (
        billing_account_id uuid NOT NULL,
        last bigint NOT NULL,
        CONSTRAINT pk_invoice_number PRIMARY KEY (billing_account_id),
        CONSTRAINT ck_invoice_number_last CHECK (last > 0),
        CONSTRAINT fk_invoice_number_billing_account_id
            FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)
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
        CONSTRAINT fk_rounding_entry_invoice_id FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id),
        CONSTRAINT fk_rounding_entry_billing_account_id
            FOREIGN KEY (billing_account_id) REFERENCES billing_account (billing_account_id)
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
    "DROP TABLE org_hierarchy",
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
        DROP COLUMN declared_order,
        DROP COLUMN created_at,
        DROP COLUMN created_by,
        DROP COLUMN revision,
        ALTER COLUMN percent TYPE numeric
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
        DROP COLUMN account_no,
        DROP COLUMN created_at,
        DROP COLUMN created_by,
        DROP COLUMN revision
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
    safe.create_shared_tables()
    for statement in (*ALTERED, *TABLES, *INVOICES_STAY):
        op.execute(statement)
    for table, privileges in GRANTS.items():
        safe.grant(table, privileges)
    safe.make_immutable("org_billing_mapping")
    safe.make_immutable("rounding_entry")


def downgrade() -> None:
    """Drop what upgrade made, and give the older tables back as they were."""
    for statement in WAY_BACK:
        op.execute(statement)
    for table in ("organization", "billing_account", "org_billing_mapping"):
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {safe.app_role()}")
    safe.drop_shared_tables()
