"""Domain claims proved by mail; and constraints on the users, memberships, invitations and settings of before.

Why:        An organisation proves that a domain is its own; invitations and addresses are unique in any letter case.
Lock class: ACCESS EXCLUSIVE on app_user, membership, invitation and global_setting while their rows are checked and
            indexed (no rewrite: text to citext keeps the stored bytes); the rest are new tables.
Reversible: Yes; what the new tables hold is lost.
Pre-flight: Addresses of app_user equal in another letter case; live invitations of one organisation and address;
            token hashes that are equal or not of 32 bytes; malformed addresses, roles, statuses and value types;
            members without a user.
"""

from __future__ import annotations

from alembic import op
from apportion_common.migrations import ops as safe

revision = "20250920_01_domain_claims_email"
down_revision = "identity_baseline"
branch_labels = None
depends_on = None

CONSTRAIN = (
    """
    ALTER TABLE app_user
        ALTER COLUMN email TYPE citext,
        ADD CONSTRAINT uq_app_user_email UNIQUE (email),
        ADD CONSTRAINT ck_app_user_email CHECK (position('@' in email) > 1 AND length(email) <= 320)
    """,
    """
    ALTER TABLE membership
        ADD CONSTRAINT fk_membership_user_id FOREIGN KEY (user_id) REFERENCES app_user (user_id),
        ADD CONSTRAINT ck_membership_role CHECK (role IN ('Owner', 'Admin', 'User')),
        ADD CONSTRAINT ck_membership_status CHECK (status IN ('active', 'pending'))
    """,
    "CREATE INDEX ix_membership_user_id ON membership (user_id)",
    """
    ALTER TABLE invitation
        ADD COLUMN created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ADD CONSTRAINT uq_invitation_token_hash UNIQUE (token_hash),
        ADD CONSTRAINT ck_invitation_email CHECK (position('@' in email) > 1 AND length(email) <= 320),
        ADD CONSTRAINT ck_invitation_role CHECK (role IN ('Owner', 'Admin', 'User')),
        ADD CONSTRAINT ck_invitation_token_hash CHECK (octet_length(token_hash) = 32),
        ADD CONSTRAINT ck_invitation_one_end CHECK (consumed_at IS NULL OR revoked_at IS NULL)
    """,
    """
    CREATE UNIQUE INDEX ix_invitation_live ON invitation (org_id, lower(email))
        WHERE consumed_at IS NULL AND revoked_at IS NULL
    """,
    "CREATE INDEX ix_invitation_org_id_created_at ON invitation (org_id, created_at)",
    """
    ALTER TABLE global_setting
        ADD CONSTRAINT ck_global_setting_value_type CHECK (value_type IN ('int', 'decimal', 'bool', 'text', 'list'))
    """,
)

CREATE = (
    """
    CREATE TABLE domain_claim (
        claim_id uuid NOT NULL,
        org_id uuid NOT NULL,
        domain text NOT NULL,
        status text NOT NULL,
        verified_at timestamptz,
        wildcard boolean NOT NULL DEFAULT false,
        proof jsonb,
        token_hash bytea,
        token_expires_at timestamptz,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT pk_domain_claim PRIMARY KEY (claim_id),
        CONSTRAINT uq_domain_claim_token_hash UNIQUE (token_hash),
        CONSTRAINT ck_domain_claim_status CHECK (status IN ('pending', 'verified', 'revoked', 'pending_conflict')),
        CONSTRAINT ck_domain_claim_domain CHECK (
            domain = lower(domain) AND length(domain) BETWEEN 3 AND 253 AND domain NOT LIKE '%.' AND domain LIKE '%.%'
        ),
        CONSTRAINT ck_domain_claim_verified CHECK (
            status <> 'verified' OR (verified_at IS NOT NULL AND proof IS NOT NULL)
        ),
        CONSTRAINT ck_domain_claim_wildcard CHECK (NOT wildcard OR verified_at IS NOT NULL),
        CONSTRAINT ck_domain_claim_token_hash CHECK (octet_length(token_hash) = 32),
        CONSTRAINT ck_domain_claim_token CHECK ((token_hash IS NULL) = (token_expires_at IS NULL))
    )
    """,
    "CREATE UNIQUE INDEX ix_domain_claim_held ON domain_claim (domain) WHERE status IN ('pending', 'verified')",
    "CREATE INDEX ix_domain_claim_org_id ON domain_claim (org_id)",
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
    CREATE TRIGGER domain_claim_transition BEFORE INSERT OR UPDATE ON domain_claim
        FOR EACH ROW EXECUTE FUNCTION refuse_claim_transition()
    """,
    "ALTER TABLE domain_claim ENABLE ALWAYS TRIGGER domain_claim_transition",
    """
    CREATE TABLE claim_verification (
        verification_id uuid NOT NULL,
        claim_id uuid NOT NULL,
        proof_hash bytea NOT NULL,
        reason text NOT NULL,
        accepted boolean NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT pk_claim_verification PRIMARY KEY (verification_id),
        CONSTRAINT fk_claim_verification_claim_id FOREIGN KEY (claim_id) REFERENCES domain_claim (claim_id),
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
        resolution text,
        resolved_by text,
        resolved_at timestamptz,
        CONSTRAINT pk_claim_conflict PRIMARY KEY (conflict_id),
        CONSTRAINT fk_claim_conflict_claim_id FOREIGN KEY (claim_id) REFERENCES domain_claim (claim_id),
        CONSTRAINT fk_claim_conflict_against_claim_id
            FOREIGN KEY (against_claim_id) REFERENCES domain_claim (claim_id),
        CONSTRAINT ck_claim_conflict_state CHECK (state IN ('open', 'resolved')),
        CONSTRAINT ck_claim_conflict_two_claims CHECK (claim_id <> against_claim_id),
        CONSTRAINT ck_claim_conflict_due_at CHECK (due_at > opened_at),
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
        CONSTRAINT fk_join_request_user_id FOREIGN KEY (user_id) REFERENCES app_user (user_id),
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
        CONSTRAINT pk_user_login PRIMARY KEY (issuer, subject),
        CONSTRAINT fk_user_login_user_id FOREIGN KEY (user_id) REFERENCES app_user (user_id)
    )
    """,
    "CREATE INDEX ix_user_login_user_id ON user_login (user_id)",
)

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
}

WAY_BACK = (
    "DROP TABLE user_login",
    "DROP TABLE service_account",
    "DROP TABLE join_request",
    "DROP TABLE claim_conflict",
    "DROP TABLE claim_verification",
    "DROP TABLE domain_claim",
    "DROP FUNCTION refuse_claim_transition()",
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
    safe.create_shared_tables()
    for statement in (*CONSTRAIN, *CREATE):
        op.execute(statement)
    for table, privileges in GRANTS.items():
        safe.grant(table, privileges)


def downgrade() -> None:
    for statement in WAY_BACK:
        op.execute(statement)
    safe.drop_shared_tables()
