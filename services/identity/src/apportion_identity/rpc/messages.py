"""Values of the use cases as messages of the contract."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.fields import text_of
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_identity.app.conflicts import ConflictSides
from apportion_identity.app.events import CLAIM_STATUSES, MEMBER_ROLES
from apportion_identity.app.invitations import InvitationView
from apportion_identity.app.settings import CurrentSetting
from apportion_identity.app.tokens import ExchangedToken
from apportion_identity.app.verifications import Outcome, Result
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.invitations import InvitationState
from apportion_identity.domain.mail.inspection import Inspection, RecordNote
from apportion_identity.domain.mail.types import Evidence
from apportion_identity.domain.people import JoinRequest, Member
from apportion_identity.domain.roles import Role
from apportion_identity.domain.service_accounts import ServiceAccount
from apportion_identity.limits import (
    FINDING_ADVICE_CHARS_MAX,
    FINDING_NAME_CHARS_MAX,
    FINDING_VALUE_CHARS_MAX,
    FINDINGS_MAX,
    INSPECTION_ADVICE_MAX,
)

JOIN_STATES: Final = {
    "pending": pb.JOIN_REQUEST_STATE_PENDING,
    "approved": pb.JOIN_REQUEST_STATE_APPROVED,
    "denied": pb.JOIN_REQUEST_STATE_DENIED,
}
_ROLES: Final = {number: role for role, number in MEMBER_ROLES.items()}
_INVITATION_STATES: Final = {
    InvitationState.LIVE: pb.INVITATION_STATE_LIVE,
    InvitationState.EXPIRED: pb.INVITATION_STATE_EXPIRED,
    InvitationState.CONSUMED: pb.INVITATION_STATE_CONSUMED,
    InvitationState.REVOKED: pb.INVITATION_STATE_REVOKED,
}
_CONFLICT_STATES: Final = {"open": pb.CONFLICT_STATE_OPEN, "resolved": pb.CONFLICT_STATE_RESOLVED}
_OUTCOMES: Final = {
    Result.VERIFIED: pb.VERIFICATION_OUTCOME_VERIFIED,
    Result.CONFLICT: pb.VERIFICATION_OUTCOME_CONFLICT,
    Result.REJECTED: pb.VERIFICATION_OUTCOME_REJECTED,
}


def role_from_message(role: pb.MemberRole) -> Role:
    """Return a role that the contract lets a request name."""
    return _ROLES[role]


def timestamp_to_message(at: datetime) -> Timestamp:
    """Return an instant."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def claim_to_message(claim: Claim) -> pb.DomainClaim:
    """Return a claim, without a word about anybody else's."""
    message = pb.DomainClaim(
        claim_id=str(claim.claim_id),
        org_id=str(claim.org_id),
        domain=claim.domain,
        status=CLAIM_STATUSES[claim.shown_status],
        wildcard=claim.wildcard,
    )
    message.created_at.FromDatetime(claim.created_at)
    if claim.verified_at is not None:
        message.verified_at.FromDatetime(claim.verified_at)
    if claim.token_expires_at is not None and claim.awaits_proof:
        message.token_expires_at.FromDatetime(claim.token_expires_at)
    if claim.status is ClaimStatus.VERIFIED:
        for given in claim.delegations:
            at = timestamp_to_message(given.delegated_at)
            message.delegations.add(domain=given.domain, org_id=str(given.org_id), delegated_at=at)
    return message


def conflict_to_message(sides: ConflictSides) -> pb.ClaimConflict:
    """Return a conflict with both its sides, for operators."""
    conflict, claim, against = sides
    message = pb.ClaimConflict(
        conflict_id=str(conflict.conflict_id),
        claim=claim_to_message(claim),
        against=claim_to_message(against),
        claim_proved=claim.proved_at is not None,
        against_proved=against.proved_at is not None or against.verified_at is not None,
        state=_CONFLICT_STATES[conflict.state],
        resolution=conflict.resolution,
        resolved_by=conflict.resolved_by,
    )
    message.opened_at.FromDatetime(conflict.opened_at)
    message.due_at.FromDatetime(conflict.due_at)
    if conflict.escalated_at is not None:
        message.escalated_at.FromDatetime(conflict.escalated_at)
    if conflict.resolved_at is not None:
        message.resolved_at.FromDatetime(conflict.resolved_at)
    return message


def outcome_to_message(outcome: Outcome) -> pb.SubmitVerificationEmailResponse:
    """Return what became of a mail."""
    return pb.SubmitVerificationEmailResponse(
        outcome=_OUTCOMES[outcome.result],
        reason=outcome.reason,
        explanation=outcome.explanation,
        claim_id=text_of(outcome.claim_id),
        evidence=evidence_to_message(outcome.evidence),
    )


def evidence_to_message(evidence: Evidence) -> pb.MailEvidence:
    """Return what a mail was verified by."""
    return pb.MailEvidence(
        from_domain=evidence.from_domain,
        spf_result=evidence.spf_result,
        spf_domain=evidence.spf_domain,
        dkim=[
            pb.DkimFinding(domain=found.domain, selector=found.selector, result=found.result, reason=found.reason)
            for found in evidence.dkim
        ],
        dmarc_policy=evidence.dmarc_policy,
        organizational_domain=evidence.organizational_domain,
        aligned_by_dkim=evidence.aligned_by_dkim,
        aligned_by_spf=evidence.aligned_by_spf,
    )


def inspection_to_message(found: Inspection) -> pb.InspectDomainResponse:
    """Return an inspection; what is too long for the contract is cut."""
    return pb.InspectDomainResponse(
        domain=found.domain,
        organizational_domain=found.organizational_domain,
        claimable=found.is_claimable,
        reason=found.reason,
        records=[_record_to_message(record) for record in found.records[:FINDINGS_MAX]],
        advice=[_cut(text, FINDING_ADVICE_CHARS_MAX) for text in found.advice[:INSPECTION_ADVICE_MAX]],
    )


def member_to_message(member: Member) -> pb.Member:
    """Return a member."""
    return pb.Member(
        org_id=str(member.org_id), user_id=str(member.user_id), email=member.email, role=MEMBER_ROLES[member.role]
    )


def invitation_to_message(view: InvitationView) -> pb.Invitation:
    """Return an invitation in its state."""
    invitation = view.invitation
    return pb.Invitation(
        invitation_id=str(invitation.invitation_id),
        org_id=str(invitation.org_id),
        email=invitation.email,
        role=MEMBER_ROLES[invitation.role],
        state=_INVITATION_STATES[view.state],
        created_at=timestamp_to_message(invitation.created_at),
        expires_at=timestamp_to_message(invitation.ends.expires_at),
        invited_by=text_of(invitation.invited_by),
    )


def join_request_to_message(request: JoinRequest) -> pb.JoinRequest:
    """Return a join request, as the organisation's own Admins see it."""
    return pb.JoinRequest(
        join_request_id=str(request.request_id),
        email=request.email,
        state=JOIN_STATES[request.state],
        created_at=timestamp_to_message(request.created_at),
        decided_at=None if request.decided_at is None else timestamp_to_message(request.decided_at),
        decided_by=request.decided_by,
    )


def service_account_to_message(account: ServiceAccount) -> pb.ServiceAccount:
    """Return an account as callers see it."""
    return pb.ServiceAccount(
        account_id=str(account.account_id),
        name=account.name,
        roles=account.roles,
        created_by=account.created_by,
        created_at=timestamp_to_message(account.created_at),
        revoked_at=None if account.revoked_at is None else timestamp_to_message(account.revoked_at),
    )


def setting_to_message(setting: CurrentSetting) -> pb.GlobalSetting:
    """Return a setting with its value, or its default when it was never set."""
    known, row = setting
    return pb.GlobalSetting(
        key=known.key,
        value=known.default if row is None else row.value,
        value_type=known.value_type,
        updated_at=None if row is None else timestamp_to_message(row.updated_at),
        description=known.description,
    )


def exchanged_token_to_message(found: ExchangedToken) -> pb.ExchangeTokenResponse:
    """Return a user's token, and what the user acts as."""
    return pb.ExchangeTokenResponse(
        access_token=found.issued.token,
        expires_at=timestamp_to_message(found.issued.expires_at),
        user_id=str(found.user_id),
        org_id=text_of(found.org_id),
        role=pb.MEMBER_ROLE_UNSPECIFIED if found.role is None else MEMBER_ROLES[found.role],
    )


def _record_to_message(record: RecordNote) -> pb.RecordFinding:
    return pb.RecordFinding(
        name=_cut(record.name, FINDING_NAME_CHARS_MAX),
        kind=record.kind,
        value=_cut(record.value, FINDING_VALUE_CHARS_MAX),
        state=record.state,
        advice=_cut(record.advice, FINDING_ADVICE_CHARS_MAX),
    )


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
