"""Domain claims and the conflicts between them: what is stored, and whom delegation asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.ports.common import Place
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Standing, delegations_of


class ClaimMoved(Exception):
    """Another transaction changed a claim meanwhile, or took its name: decide again on what is there now."""


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A domain claim as it is stored. `contested`: an open conflict stands between it and another claim."""

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

    def standing(self) -> Standing:
        """What of it decides whose way it stands in."""
        return Standing(self.claim_id, self.org_id, self.domain, self.status, self.wildcard, delegations_of(self.proof))


@dataclass(frozen=True, slots=True)
class Attempt:
    """A message that named a claim, and what became of it."""

    verification_id: UUID
    claim_id: UUID
    proof_hash: bytes
    reason: str
    accepted: bool
    at: datetime


class ClaimStore(Protocol):
    """domain_claim, claim_verification and their locks."""

    async def lock_domain(self, tx: Transaction, registrable: str) -> None:
        """Hold every claim at or below a registrable domain until the transaction ends."""
        ...

    async def lock_org(self, tx: Transaction, org_id: UUID) -> None:
        """Hold an organisation's count of claims until the transaction ends; taken before any domain."""
        ...

    async def find_claim(self, connection: AsyncConnection, claim_id: UUID) -> ClaimRecord | None:
        """The claim with the id."""
        ...

    async def claims_of_ids(self, connection: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, ClaimRecord]:
        """The claims with the ids, by id."""
        ...

    async def of_tokens(self, connection: AsyncConnection, hashes: Sequence[bytes]) -> Sequence[ClaimRecord]:
        """The claims that these hashes of tokens belong to."""
        ...

    async def live_of_org(self, connection: AsyncConnection, org_id: UUID, domain: str) -> ClaimRecord | None:
        """The organisation's claim of that very name that is not revoked."""
        ...

    async def holders(self, connection: AsyncConnection, domain: str, org_id: UUID) -> Sequence[ClaimRecord]:
        """Claims of other organisations, pending or verified, of the name or with a wildcard above it."""
        ...

    async def held_below(self, connection: AsyncConnection, domain: str, org_id: UUID) -> Sequence[ClaimRecord]:
        """Claims of other organisations, pending or verified, of names below."""
        ...

    async def made_since(self, connection: AsyncConnection, org_id: UUID, since: datetime) -> int:
        """How many claims the organisation has made since an instant."""
        ...

    async def claims_page(
        self, connection: AsyncConnection, org_id: UUID, after: Place | None, most: int
    ) -> Sequence[ClaimRecord]:
        """The organisation's claims, newest first, after a place."""
        ...

    async def expired_claims(self, connection: AsyncConnection, now: datetime, most: int) -> Sequence[ClaimRecord]:
        """Claims that nothing has proved and whose address has ended, oldest end first."""
        ...

    async def add_claim(self, tx: Transaction, claim: ClaimRecord) -> None:
        """Add a claim. Raises ClaimMoved when another took its name meanwhile."""
        ...

    async def save_claim(self, tx: Transaction, before: ClaimRecord, after: ClaimRecord) -> None:
        """Write what of a claim may change. Raises ClaimMoved when its status is not `before`'s any more."""
        ...

    async def add_accepted(self, tx: Transaction, attempt: Attempt) -> bool:
        """Record a proof; False when the same message has proved something before."""
        ...

    async def add_refused(self, tx: Transaction, attempt: Attempt, most: int) -> None:
        """Record a refused attempt, unless its claim has so many of that day already."""
        ...

    async def proved_by(self, connection: AsyncConnection, proof_hash: bytes) -> UUID | None:
        """The claim that the message proved."""
        ...

    async def is_answered(self, connection: AsyncConnection, subject: str, request_id: str) -> bool:
        """Whether a mutation of this caller with this request id has been answered."""
        ...


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """Two claims of which one can stand: the newcomer's, and the one that was there."""

    conflict_id: UUID
    claim_id: UUID
    against_claim_id: UUID
    state: str
    opened_at: datetime
    due_at: datetime
    escalated_at: datetime | None = None
    escalations: int = 0
    resolution: str = ""
    resolved_by: str = ""
    resolved_at: datetime | None = None

    def other(self, claim_id: UUID) -> UUID:
        """The claim on the other side of one of the two."""
        return self.against_claim_id if claim_id == self.claim_id else self.claim_id


class ConflictStore(Protocol):
    """claim_conflict."""

    async def find_conflict(self, connection: AsyncConnection, conflict_id: UUID) -> ConflictRecord | None:
        """The conflict with the id."""
        ...

    async def open_of(self, connection: AsyncConnection, claim_id: UUID) -> Sequence[ConflictRecord]:
        """Open conflicts with the claim on either side, oldest first."""
        ...

    async def open_conflict(self, tx: Transaction, conflict: ConflictRecord) -> None:
        """Add an open conflict."""
        ...

    async def resolve_conflict(
        self, tx: Transaction, conflict_id: UUID, resolution: str, resolved_by: str, at: datetime
    ) -> None:
        """End an open conflict."""
        ...

    async def repoint(self, tx: Transaction, before: UUID, after: UUID) -> int:
        """Turn open conflicts against one claim against another, but for the other's own; gives how many."""
        ...

    async def conflicts_page(
        self,
        connection: AsyncConnection,
        after: Place | None,
        most: int,
        *,
        include_resolved: bool,
        overdue_at: datetime | None,
    ) -> Sequence[ConflictRecord]:
        """Conflicts, those due first, after a place; with `overdue_at`, open ones that were due by then."""
        ...

    async def hold_overdue(
        self, tx: Transaction, now: datetime, escalated_before: datetime, most: int
    ) -> Sequence[ConflictRecord]:
        """Open conflicts that are overdue and not lately escalated, held; those that another process holds left out."""
        ...

    async def escalate(self, tx: Transaction, conflict_id: UUID, at: datetime) -> None:
        """Count one more escalation."""
        ...


class OrgsPort(Protocol):
    """The orgs service, as delegation needs it."""

    async def is_subsidiary(self, org_id: UUID, of_org_id: UUID) -> bool:
        """Whether one organisation stands below another. Raises Unavailable ORGS_UNAVAILABLE."""
        ...
