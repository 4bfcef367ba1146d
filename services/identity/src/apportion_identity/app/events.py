"""The events that the service publishes, as messages of the contract."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion.identity.v1 import identity_service_pb2 as pb

from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.conflicts import Conflict
from apportion_identity.domain.roles import Role
from apportion_identity.domain.service_accounts import ServiceAccount

CLAIM_CREATED: Final = "identity.claim.created"
CONFLICT_OPENED: Final = "identity.claim.conflict_opened"
CONFLICT_OVERDUE: Final = "identity.claim.conflict_overdue"
MEMBERSHIP_CREATED: Final = "identity.membership.created"
MEMBERSHIP_CHANGED: Final = "identity.membership.changed"
MEMBERSHIP_REMOVED: Final = "identity.membership.removed"
SERVICE_ACCOUNT_REVOKED: Final = "identity.service_account.revoked"
CLAIM_BECAME: Final = {
    ClaimStatus.VERIFIED: "identity.claim.verified",
    ClaimStatus.REVOKED: "identity.claim.revoked",
    ClaimStatus.PENDING_CONFLICT: "identity.claim.conflicted",
}
"""The event of a claim that has come to a status."""

CLAIM_STATUSES: Final = {
    ClaimStatus.PENDING: pb.CLAIM_STATUS_PENDING,
    ClaimStatus.VERIFIED: pb.CLAIM_STATUS_VERIFIED,
    ClaimStatus.REVOKED: pb.CLAIM_STATUS_REVOKED,
    ClaimStatus.PENDING_CONFLICT: pb.CLAIM_STATUS_PENDING_CONFLICT,
}
MEMBER_ROLES: Final = {
    Role.OWNER: pb.MEMBER_ROLE_OWNER,
    Role.ADMIN: pb.MEMBER_ROLE_ADMIN,
    Role.USER: pb.MEMBER_ROLE_USER,
}


def claim_changed(claim: Claim) -> pb.ClaimChanged:
    """Return what is published of a claim: it names its own organisation alone."""
    return pb.ClaimChanged(
        claim_id=str(claim.claim_id),
        org_id=str(claim.org_id),
        domain=claim.domain,
        status=CLAIM_STATUSES[claim.shown_status],
        wildcard=claim.wildcard,
    )


def conflict_opened(conflict: Conflict, domain: str) -> pb.ClaimConflictOpened:
    """Return what the escalation path is told of a conflict: no organisation."""
    message = pb.ClaimConflictOpened(
        conflict_id=str(conflict.conflict_id), domain=domain, escalation=conflict.escalations
    )
    message.opened_at.FromDatetime(conflict.opened_at)
    message.due_at.FromDatetime(conflict.due_at)
    return message


def membership_changed(org_id: UUID, user_id: UUID, role: Role | None) -> pb.MembershipChanged:
    """Return what a member is now; without a role: no member any more."""
    return pb.MembershipChanged(
        org_id=str(org_id),
        user_id=str(user_id),
        role=pb.MEMBER_ROLE_UNSPECIFIED if role is None else MEMBER_ROLES[role],
    )


def service_account_revoked(account: ServiceAccount) -> pb.ServiceAccountRevoked:
    """Return the end of an account, which is revoked."""
    assert account.revoked_at is not None
    message = pb.ServiceAccountRevoked(account_id=str(account.account_id))
    message.revoked_at.FromDatetime(account.revoked_at)
    return message
