"""Claims and conflicts as messages: what RPCs answer and what facts carry."""

from __future__ import annotations

from typing import Final

from apportion.identity.v1 import identity_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_identity.app.ports.claims import ClaimRecord, ConflictRecord
from apportion_identity.domain.claim_states import UNPROVEN, ClaimStatus
from apportion_identity.domain.claims import delegations_of
from apportion_identity.domain.mail.types import Evidence

STATUSES: Final = {
    ClaimStatus.PENDING: pb.CLAIM_STATUS_PENDING,
    ClaimStatus.VERIFIED: pb.CLAIM_STATUS_VERIFIED,
    ClaimStatus.REVOKED: pb.CLAIM_STATUS_REVOKED,
    ClaimStatus.PENDING_CONFLICT: pb.CLAIM_STATUS_PENDING_CONFLICT,
}
CONFLICT_STATES: Final = {"open": pb.CONFLICT_STATE_OPEN, "resolved": pb.CONFLICT_STATE_RESOLVED}


def shown_status(claim: ClaimRecord) -> pb.ClaimStatus:
    """Where a claim stands for its organisation.

    A status never goes back to pending (spec 01, transitions); so a claim whose conflict has ended while it had proved
    nothing is kept as `pending_conflict` and shown as what it is: pending, with nothing in its way.
    """
    if claim.status is ClaimStatus.PENDING_CONFLICT and not claim.contested:
        return pb.CLAIM_STATUS_PENDING
    return STATUSES[claim.status]


def claim_message(claim: ClaimRecord) -> pb.DomainClaim:
    """A claim, without a word about anybody else's."""
    message = pb.DomainClaim(
        claim_id=str(claim.claim_id),
        org_id=str(claim.org_id),
        domain=claim.domain,
        status=shown_status(claim),
        wildcard=claim.wildcard,
    )
    message.created_at.FromDatetime(claim.created_at)
    if claim.verified_at is not None:
        message.verified_at.FromDatetime(claim.verified_at)
    if claim.token_expires_at is not None and claim.status in UNPROVEN and claim.proved_at is None:
        message.token_expires_at.FromDatetime(claim.token_expires_at)
    if claim.status is ClaimStatus.VERIFIED:
        for given in delegations_of(claim.proof):
            at = Timestamp()
            at.FromDatetime(given.delegated_at)
            message.delegations.add(domain=given.domain, org_id=str(given.org_id), delegated_at=at)
    return message


def claim_changed_message(claim: ClaimRecord) -> pb.ClaimChanged:
    """What is announced of a claim: it names its own organisation alone."""
    return pb.ClaimChanged(
        claim_id=str(claim.claim_id),
        org_id=str(claim.org_id),
        domain=claim.domain,
        status=shown_status(claim),
        wildcard=claim.wildcard,
    )


def conflict_opened_message(conflict: ConflictRecord, domain: str) -> pb.ClaimConflictOpened:
    """What the escalation path is told of a conflict: no organisation."""
    message = pb.ClaimConflictOpened(
        conflict_id=str(conflict.conflict_id), domain=domain, escalation=conflict.escalations
    )
    message.opened_at.FromDatetime(conflict.opened_at)
    message.due_at.FromDatetime(conflict.due_at)
    return message


def conflict_message(conflict: ConflictRecord, claim: ClaimRecord, against: ClaimRecord) -> pb.ClaimConflict:
    """A conflict with both its sides, for operators."""
    message = pb.ClaimConflict(
        conflict_id=str(conflict.conflict_id),
        claim=claim_message(claim),
        against=claim_message(against),
        claim_proved=claim.proved_at is not None,
        against_proved=against.proved_at is not None or against.verified_at is not None,
        state=CONFLICT_STATES[conflict.state],
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


def evidence_message(evidence: Evidence) -> pb.MailEvidence:
    """What a mail was judged on."""
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
