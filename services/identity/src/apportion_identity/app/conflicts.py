"""Conflicts between claims, as operators see and settle them, and their escalation (spec 01, conflict)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from apportion_common.db.idempotency import Mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import TimeCursor
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app import events
from apportion_identity.app.claim_changes import Answer, ClaimChanges, ClaimTerms, read_terms
from apportion_identity.app.claim_contests import ClaimContests
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.conflicts import Conflict
from apportion_identity.limits import ESCALATE_AGAIN_AFTER_S, OVERDUE_CONFLICTS_PER_ROUND_MAX
from apportion_identity.store.claims import ClaimStore
from apportion_identity.store.conflicts import ConflictStore


class ConflictSides(NamedTuple):
    """A conflict with both its claims."""

    conflict: Conflict
    claim: Claim
    against: Claim


class Conflicts:
    """What operators do about conflicts."""

    def __init__(
        self,
        database: Database,
        claims: ClaimStore,
        conflicts: ConflictStore,
        changes: ClaimChanges,
        contests: ClaimContests,
        settings: GlobalSettings,
    ) -> None:
        """Settle the conflicts of a database by the rules of `contests`."""
        self._database = database
        self._claims = claims
        self._conflicts = conflicts
        self._changes = changes
        self._contests = contests
        self._settings = settings

    async def page(
        self, after: TimeCursor | None, limit: int, *, include_resolved: bool, overdue_only: bool
    ) -> Sequence[ConflictSides]:
        """Return conflicts, those due first, after a cursor; with `overdue_only`, open ones that were due by now."""
        overdue_at = self._database.clock.now() if overdue_only else None
        async with self._database.read(snapshot=True) as connection:
            found = await self._conflicts.conflicts_page(
                connection, after, limit, include_resolved=include_resolved, overdue_at=overdue_at
            )
            return await self._with_sides(connection, found)

    async def resolve(
        self, mutation: Mutation[ConflictSides, Answer], conflict_id: UUID, winner_id: UUID, reason: str
    ) -> Answer:
        """Settle a conflict: the winner gets the name if it has proved it, else nothing blocks it; the other ends.

        A loser whose wildcard alone covered the winner's name keeps its own name and loses the wildcard. Raises
        NotFound CONFLICT_NOT_FOUND, FailedPrecondition CONFLICT_RESOLVED, InvalidArgument WINNER_NOT_IN_CONFLICT.
        """
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> ConflictSides:
            conflict = await self._find_locked(tx, conflict_id)
            if winner_id not in (conflict.claim_id, conflict.against_claim_id):
                raise errors.winner_not_in_conflict()
            claims = await self._claims.claims_of_ids(tx.connection, (conflict.claim_id, conflict.against_claim_id))
            winner, loser = claims[winner_id], claims[conflict.other(winner_id)]
            await self._contests.close(tx, conflict, reason)
            await self._defeat(tx, loser, winner, reason, terms.due_in)
            await self._award(tx, winner_id, terms)
            settled = await self._conflicts.find_conflict(tx.connection, conflict_id)
            assert settled is not None
            (sides,) = await self._with_sides(tx.connection, [settled])
            return sides

        return await self._changes.run(mutation, work)

    async def escalate_overdue(self) -> int:
        """Publish overdue conflicts again, those not published for a day; return how many there were."""

        async def work(tx: Transaction) -> int:
            now = tx.clock.now()
            again = now - timedelta(seconds=ESCALATE_AGAIN_AFTER_S)
            overdue = await self._conflicts.lock_overdue(tx, now, again, OVERDUE_CONFLICTS_PER_ROUND_MAX)
            claims = await self._claims.claims_of_ids(tx.connection, [conflict.claim_id for conflict in overdue])
            for conflict in overdue:
                await self._escalate(tx, conflict, claims[conflict.claim_id].domain, now)
            return len(overdue)

        return await self._database.run(work)

    async def _defeat(self, tx: Transaction, loser: Claim, winner: Claim, reason: str, due_in: timedelta) -> None:
        """End the loser's claim, or only its wildcard where that alone covered the winner's name."""
        if loser.status is ClaimStatus.REVOKED:
            return
        if loser.status is ClaimStatus.VERIFIED and loser.wildcard and loser.domain != winner.domain:
            await self._changes.save(tx, loser, replace(loser, wildcard=False), "domain_claim.set_wildcard")
            await self._contests.uncover(tx, loser, due_in, lambda other: other.domain != loser.domain)
            return
        # Whoever waited behind the loser waits behind the winner, if that is going to hold the name.
        holds = winner.status in (ClaimStatus.PENDING, ClaimStatus.VERIFIED) or winner.proved_at is not None
        if holds and loser.domain == winner.domain:
            await self._contests.repoint_rivals(tx, loser, winner)
        await self._contests.withdraw(tx, loser, due_in, action="domain_claim.settle", why=reason)

    async def _award(self, tx: Transaction, winner_id: UUID, terms: ClaimTerms) -> None:
        """Award the winner what it has proved; one that has proved nothing gets as long again to do so."""
        winner = await self._claims.find_claim(tx.connection, winner_id)
        assert winner is not None
        if winner.status is not ClaimStatus.PENDING_CONFLICT:
            return
        if winner.proved_at is not None:
            await self._contests.award(tx, winner, winner, terms.due_in)
        elif winner.token_hash is not None:
            longer = replace(winner, token_expires_at=tx.clock.now() + terms.token_ttl)
            await self._changes.save(tx, winner, longer, "domain_claim.settle")

    async def _escalate(self, tx: Transaction, conflict: Conflict, domain: str, now: datetime) -> None:
        await self._conflicts.escalate(tx, conflict.conflict_id, now)
        again = replace(conflict, escalations=conflict.escalations + 1, escalated_at=now)
        await tx.audit(
            "claim_conflict.escalate",
            f"claim_conflict/{conflict.conflict_id}",
            before={"escalations": conflict.escalations},
            after={"escalations": again.escalations},
        )
        await tx.publish(events.CONFLICT_OVERDUE, events.conflict_opened(again, domain))

    async def _find_locked(self, tx: Transaction, conflict_id: UUID) -> Conflict:
        """Return the open conflict, read after its domain is locked."""
        found = await self._conflicts.find_conflict(tx.connection, conflict_id)
        if found is None:
            raise errors.conflict_not_found()
        claim = await self._claims.find_claim(tx.connection, found.claim_id)
        assert claim is not None
        await self._changes.lock(tx, claim.domain)
        found = await self._conflicts.find_conflict(tx.connection, conflict_id)
        assert found is not None
        if found.state != "open":
            raise errors.conflict_resolved()
        return found

    async def _with_sides(self, connection: AsyncConnection, conflicts: Sequence[Conflict]) -> list[ConflictSides]:
        ids = {claim_id for one in conflicts for claim_id in (one.claim_id, one.against_claim_id)}
        claims = await self._claims.claims_of_ids(connection, ids)
        return [ConflictSides(one, claims[one.claim_id], claims[one.against_claim_id]) for one in conflicts]
