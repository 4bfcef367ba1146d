"""Changing claims: under the lock of the domain, audited and published, and again when another change was quicker.

Whoever changes a claim locks its registrable domain first, by `lock`; everything is decided on what is read after that.
The unique index on held names stands behind the lock: should two processes ever lock differently (their suffix lists
may differ), the slower one gets ClaimMoved and decides again, by `run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app import events
from apportion_identity.app.audit import claim_entry
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.claim_states import check_transition
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.limits import CLAIM_MOVED_TRIES_MAX
from apportion_identity.store.claims import ClaimMoved, ClaimStore

T = TypeVar("T")
V = TypeVar("V")
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """The settings that a change of claims is made under; read before its transaction."""

    token_ttl: timedelta
    due_in: timedelta
    daily_limit: int
    shared_mail: Sequence[str]


async def read_terms(settings: GlobalSettings) -> ClaimTerms:
    """Return the settings as they are now."""
    return ClaimTerms(
        token_ttl=timedelta(hours=await settings.get_int("claim_token_ttl_hours")),
        due_in=timedelta(hours=await settings.get_int("conflict_due_hours")),
        daily_limit=await settings.get_int("claims_daily_limit"),
        shared_mail=await settings.get_list("shared_mail_domains"),
    )


class ClaimChanges:
    """Every change of a claim goes through here; but for `run`, each call is made inside its caller's transaction."""

    def __init__(self, database: Database, claims: ClaimStore, suffixes: PublicSuffixes) -> None:
        """Change the claims of a database; a registrable domain is what `suffixes` says."""
        self._database = database
        self._claims = claims
        self._suffixes = suffixes

    async def run(self, mutation: Mutation[V, Answer], work: Callable[[Transaction], Awaitable[V]]) -> Answer:
        """Run a mutation of claims, again when another was quicker. Raises Unavailable CLAIM_BUSY after some tries."""
        return await _retry_moved(lambda: run_mutation(self._database, mutation, work))

    async def run_alone(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run as `run` does, for work that no caller has asked for."""
        return await _retry_moved(lambda: self._database.run(work))

    async def lock(self, tx: Transaction, domain: str) -> None:
        """Let nobody else change a claim at, above or below the name until the transaction ends."""
        await self._claims.lock_domain(tx, self._suffixes.registrable(domain) or domain)

    async def find(self, connection: AsyncConnection, org_id: UUID, claim_id: UUID) -> Claim:
        """Return the organisation's claim. Raises NotFound CLAIM_NOT_FOUND, for another's too."""
        claim = await self._claims.find_claim(connection, claim_id)
        if claim is None or claim.org_id != org_id:
            raise errors.claim_not_found()
        return claim

    async def find_locked(self, tx: Transaction, org_id: UUID, claim_id: UUID) -> Claim:
        """Return the organisation's claim, read after its domain is locked. Raises NotFound CLAIM_NOT_FOUND."""
        claim = await self.find(tx.connection, org_id, claim_id)
        await self.lock(tx, claim.domain)
        return await self.find(tx.connection, org_id, claim_id)

    async def save(self, tx: Transaction, before: Claim, after: Claim, action: str) -> Claim:
        """Write a changed claim, audited; a change of status or wildcard is published to its organisation's side."""
        changes_status = before.status is not after.status
        if changes_status:
            check_transition(before.status, after.status)
        await self._claims.save_claim(tx, before, after)
        await tx.audit(
            action,
            f"domain_claim/{after.claim_id}",
            org_id=after.org_id,
            before=claim_entry(before),
            after=claim_entry(after),
        )
        if changes_status or before.wildcard is not after.wildcard:
            await tx.publish(events.CLAIM_BECAME[after.status], events.claim_changed(after), org_id=after.org_id)
        return after


async def _retry_moved(mutate: Callable[[], Awaitable[T]]) -> T:
    for _ in range(CLAIM_MOVED_TRIES_MAX):
        try:
            return await mutate()
        except ClaimMoved:
            continue
    raise errors.claim_busy()
