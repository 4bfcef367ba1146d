"""What could be in the way of identity's revisions, asked of the rows that stood before the plan."""

from __future__ import annotations

from typing import Final

from apportion_migrate.preflight import Check, invalid_rows
from apportion_migrate.resolve import KEPT, Fix

ROLES: Final = "role IN ('Owner', 'Admin', 'User')"
ADDRESS: Final = "position('@' in email) > 1 AND length(email) <= 320"
MASKED: Final = "left(email::text, 1) || '…@' || split_part(email::text, '@', 2)"
"""An address that a report may show."""
BARE_DOMAIN: Final = "lower(rtrim(btrim(domain), '.'))"
"""How a legacy domain reads in its normal form."""
LIVE: Final = "consumed_at IS NULL AND revoked_at IS NULL"

CHECKS: Final = (
    Check(
        name="duplicate_domains",
        asks="Is a domain held, pending or verified, by more than one claim, in any spelling?",
        sql=f"""
            SELECT {BARE_DOMAIN} AS key, array_agg(claim_id::text ORDER BY verified_at, claim_id) AS ids,
                count(*) AS rows
            FROM domain_claim WHERE status IN ('pending', 'verified')
            GROUP BY 1 HAVING count(*) > 1
        """,
        suggestion="Keep the claim that was verified first and revoke the others; who lost can claim it again.",
        resolve="duplicate-domains",
        tables=("domain_claim",),
        guards=("ix_domain_claim_held",),
    ),
    invalid_rows(
        "domain_claim",
        name="malformed_domains",
        row_id="claim_id",
        shown="domain",
        valid="domain = lower(domain) AND length(domain) BETWEEN 3 AND 253"
        " AND domain NOT LIKE '%.' AND domain LIKE '%.%'",
        asks="Is a domain not in its normal form: lower case, with a dot inside and none at its end?",
        suggestion="Write it in lower case and without the dot at its end; what is no domain is deleted by hand.",
        resolve="malformed-domains",
        guards=("ck_domain_claim_domain",),
    ),
    invalid_rows(
        "domain_claim",
        name="claim_states",
        row_id="claim_id",
        shown="status",
        valid="status IN ('pending', 'verified', 'revoked', 'pending_conflict')",
        asks="Has a claim a status that the rules do not know?",
        suggestion="Set it to revoked, or to pending to have it proved again.",
        guards=("ck_domain_claim_status",),
    ),
    invalid_rows(
        "domain_claim",
        name="unproved_claims",
        row_id="claim_id",
        shown="domain",
        valid="status <> 'verified' OR (verified_at IS NOT NULL AND proof IS NOT NULL)",
        asks="Is a claim verified without the time or the proof of it?",
        suggestion="Revoke it; its owner claims the domain again and proves it by mail.",
        resolve="unproved-claims",
        guards=("ck_domain_claim_verified",),
    ),
    Check(
        name="duplicate_invitations",
        asks="Has an organisation more than one live invitation of an address, in any letter case?",
        sql=f"""
            SELECT 'org ' || org_id || ', ' || min({MASKED}) AS key,
                array_agg(invitation_id::text ORDER BY expires_at DESC, invitation_id) AS ids, count(*) AS rows
            FROM invitation WHERE {LIVE}
            GROUP BY org_id, lower(btrim(email)) HAVING count(*) > 1
        """,
        suggestion="Keep the invitation that expires last and revoke the others.",
        resolve="duplicate-invitations",
        tables=("invitation",),
        guards=("ix_invitation_live",),
    ),
    invalid_rows(
        "invitation",
        name="invitation_ends",
        row_id="invitation_id",
        shown="'org ' || org_id",
        valid="consumed_at IS NULL OR revoked_at IS NULL",
        asks="Is an invitation both consumed and revoked?",
        suggestion="It was accepted: take the revocation away.",
        resolve="invitation-ends",
        guards=("ck_invitation_one_end",),
    ),
    invalid_rows(
        "invitation",
        name="malformed_invitations",
        row_id="invitation_id",
        shown="'org ' || org_id",
        valid=f"{ADDRESS} AND {ROLES} AND octet_length(token_hash) = 32",
        asks="Has an invitation no address, an unknown role, or a token that is no hash of 32 bytes?",
        suggestion="Correct its address and role; one without a hash can never be accepted and is deleted by hand.",
        guards=("ck_invitation_email", "ck_invitation_role", "ck_invitation_token_hash"),
    ),
    Check(
        name="duplicate_tokens",
        asks="Do two invitations have the same token?",
        sql="""
            SELECT 'token ' || left(md5(token_hash), 8) AS key,
                array_agg(invitation_id::text ORDER BY invitation_id) AS ids, count(*) AS rows
            FROM invitation GROUP BY token_hash HAVING count(*) > 1
        """,
        suggestion="Nobody can say which of them a token accepts: delete all but one by hand and invite again.",
        resolve=None,
        tables=("invitation",),
        guards=("uq_invitation_token_hash",),
    ),
    Check(
        name="duplicate_addresses",
        asks="Do two users have the same address, in any letter case?",
        sql=f"""
            SELECT min({MASKED}) AS key, array_agg(user_id::text ORDER BY user_id) AS ids, count(*) AS rows
            FROM app_user GROUP BY lower(email::text) HAVING count(*) > 1
        """,
        suggestion="Two people are one: move the memberships to one user and delete the other by hand.",
        resolve=None,
        tables=("app_user",),
        guards=("uq_app_user_email",),
    ),
    invalid_rows(
        "app_user",
        name="malformed_addresses",
        row_id="user_id",
        shown="'no address'",
        valid=ADDRESS,
        asks="Has a user something that is no address?",
        suggestion="Correct the address by hand.",
        guards=("ck_app_user_email",),
    ),
    Check(
        name="orphaned_memberships",
        asks="Does a membership name a user who is not there?",
        sql="""
            SELECT 'user ' || m.user_id AS key, array_agg(m.org_id::text ORDER BY m.org_id) AS ids, count(*) AS rows
            FROM membership AS m WHERE NOT EXISTS (SELECT FROM app_user AS u WHERE u.user_id = m.user_id)
            GROUP BY m.user_id
        """,
        suggestion="Delete the membership: nobody can use it.",
        resolve="orphaned-memberships",
        tables=("membership", "app_user"),
        guards=("fk_membership_user_id",),
    ),
    invalid_rows(
        "membership",
        name="membership_values",
        row_id="org_id || '/' || user_id",
        shown="role || ', ' || status",
        valid=f"{ROLES} AND status IN ('active', 'pending')",
        asks="Has a membership an unknown role or status?",
        suggestion="Set the role to Owner, Admin or User and the status to active or pending.",
        guards=("ck_membership_role", "ck_membership_status"),
    ),
    invalid_rows(
        "global_setting",
        name="setting_types",
        row_id="key || ' of ' || scope",
        shown="value_type",
        valid="value_type IN ('int', 'decimal', 'bool', 'text', 'list')",
        asks="Has a setting an unknown type?",
        suggestion="Set its value_type to int, decimal, bool, text or list.",
        guards=("ck_global_setting_value_type",),
    ),
)

FIXES: Final = (
    Fix(
        name="duplicate-domains",
        checks=("duplicate_domains",),
        table="domain_claim",
        says="Keeps the claim that was verified first (or --keep) and revokes the others.",
        sql=f"""
            SELECT ctid, claim_id::text, '{{"status": "revoked"}}'::jsonb FROM (
                SELECT ctid, claim_id, row_number() OVER (
                    PARTITION BY {BARE_DOMAIN}
                    ORDER BY (claim_id::text {KEPT}) DESC, (status = 'verified') DESC, verified_at, claim_id
                ) AS place FROM domain_claim WHERE status IN ('pending', 'verified')
            ) AS placed WHERE place > 1
        """,
    ),
    Fix(
        name="malformed-domains",
        checks=("malformed_domains",),
        table="domain_claim",
        says="Writes domains in lower case, without blanks around them and without dots at their end.",
        sql=f"""
            SELECT ctid, claim_id::text, jsonb_build_object('domain', {BARE_DOMAIN}) FROM domain_claim
            WHERE domain <> {BARE_DOMAIN} AND length({BARE_DOMAIN}) BETWEEN 3 AND 253 AND {BARE_DOMAIN} LIKE '%.%'
        """,
    ),
    Fix(
        name="unproved-claims",
        checks=("unproved_claims",),
        table="domain_claim",
        says="Revokes what is called verified and has no time or proof of it.",
        sql="""
            SELECT ctid, claim_id::text, '{"status": "revoked"}'::jsonb FROM domain_claim
            WHERE status = 'verified' AND (verified_at IS NULL OR proof IS NULL)
        """,
    ),
    Fix(
        name="duplicate-invitations",
        checks=("duplicate_invitations",),
        table="invitation",
        says="Keeps the invitation that expires last (or --keep) and revokes the others.",
        sql=f"""
            SELECT ctid, invitation_id::text, jsonb_build_object('revoked_at', now()) FROM (
                SELECT ctid, invitation_id, row_number() OVER (
                    PARTITION BY org_id, lower(btrim(email))
                    ORDER BY (invitation_id::text {KEPT}) DESC, expires_at DESC, invitation_id
                ) AS place FROM invitation WHERE {LIVE}
            ) AS placed WHERE place > 1
        """,
    ),
    Fix(
        name="invitation-ends",
        checks=("invitation_ends",),
        table="invitation",
        says="Takes the revocation of an accepted invitation away.",
        sql="""
            SELECT ctid, invitation_id::text, '{"revoked_at": null}'::jsonb FROM invitation
            WHERE consumed_at IS NOT NULL AND revoked_at IS NOT NULL
        """,
    ),
    Fix(
        name="orphaned-memberships",
        checks=("orphaned_memberships",),
        table="membership",
        needs=("app_user",),
        says="Deletes memberships of users who are not there.",
        sql="""
            SELECT m.ctid, m.org_id || '/' || m.user_id, NULL::jsonb FROM membership AS m
            WHERE NOT EXISTS (SELECT FROM app_user AS u WHERE u.user_id = m.user_id)
        """,
    ),
)
