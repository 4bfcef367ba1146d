"""The rules between claims of one name: who gets it, who waits, and what follows when one ends (spec 01, conflict).

A mere claim never blocks the owner: who proves the name while its holder is pending gets it, and the holder waits in
its place. Against a verified holder a proof is kept as evidence. When a claim ends, proofs that waited behind it count
in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Transaction
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app import events
from apportion_identity.app.claim_changes import ClaimChanges
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim, blocks
from apportion_identity.domain.conflicts import Conflict
from apportion_identity.store.claims import ClaimStore
from apportion_identity.store.conflicts import ConflictStore

WITHDRAWN: Final = "One of the two claims was given up."
EXPIRED: Final = "One of the two claims was not proved in time."
UNCOVERED: Final = "The names no longer overlap."


class ClaimContests:
    """Claims against claims; each call is made inside its caller's transaction, after the domain is locked."""

    def __init__(self, changes: ClaimChanges, claims: ClaimStore, conflicts: ConflictStore) -> None:
        """Work on these stores; claims are written through `changes`."""
        self._changes = changes
        self._claims = claims
        self._conflicts = conflicts

    async def blocking(self, connection: AsyncConnection, claim: Claim) -> list[Claim]:
        """Return claims of other organisations that hold the claim's name, or have a wildcard over it."""
        holders = await self._claims.holders(connection, claim.domain, claim.org_id)
        return [holder for holder in holders if blocks(holder, claim)]

    async def blocked_below(self, connection: AsyncConnection, claim: Claim) -> list[Claim]:
        """Return claims of other organisations of names below, which the claim's wildcard covers."""
        below = await self._claims.held_below(connection, claim.domain, claim.org_id)
        return [other for other in below if blocks(claim, other)]

    async def award(self, tx: Transaction, before: Claim, proved: Claim, due_in: timedelta) -> Claim:
        """Award the name to a claim that has its proof, or keep the proof as evidence; return the claim as it is then.

        Pending claims that block it are demoted behind it. Blocked by a verified one it waits for operators.
        """
        rivals = await self.blocking(tx.connection, proved)
        verified = [rival for rival in rivals if rival.status is ClaimStatus.VERIFIED]
        if verified:
            for rival in verified:
                await self.open(tx, proved, rival, due_in)
            waiting = replace(proved, status=ClaimStatus.PENDING_CONFLICT, contested=True)
            return await self._changes.save(tx, before, waiting, "domain_claim.prove")
        for rival in rivals:
            await self._demote(tx, rival, proved, due_in)
        owner = replace(proved, status=ClaimStatus.VERIFIED, verified_at=tx.clock.now(), contested=False)
        return await self._changes.save(tx, before, owner, "domain_claim.verify")

    async def contest(self, tx: Transaction, rival: Claim, holder: Claim, due_in: timedelta) -> None:
        """Let a pending claim wait behind one that now covers its name."""
        await self.open(tx, rival, holder, due_in)
        waiting = replace(rival, status=ClaimStatus.PENDING_CONFLICT, contested=True)
        await self._changes.save(tx, rival, waiting, "domain_claim.conflict")

    async def open(self, tx: Transaction, newcomer: Claim, holder: Claim, due_in: timedelta) -> None:
        """Open a conflict between two claims, unless one is open; published for the escalation path."""
        known = await self._conflicts.open_of(tx.connection, newcomer.claim_id)
        if any(conflict.other(newcomer.claim_id) == holder.claim_id for conflict in known):
            return
        now = tx.clock.now()
        conflict = Conflict(uuid7(), newcomer.claim_id, holder.claim_id, "open", now, now + due_in)
        await self._conflicts.open_conflict(tx, conflict)
        await tx.audit(
            "claim_conflict.open",
            f"claim_conflict/{conflict.conflict_id}",
            after={"claim_id": newcomer.claim_id, "against_claim_id": holder.claim_id, "due_at": conflict.due_at},
        )
        await tx.publish(events.CONFLICT_OPENED, events.conflict_opened(conflict, newcomer.domain))

    async def close(self, tx: Transaction, conflict: Conflict, resolution: str) -> None:
        """End an open conflict; what becomes of its claims is the caller's to say."""
        by = current_actor(tx.service).subject
        await self._conflicts.resolve_conflict(tx, conflict.conflict_id, resolution, by, tx.clock.now())
        await tx.audit(
            "claim_conflict.resolve",
            f"claim_conflict/{conflict.conflict_id}",
            before={"state": "open"},
            after={"state": "resolved", "resolution": resolution},
        )

    async def withdraw(self, tx: Transaction, claim: Claim, due_in: timedelta, *, action: str, why: str) -> Claim:
        """End a claim and its conflicts; proofs that waited behind it count now."""
        conflicts = await self._conflicts.open_of(tx.connection, claim.claim_id)
        ended = replace(claim, status=ClaimStatus.REVOKED, wildcard=False, contested=False)
        revoked = await self._changes.save(tx, claim, ended, action)
        await self._release(tx, claim, conflicts, why, due_in)
        return revoked

    async def uncover(self, tx: Transaction, claim: Claim, due_in: timedelta, is_over: Callable[[Claim], bool]) -> None:
        """End those conflicts of a claim whose other side `is_over`: it covers their names no longer."""
        conflicts = await self._conflicts.open_of(tx.connection, claim.claim_id)
        sides = [conflict.other(claim.claim_id) for conflict in conflicts]
        others = await self._claims.claims_of_ids(tx.connection, sides)
        ended = [conflict for conflict in conflicts if is_over(others[conflict.other(claim.claim_id)])]
        await self._release(tx, claim, ended, UNCOVERED, due_in)

    async def repoint_rivals(self, tx: Transaction, before: Claim, after: Claim) -> None:
        """Let whoever waited behind one claim wait behind another."""
        repointed = await self._conflicts.repoint(tx, before.claim_id, after.claim_id)
        await tx.audit(
            "claim_conflict.turn",
            f"domain_claim/{after.claim_id}",
            before={"against_claim_id": before.claim_id},
            after={"against_claim_id": after.claim_id, "conflicts": repointed},
        )

    async def _demote(self, tx: Transaction, holder: Claim, owner: Claim, due_in: timedelta) -> None:
        """Let a pending holder, and whoever waited behind it, wait behind who proved the name."""
        await self.contest(tx, holder, owner, due_in)
        await self.repoint_rivals(tx, holder, owner)

    async def _release(
        self, tx: Transaction, claim: Claim, conflicts: Sequence[Conflict], why: str, due_in: timedelta
    ) -> None:
        """End conflicts with a claim; the proofs of their other sides count, the earliest first."""
        for conflict in conflicts:
            await self.close(tx, conflict, why)
        sides = [conflict.other(claim.claim_id) for conflict in conflicts]
        others = await self._claims.claims_of_ids(tx.connection, sides)
        proved = [(other.proved_at, other) for other in others.values() if other.proved_at is not None]
        for _, other in sorted(proved, key=lambda pair: (pair[0], pair[1].claim_id)):
            if other.status is ClaimStatus.PENDING_CONFLICT and not other.contested:
                await self.award(tx, other, other, due_in)
