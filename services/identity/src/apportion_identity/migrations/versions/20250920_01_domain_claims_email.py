"""Domain claims proved by mail; and constraints on the users, memberships, invitations, settings and claims of before.

Why:        An organisation proves that a domain is its own; invitations and addresses are unique in any letter case.
Lock class: ACCESS EXCLUSIVE for an instant on the tables that stood before, while a column with a constant or a checked
            constraint is added: no row is read or written under it. Indexes are built, and constraints validated,
            beside the writers.
Reversible: Yes; what the new tables and columns hold is lost.
Pre-flight: See preflight.py; every constraint and unique index that rows of before could break has its check.
Again:      Until the last transaction everything can be begun again; that one has the rest and the revision's name.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.audit import hand_over_migration_audit
from apportion_migrate.preflight import checks_beside
from apportion_migrate.revision import RevisionNotes

revision = "20250920_01_domain_claims_email"
down_revision = "identity_baseline"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="An organisation proves that a domain is its own; invitations and addresses are unique in any letter case.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    checks=checks_beside(__file__),
    data=("invitation_addresses",),
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="Indexes are built and constraints validated beside the writers, on tables of any size.",
    test="tests/migrations/preflight/test_legacy_to_head.py",
)

# What may be begun again after any crash; a column is made with a constant, so no row is written.
WIDEN = (
    # The same bytes in another type: no row is read.
    """
    -- squawk-ignore changing-column-type
    ALTER TABLE app_user ALTER COLUMN email TYPE citext
    """,
    # Nobody knows when an old invitation was made; none of them counts in a day's limit.
    "ALTER TABLE invitation ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT '2000-01-01T00:00:00Z'",
    """
    ALTER TABLE domain_claim
        ADD COLUMN IF NOT EXISTS wildcard boolean NOT NULL DEFAULT false,
        ADD COLUMN IF NOT EXISTS token_hash bytea,
        ADD COLUMN IF NOT EXISTS token_expires_at timestamptz,
        ADD COLUMN IF NOT EXISTS proved_at timestamptz,
        ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT 'migration',
        ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now()
    """,
)

UNIQUE = {
    "uq_app_user_email": ("app_user", "email", ""),
    "uq_invitation_token_hash": ("invitation", "token_hash", ""),
    "ix_invitation_live": ("invitation", "org_id, lower(email)", "consumed_at IS NULL AND revoked_at IS NULL"),
    "uq_domain_claim_token_hash": ("domain_claim", "token_hash", ""),
    "ix_domain_claim_held": ("domain_claim", "domain", "status IN ('pending', 'verified')"),
}

INDEXES = {
    "ix_membership_user_id": ("membership", "user_id"),
    "ix_invitation_org_id_created_at": ("invitation", "org_id, created_at"),
    "ix_domain_claim_org_id": ("domain_claim", "org_id"),
}

ROLES = "CHECK (role IN ('Owner', 'Admin', 'User'))"
ADDRESS = "CHECK (position('@' in email) > 1 AND length(email) <= 320)"

CONSTRAINTS = {
    "ck_app_user_email": ("app_user", ADDRESS),
    "fk_membership_user_id": ("membership", "FOREIGN KEY (user_id) REFERENCES app_user (user_id)"),
    "ck_membership_role": ("membership", ROLES),
    "ck_membership_status": ("membership", "CHECK (status IN ('active', 'pending'))"),
    "ck_invitation_email": ("invitation", ADDRESS),
    "ck_invitation_role": ("invitation", ROLES),
    "ck_invitation_token_hash": ("invitation", "CHECK (octet_length(token_hash) = 32)"),
    "ck_invitation_one_end": ("invitation", "CHECK (consumed_at IS NULL OR revoked_at IS NULL)"),
    "ck_global_setting_value_type": (
        "global_setting",
        "CHECK (value_type IN ('int', 'decimal', 'bool', 'text', 'list'))",
    ),
    "ck_domain_claim_status": (
        "domain_claim",
        "CHECK (status IN ('pending', 'verified', 'revoked', 'pending_conflict'))",
    ),
    "ck_domain_claim_domain": (
        "domain_claim",
        """
        CHECK (
            domain = lower(domain) AND length(domain) BETWEEN 3 AND 253 AND domain NOT LIKE '%.' AND domain LIKE '%.%'
        )
        """,
    ),
    "ck_domain_claim_verified": (
        "domain_claim",
        "CHECK (status <> 'verified' OR (verified_at IS NOT NULL AND proof IS NOT NULL))",
    ),
    "ck_domain_claim_proved": ("domain_claim", "CHECK (proved_at IS NULL OR proof IS NOT NULL)"),
    "ck_domain_claim_wildcard": ("domain_claim", "CHECK (NOT wildcard OR verified_at IS NOT NULL)"),
    "ck_domain_claim_token_hash": ("domain_claim", "CHECK (octet_length(token_hash) = 32)"),
    "ck_domain_claim_token": ("domain_claim", "CHECK ((token_hash IS NULL) = (token_expires_at IS NULL))"),
}

# From here on all is one transaction, with the revision's name: it is there whole or not at all.
SETTLE = (
    "ALTER TABLE app_user ADD CONSTRAINT uq_app_user_email UNIQUE USING INDEX uq_app_user_email",
    """
    ALTER TABLE invitation
        ALTER COLUMN created_at SET DEFAULT clock_timestamp(),
        ADD CONSTRAINT uq_invitation_token_hash UNIQUE USING INDEX uq_invitation_token_hash
    """,
    """
    ALTER TABLE domain_claim
        ALTER COLUMN created_by DROP DEFAULT,
        ALTER COLUMN created_at DROP DEFAULT,
        ALTER COLUMN updated_at DROP DEFAULT,
        ADD CONSTRAINT uq_domain_claim_token_hash UNIQUE USING INDEX uq_domain_claim_token_hash
    """,
    """
    CREATE TRIGGER domain_claim_transition BEFORE INSERT OR UPDATE ON domain_claim
        FOR EACH ROW EXECUTE FUNCTION refuse_claim_transition()
    """,
    "ALTER TABLE domain_claim ENABLE ALWAYS TRIGGER domain_claim_transition",
)

CREATE = (
    """
    CREATE FUNCTION refuse_claim_transition() RETURNS trigger LANGUAGE plpgsql AS $function$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.status NOT IN ('pending', 'pending_conflict') THEN
                RAISE EXCEPTION 'A claim does not begin as %.', NEW.status USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END IF;
        IF (NEW.claim_id, NEW.org_id, NEW.domain) IS DISTINCT FROM (OLD.claim_id, OLD.org_id, OLD.domain) THEN
            RAISE EXCEPTION 'A claim keeps its id, organisation and domain.' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.status IS DISTINCT FROM OLD.status AND (OLD.status, NEW.status) NOT IN (
            ('pending', 'verified'), ('pending', 'revoked'), ('pending', 'pending_conflict'),
            ('pending_conflict', 'verified'), ('pending_conflict', 'revoked'),
            ('verified', 'revoked')
        ) THEN
            RAISE EXCEPTION 'A claim does not go from % to %.', OLD.status, NEW.status
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END
    $function$
    """,
    """
    CREATE TABLE claim_verification (
        verification_id uuid NOT NULL,
        claim_id uuid NOT NULL,
        proof_hash bytea NOT NULL,
        reason text NOT NULL,
        accepted boolean NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT pk_claim_verification PRIMARY KEY (verification_id),
        CONSTRAINT ck_claim_verification_proof_hash CHECK (octet_length(proof_hash) = 32)
    )
    """,
    "CREATE INDEX ix_claim_verification_claim_id ON claim_verification (claim_id, at)",
    "CREATE UNIQUE INDEX ix_claim_verification_accepted ON claim_verification (proof_hash) WHERE accepted",
    """
    CREATE TABLE claim_conflict (
        conflict_id uuid NOT NULL,
        claim_id uuid NOT NULL,
        against_claim_id uuid NOT NULL,
        state text NOT NULL,
        opened_at timestamptz NOT NULL,
        due_at timestamptz NOT NULL,
        escalated_at timestamptz,
        escalations integer NOT NULL,
        resolution text,
        resolved_by text,
        resolved_at timestamptz,
        CONSTRAINT pk_claim_conflict PRIMARY KEY (conflict_id),
        CONSTRAINT ck_claim_conflict_state CHECK (state IN ('open', 'resolved')),
        CONSTRAINT ck_claim_conflict_two_claims CHECK (claim_id <> against_claim_id),
        CONSTRAINT ck_claim_conflict_due_at CHECK (due_at > opened_at),
        CONSTRAINT ck_claim_conflict_escalations CHECK (
            escalations >= 0 AND (escalations = 0) = (escalated_at IS NULL)
        ),
        CONSTRAINT ck_claim_conflict_resolved CHECK (
            num_nonnulls(resolution, resolved_by, resolved_at) = CASE state WHEN 'resolved' THEN 3 ELSE 0 END
        )
    )
    """,
    """
    CREATE UNIQUE INDEX ix_claim_conflict_open ON claim_conflict (claim_id, against_claim_id) WHERE state = 'open'
    """,
    "CREATE INDEX ix_claim_conflict_against_claim_id ON claim_conflict (against_claim_id)",
    "CREATE INDEX ix_claim_conflict_due_at ON claim_conflict (due_at) WHERE state = 'open'",
    """
    CREATE TABLE join_request (
        request_id uuid NOT NULL,
        org_id uuid NOT NULL,
        user_id uuid,
        email citext,
        state text NOT NULL,
        created_at timestamptz NOT NULL,
        decided_at timestamptz,
        decided_by text,
        CONSTRAINT pk_join_request PRIMARY KEY (request_id),
        CONSTRAINT ck_join_request_state CHECK (state IN ('pending', 'approved', 'denied')),
        CONSTRAINT ck_join_request_who CHECK (num_nonnulls(user_id, email) = 1),
        CONSTRAINT ck_join_request_decided CHECK (
            num_nonnulls(decided_at, decided_by) = CASE state WHEN 'pending' THEN 0 ELSE 2 END
        )
    )
    """,
    "CREATE UNIQUE INDEX ix_join_request_pending_user ON join_request (org_id, user_id) WHERE state = 'pending'",
    "CREATE UNIQUE INDEX ix_join_request_pending_email ON join_request (org_id, email) WHERE state = 'pending'",
    "CREATE INDEX ix_join_request_user_id ON join_request (user_id)",
    """
    CREATE TABLE service_account (
        account_id uuid NOT NULL,
        name text NOT NULL,
        roles text[] NOT NULL,
        key_hash bytea NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL,
        revoked_at timestamptz,
        CONSTRAINT pk_service_account PRIMARY KEY (account_id),
        CONSTRAINT uq_service_account_key_hash UNIQUE (key_hash),
        CONSTRAINT ck_service_account_key_hash CHECK (octet_length(key_hash) = 32),
        CONSTRAINT ck_service_account_roles CHECK (
            roles <@ ARRAY['operator', 'finance', 'service'] AND cardinality(roles) > 0
        )
    )
    """,
    "CREATE UNIQUE INDEX ix_service_account_live ON service_account (name) WHERE revoked_at IS NULL",
    """
    CREATE TABLE user_login (
        issuer text NOT NULL,
        subject text NOT NULL,
        user_id uuid NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_user_login PRIMARY KEY (issuer, subject)
    )
    """,
    "CREATE INDEX ix_user_login_user_id ON user_login (user_id)",
    # The day's count is one row, so that racing invitations queue for it and none goes past the limit.
    """
    CREATE TABLE invitation_day (
        org_id uuid NOT NULL,
        day date NOT NULL,
        invited integer NOT NULL,
        CONSTRAINT pk_invitation_day PRIMARY KEY (org_id, day),
        CONSTRAINT ck_invitation_day_invited CHECK (invited > 0)
    )
    """,
    """
    CREATE TABLE signing_key (
        kid text NOT NULL,
        public_jwk jsonb NOT NULL,
        sealed_private_key bytea NOT NULL,
        created_at timestamptz NOT NULL,
        signs_from timestamptz NOT NULL,
        verifies_until timestamptz,
        CONSTRAINT pk_signing_key PRIMARY KEY (kid),
        CONSTRAINT ck_signing_key_public CHECK (NOT public_jwk ? 'd'),
        CONSTRAINT ck_signing_key_times CHECK (signs_from >= created_at AND verifies_until > signs_from)
    )
    """,
)

# What points to a table of before stops its writers for a moment, and comes at the very end.
FOREIGN_KEYS = {
    "fk_claim_verification_claim_id": (
        "claim_verification",
        "FOREIGN KEY (claim_id) REFERENCES domain_claim (claim_id)",
    ),
    "fk_claim_conflict_claim_id": ("claim_conflict", "FOREIGN KEY (claim_id) REFERENCES domain_claim (claim_id)"),
    "fk_claim_conflict_against_claim_id": (
        "claim_conflict",
        "FOREIGN KEY (against_claim_id) REFERENCES domain_claim (claim_id)",
    ),
    "fk_join_request_user_id": ("join_request", "FOREIGN KEY (user_id) REFERENCES app_user (user_id)"),
    "fk_user_login_user_id": ("user_login", "FOREIGN KEY (user_id) REFERENCES app_user (user_id)"),
}

GRANTS = {
    "app_user": "SELECT, INSERT, UPDATE",
    "membership": "SELECT, INSERT, UPDATE, DELETE",
    "invitation": "SELECT, INSERT, UPDATE",
    "global_setting": "SELECT, INSERT, UPDATE",
    "domain_claim": "SELECT, INSERT, UPDATE",
    "claim_verification": "SELECT, INSERT",
    "claim_conflict": "SELECT, INSERT, UPDATE",
    "join_request": "SELECT, INSERT, UPDATE",
    "service_account": "SELECT, INSERT, UPDATE",
    "user_login": "SELECT, INSERT",
    "invitation_day": "SELECT, INSERT, UPDATE",
    "signing_key": "SELECT, INSERT, UPDATE, DELETE",
}

BEFORE = ("app_user", "membership", "invitation", "global_setting", "domain_claim")
NEW = tuple(table for table in GRANTS if table not in BEFORE)

WAY_BACK = (
    "DROP TABLE signing_key",
    "DROP TABLE invitation_day",
    "DROP TABLE user_login",
    "DROP TABLE service_account",
    "DROP TABLE join_request",
    "DROP TABLE claim_conflict",
    "DROP TABLE claim_verification",
    "DROP TRIGGER domain_claim_transition ON domain_claim",
    "DROP FUNCTION refuse_claim_transition()",
    "DROP INDEX ix_domain_claim_org_id",
    "DROP INDEX ix_domain_claim_held",
    """
    ALTER TABLE domain_claim
        DROP CONSTRAINT ck_domain_claim_token,
        DROP CONSTRAINT ck_domain_claim_token_hash,
        DROP CONSTRAINT ck_domain_claim_wildcard,
        DROP CONSTRAINT ck_domain_claim_proved,
        DROP CONSTRAINT ck_domain_claim_verified,
        DROP CONSTRAINT ck_domain_claim_domain,
        DROP CONSTRAINT ck_domain_claim_status,
        DROP CONSTRAINT uq_domain_claim_token_hash,
        DROP COLUMN updated_at,
        DROP COLUMN created_at,
        DROP COLUMN created_by,
        DROP COLUMN proved_at,
        DROP COLUMN token_expires_at,
        DROP COLUMN token_hash,
        DROP COLUMN wildcard
    """,
    "ALTER TABLE global_setting DROP CONSTRAINT ck_global_setting_value_type",
    "DROP INDEX ix_invitation_org_id_created_at",
    "DROP INDEX ix_invitation_live",
    """
    ALTER TABLE invitation
        DROP CONSTRAINT ck_invitation_one_end,
        DROP CONSTRAINT ck_invitation_token_hash,
        DROP CONSTRAINT ck_invitation_role,
        DROP CONSTRAINT ck_invitation_email,
        DROP CONSTRAINT uq_invitation_token_hash,
        DROP COLUMN created_at
    """,
    "DROP INDEX ix_membership_user_id",
    """
    ALTER TABLE membership
        DROP CONSTRAINT ck_membership_status,
        DROP CONSTRAINT ck_membership_role,
        DROP CONSTRAINT fk_membership_user_id
    """,
    """
    ALTER TABLE app_user
        DROP CONSTRAINT ck_app_user_email,
        DROP CONSTRAINT uq_app_user_email,
        ALTER COLUMN email TYPE text
    """,
)


def upgrade() -> None:
    safe.create_extension("citext")
    for statement in WIDEN:
        op.execute(statement)
    for name, (table, columns, where) in UNIQUE.items():
        safe.create_index_concurrently(name, table, columns, unique=True, where=where)
    for name, (table, columns) in INDEXES.items():
        safe.create_index_concurrently(name, table, columns)
    for name, (table, definition) in CONSTRAINTS.items():
        safe.add_constraint_online(table, name, definition)
    safe.create_shared_tables()
    safe.create_data_migration_table()
    hand_over_migration_audit()
    for statement in CREATE:
        op.execute(statement)
    for table in NEW:
        safe.grant(table, GRANTS[table])
    for name, (table, definition) in FOREIGN_KEYS.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for statement in SETTLE:
        op.execute(statement)
    for table in BEFORE:
        safe.grant(table, GRANTS[table])


def downgrade() -> None:
    for statement in WAY_BACK:
        op.execute(statement)
    for table in BEFORE:
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {safe.app_role()}")
    safe.drop_data_migration_table()
    safe.drop_shared_tables()
