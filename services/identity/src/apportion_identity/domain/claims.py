"""Domain claims: what one is, which claims exclude one another, and to whom names below one are delegated (spec 01).

Names are in the one spelling of `domain_names`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apportion_identity.domain.claim_states import UNPROVEN, ClaimStatus

SECOND_FACTORS: Final = frozenset({"mfa", "otp", "hwk", "sc"})
"""RFC 8176 values that say that something was shown beside a password: several factors, a one-time password, a key in
hardware, a smart card. A PIN or an answer to a question is knowledge again; a text message can be led elsewhere."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """A name below a verified claim that its organisation delegated to a subsidiary."""

    domain: str
    org_id: UUID
    delegated_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """An organisation's claim of a domain. `contested`: there is an open conflict between it and another claim."""

    claim_id: UUID
    org_id: UUID
    domain: str
    status: ClaimStatus
    created_by: str
    created_at: datetime
    token_hash: bytes | None = None
    token_expires_at: datetime | None = None
    verified_at: datetime | None = None
    proved_at: datetime | None = None
    proof: Mapping[str, object] | None = None
    wildcard: bool = False
    contested: bool = False

    @property
    def delegations(self) -> tuple[Delegation, ...]:
        """The names below it that its organisation has delegated."""
        return delegations_of(self.proof)

    @property
    def awaits_proof(self) -> bool:
        """Whether a mail may still prove it: nothing has, and it has not ended."""
        return self.status in UNPROVEN and self.proved_at is None

    @property
    def shown_status(self) -> ClaimStatus:
        """The status as its organisation sees it.

        A status never goes back to pending (spec 01, transitions); so a claim whose conflict has ended while it had
        proved nothing is kept as `pending_conflict` and shown as what it is: pending, with nothing blocking it.
        """
        if self.status is ClaimStatus.PENDING_CONFLICT and not self.contested:
            return ClaimStatus.PENDING
        return self.status

    def is_expired(self, now: datetime) -> bool:
        """Return whether its address takes no mail any more."""
        return self.token_expires_at is not None and self.token_expires_at <= now


def is_below(domain: str, parent: str) -> bool:
    """Return whether a name lies strictly below another."""
    return domain.endswith(f".{parent}")


def delegated_to(holder: Claim, domain: str, org_id: UUID) -> bool:
    """Return whether the claim's organisation delegated the name, or one above it, to that organisation."""
    return any(
        given.org_id == org_id and (given.domain == domain or is_below(domain, given.domain))
        for given in holder.delegations
    )


def covers(holder: Claim, domain: str, org_id: UUID) -> bool:
    """Return whether a live claim covers a name against another organisation that claims it."""
    if holder.domain == domain:
        return True
    return holder.wildcard and is_below(domain, holder.domain) and not delegated_to(holder, domain, org_id)


def blocks(holder: Claim, newcomer: Claim) -> bool:
    """Return whether one of two claims must give way: in either direction, a wildcard covering what lies below it."""
    if holder.org_id == newcomer.org_id or holder.status is ClaimStatus.REVOKED:
        return False
    return covers(holder, newcomer.domain, newcomer.org_id) or covers(newcomer, holder.domain, holder.org_id)


def has_second_factor(amr: Iterable[str]) -> bool:
    """Return whether a token's `amr` says that a second factor was shown (RFC 8176)."""
    return not SECOND_FACTORS.isdisjoint(amr)


def delegations_of(proof: Mapping[str, object] | None) -> tuple[Delegation, ...]:
    """Return the delegations that a claim's proof lists."""
    listed = (proof or {}).get("delegations")
    if not isinstance(listed, list):
        return ()
    return tuple(
        Delegation(entry["domain"], UUID(entry["org_id"]), datetime.fromisoformat(entry["delegated_at"]))
        for entry in listed
    )


def with_delegations(proof: Mapping[str, object] | None, delegations: Iterable[Delegation]) -> dict[str, object]:
    """Return the proof with this list of delegations."""
    listed = [
        {"domain": given.domain, "org_id": str(given.org_id), "delegated_at": given.delegated_at.isoformat()}
        for given in delegations
    ]
    return {**(proof or {}), "delegations": listed}
