"""Claims of one name by several organisations: who gets it, who waits, and what operators settle (spec 01, conflict).

Whoever changes a claim holds its registrable domain first, by `hold`; everything decided here is read after that. The
unique index on held names stands behind the lock: should two processes ever lock differently (their suffix lists may
differ), the slower one gets ClaimMoved and decides again, by `decided`.

A mere claim never blocks the owner: who proves the name while its holder is pending gets it, and the holder waits in
its place. Against a verified holder a proof is kept as evidence. When a claim ends, proofs that waited behind it count
in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app.claim_messages import claim_changed_message, conflict_opened_message
from apportion_identity.app.ports.claims import ClaimMoved, ClaimRecord, ClaimStore, ConflictRecord, ConflictStore
from apportion_identity.app.ports.common import Place
from apportion_identity.app.ports.settings import RuntimeSettings
from apportion_identity.domain.claim_states import ClaimStatus, check_transition
from apportion_identity.domain.claims import stands_in_the_way
from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.limits import CLAIM_HELD_ROUNDS_MAX, ESCALATE_AGAIN_AFTER_S, OVERDUE_PER_ROUND_MAX

T = TypeVar("T")

WITHDRAWN: Final = "One of the two claims was given up."
EXPIRED: Final = "One of the two claims was not proved in time."
UNCOVERED: Final = "The names no longer overlap."

_FACTS: Final = {
    ClaimStatus.VERIFIED: "identity.claim.verified",
    ClaimStatus.REVOKED: "identity.claim.revoked",
    ClaimStatus.PENDING_CONFLICT: "identity.claim.conflicted",
}


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """The settings that a change of claims is made under; read before its transaction."""

    token_ttl: timedelta
    due_in: timedelta
    daily_limit: int
    shared_mail: Sequence[str]


async def read_terms(settings: RuntimeSettings) -> ClaimTerms:
    """The settings as they are now."""
    return ClaimTerms(
        token_ttl=timedelta(hours=await settings.get_int("claim_token_ttl_hours")),
        due_in=timedelta(hours=await settings.get_int("conflict_due_hours")),
        daily_limit=await settings.get_int("claims_daily_limit"),
        shared_mail=await settings.get_list("shared_mail_domains"),
    )


async def decided(mutate: Callable[[], Awaitable[T]]) -> T:
    """Run a mutation of claims, again when another was quicker. Raises Unavailable CLAIM_BUSY after some rounds."""
    for _ in range(CLAIM_HELD_ROUNDS_MAX):
        try:
            return await mutate()
        except ClaimMoved:
            continue
    raise errors.claim_busy()


class Conflicts:
    """The rules between claims, each call inside its caller's transaction."""

    def __init__(self, claims: ClaimStore, conflicts: ConflictStore, suffixes: PublicSuffixes) -> None:
        """Work on these stores; a registrable domain is what `suffixes` says."""
        self._claims = claims
        self._conflicts = conflicts
        self._suffixes = suffixes

    async def hold(self, tx: Transaction, domain: str) -> None:
        """Let nobody else change a claim at, above or below the name until the transaction ends."""
        await self._claims.lock_domain(tx, self._suffixes.registrable(domain) or domain)

    async def in_the_way(self, connection: AsyncConnection, claim: ClaimRecord) -> list[ClaimRecord]:
        """Claims of other organisations that hold the claim's name, or have a wildcard over it."""
        holders = await self._claims.holders(connection, claim.domain, claim.org_id)
        return [holder for holder in holders if stands_in_the_way(holder.standing(), claim.standing())]

    async def grant(self, tx: Transaction, before: ClaimRecord, proved: ClaimRecord, due_in: timedelta) -> ClaimRecord:
        """Give a claim that has its proof the name, or keep the proof as evidence; gives the claim as it stands then.

        Pending claims in its way are put behind it. With a verified one in its way it waits for operators.
        """
        rivals = await self.in_the_way(tx.connection, proved)
        verified = [rival for rival in rivals if rival.status is ClaimStatus.VERIFIED]
        if verified:
            for rival in verified:
                await self.open(tx, proved, rival, due_in)
            waiting = replace(proved, status=ClaimStatus.PENDING_CONFLICT, contested=True)
            return await self.move(tx, before, waiting, "domain_claim.prove")
        for rival in rivals:
            await self._put_behind(tx, rival, proved, due_in)
        owner = replace(proved, status=ClaimStatus.VERIFIED, verified_at=tx.clock.now(), contested=False)
        return await self.move(tx, before, owner, "domain_claim.verify")

    async def contest(self, tx: Transaction, rival: ClaimRecord, holder: ClaimRecord, due_in: timedelta) -> None:
        """Put a pending claim behind one that now covers its name."""
        await self.open(tx, rival, holder, due_in)
        waiting = replace(rival, status=ClaimStatus.PENDING_CONFLICT, contested=True)
        await self.move(tx, rival, waiting, "domain_claim.conflict")

    async def open(self, tx: Transaction, newcomer: ClaimRecord, holder: ClaimRecord, due_in: timedelta) -> None:
        """Open a conflict between two claims, unless one is open; announced for the escalation path."""
        known = await self._conflicts.open_of(tx.connection, newcomer.claim_id)
        if any(conflict.other(newcomer.claim_id) == holder.claim_id for conflict in known):
            return
        now = tx.clock.now()
        conflict = ConflictRecord(uuid7(), newcomer.claim_id, holder.claim_id, "open", now, now + due_in)
        await self._conflicts.open_conflict(tx, conflict)
        await tx.audit(
            "claim_conflict.open",
            f"claim_conflict/{conflict.conflict_id}",
            after={"claim_id": newcomer.claim_id, "against_claim_id": holder.claim_id, "due_at": conflict.due_at},
        )
        await tx.publish("identity.claim.conflict_opened", conflict_opened_message(conflict, newcomer.domain))

    async def withdraw(
        self, tx: Transaction, claim: ClaimRecord, due_in: timedelta, *, action: str, why: str
    ) -> ClaimRecord:
        """End a claim and its conflicts; proofs that waited behind it count now."""
        conflicts = await self._conflicts.open_of(tx.connection, claim.claim_id)
        revoked = await self.move(tx, claim, _revoked(claim), action)
        await self._release(tx, claim, conflicts, why, due_in)
        return revoked

    async def uncover(
        self, tx: Transaction, claim: ClaimRecord, due_in: timedelta, is_over: Callable[[ClaimRecord], bool]
    ) -> None:
        """End those conflicts of a claim whose other side `is_over`: it covers their names no longer."""
        conflicts = await self._conflicts.open_of(tx.connection, claim.claim_id)
        sides = [conflict.other(claim.claim_id) for conflict in conflicts]
        others = await self._claims.claims_of_ids(tx.connection, sides)
        ended = [conflict for conflict in conflicts if is_over(others[conflict.other(claim.claim_id)])]
        await self._release(tx, claim, ended, UNCOVERED, due_in)

    async def resolve(
        self, tx: Transaction, conflict_id: UUID, winner_id: UUID, reason: str, terms: ClaimTerms
    ) -> ConflictRecord:
        """Settle a conflict: the winner gets the name if it has proved it, else nothing is in its way; the other ends.

        A loser whose wildcard alone covered the winner's name keeps its own name and loses the wildcard. Raises
        NotFound CONFLICT_NOT_FOUND, FailedPrecondition CONFLICT_RESOLVED, InvalidArgument WINNER_NOT_IN_CONFLICT.
        """
        conflict = await self._hold_conflict(tx, conflict_id)
        if winner_id not in (conflict.claim_id, conflict.against_claim_id):
            raise errors.winner_not_in_conflict()
        sides = await self._claims.claims_of_ids(tx.connection, (conflict.claim_id, conflict.against_claim_id))
        winner, loser = sides[winner_id], sides[conflict.other(winner_id)]
        await self._close(tx, conflict, reason)
        await self._defeat(tx, loser, winner, reason, terms.due_in)
        await self._favour(tx, winner_id, terms)
        settled = await self._conflicts.find_conflict(tx.connection, conflict_id)
        assert settled is not None
        return settled

    async def page(
        self,
        connection: AsyncConnection,
        after: Place | None,
        most: int,
        *,
        include_resolved: bool,
        overdue_at: datetime | None,
    ) -> Sequence[ConflictRecord]:
        """Conflicts, those due first, after a place; with `overdue_at`, open ones that were due by then."""
        return await self._conflicts.conflicts_page(
            connection, after, most, include_resolved=include_resolved, overdue_at=overdue_at
        )

    async def sides(
        self, connection: AsyncConnection, conflicts: Sequence[ConflictRecord]
    ) -> Mapping[UUID, ClaimRecord]:
        """Both claims of each conflict, by id."""
        ids = {claim_id for one in conflicts for claim_id in (one.claim_id, one.against_claim_id)}
        return await self._claims.claims_of_ids(connection, ids)

    async def escalate_overdue(self, database: Database) -> int:
        """Announce overdue conflicts again, those not announced for a day; gives how many there were."""

        async def work(tx: Transaction) -> int:
            now = tx.clock.now()
            again = now - timedelta(seconds=ESCALATE_AGAIN_AFTER_S)
            overdue = await self._conflicts.hold_overdue(tx, now, again, OVERDUE_PER_ROUND_MAX)
            claims = await self._claims.claims_of_ids(tx.connection, [conflict.claim_id for conflict in overdue])
            for conflict in overdue:
                await self._escalate(tx, conflict, claims[conflict.claim_id].domain, now)
            return len(overdue)

        return await database.run(work)

    async def move(self, tx: Transaction, before: ClaimRecord, after: ClaimRecord, action: str) -> ClaimRecord:
        """Write a changed claim, audited; a change of status or wildcard is announced to its organisation's side."""
        changes_status = before.status is not after.status
        if changes_status:
            check_transition(before.status, after.status)
        await self._claims.save_claim(tx, before, after)
        await tx.audit(
            action,
            f"domain_claim/{after.claim_id}",
            org_id=after.org_id,
            before=_audited(before),
            after=_audited(after),
        )
        if changes_status or before.wildcard is not after.wildcard:
            await tx.publish(_FACTS[after.status], claim_changed_message(after), org_id=after.org_id)
        return after

    async def _put_behind(self, tx: Transaction, holder: ClaimRecord, owner: ClaimRecord, due_in: timedelta) -> None:
        """Put a pending holder behind who proved the name; whoever waited behind the holder waits behind the owner."""
        await self.contest(tx, holder, owner, due_in)
        await self._turn(tx, holder, owner)

    async def _turn(self, tx: Transaction, before: ClaimRecord, after: ClaimRecord) -> None:
        turned = await self._conflicts.repoint(tx, before.claim_id, after.claim_id)
        await tx.audit(
            "claim_conflict.turn",
            f"domain_claim/{after.claim_id}",
            before={"against_claim_id": before.claim_id},
            after={"against_claim_id": after.claim_id, "conflicts": turned},
        )

    async def _defeat(
        self, tx: Transaction, loser: ClaimRecord, winner: ClaimRecord, reason: str, due_in: timedelta
    ) -> None:
        if loser.status is ClaimStatus.REVOKED:
            return
        if loser.status is ClaimStatus.VERIFIED and loser.wildcard and loser.domain != winner.domain:
            await self.move(tx, loser, replace(loser, wildcard=False), "domain_claim.set_wildcard")
            await self.uncover(tx, loser, due_in, lambda other: other.domain != loser.domain)
            return
        # Whoever waited behind the loser waits behind the winner, if that is going to hold the name.
        holds = winner.status in (ClaimStatus.PENDING, ClaimStatus.VERIFIED) or winner.proved_at is not None
        if holds and loser.domain == winner.domain:
            await self._turn(tx, loser, winner)
        await self.withdraw(tx, loser, due_in, action="domain_claim.settle", why=reason)

    async def _favour(self, tx: Transaction, winner_id: UUID, terms: ClaimTerms) -> None:
        """Give the winner what it has proved; one that has proved nothing gets as long again to do so."""
        winner = await self._claims.find_claim(tx.connection, winner_id)
        assert winner is not None
        if winner.status is not ClaimStatus.PENDING_CONFLICT:
            return
        if winner.proved_at is not None:
            await self.grant(tx, winner, winner, terms.due_in)
        elif winner.token_hash is not None:
            longer = replace(winner, token_expires_at=tx.clock.now() + terms.token_ttl)
            await self.move(tx, winner, longer, "domain_claim.settle")

    async def _release(
        self,
        tx: Transaction,
        claim: ClaimRecord,
        conflicts: Sequence[ConflictRecord],
        why: str,
        due_in: timedelta,
    ) -> None:
        """End conflicts with a claim; the proofs of their other sides count, the earliest first."""
        for conflict in conflicts:
            await self._close(tx, conflict, why)
        sides = [conflict.other(claim.claim_id) for conflict in conflicts]
        others = await self._claims.claims_of_ids(tx.connection, sides)
        proved = [(other.proved_at, other) for other in others.values() if other.proved_at is not None]
        for _, other in sorted(proved, key=lambda pair: (pair[0], pair[1].claim_id)):
            if other.status is ClaimStatus.PENDING_CONFLICT and not other.contested:
                await self.grant(tx, other, other, due_in)

    async def _close(self, tx: Transaction, conflict: ConflictRecord, resolution: str) -> None:
        by = current_actor(tx.service).subject
        await self._conflicts.resolve_conflict(tx, conflict.conflict_id, resolution, by, tx.clock.now())
        await tx.audit(
            "claim_conflict.resolve",
            f"claim_conflict/{conflict.conflict_id}",
            before={"state": "open"},
            after={"state": "resolved", "resolution": resolution},
        )

    async def _escalate(self, tx: Transaction, conflict: ConflictRecord, domain: str, now: datetime) -> None:
        await self._conflicts.escalate(tx, conflict.conflict_id, now)
        again = replace(conflict, escalations=conflict.escalations + 1, escalated_at=now)
        await tx.audit(
            "claim_conflict.escalate",
            f"claim_conflict/{conflict.conflict_id}",
            before={"escalations": conflict.escalations},
            after={"escalations": again.escalations},
        )
        await tx.publish("identity.claim.conflict_overdue", conflict_opened_message(again, domain))

    async def _hold_conflict(self, tx: Transaction, conflict_id: UUID) -> ConflictRecord:
        """The open conflict, read after its domain is held."""
        found = await self._conflicts.find_conflict(tx.connection, conflict_id)
        if found is None:
            raise errors.conflict_not_found()
        claim = await self._claims.find_claim(tx.connection, found.claim_id)
        assert claim is not None
        await self.hold(tx, claim.domain)
        found = await self._conflicts.find_conflict(tx.connection, conflict_id)
        assert found is not None
        if found.state != "open":
            raise errors.conflict_resolved()
        return found


def _revoked(claim: ClaimRecord) -> ClaimRecord:
    return replace(claim, status=ClaimStatus.REVOKED, wildcard=False, contested=False)


def _audited(claim: ClaimRecord) -> dict[str, object]:
    """What of a claim its changes are told by."""
    return {
        "domain": claim.domain,
        "status": claim.status.value,
        "wildcard": claim.wildcard,
        "proved_at": claim.proved_at,
    }
