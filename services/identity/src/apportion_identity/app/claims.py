"""Making, renewing, reading and giving up claims; wildcards; the end of claims that nothing proved (spec 01)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app.claim_messages import claim_changed_message
from apportion_identity.app.conflicts import EXPIRED, WITHDRAWN, ClaimTerms, Conflicts, decided
from apportion_identity.app.ports.claims import ClaimRecord, ClaimStore
from apportion_identity.app.ports.common import Place
from apportion_identity.domain.claim_states import UNPROVEN, ClaimStatus
from apportion_identity.domain.claims import TOKEN_BYTES, claim_address, is_below, stands_in_the_way, token_hash
from apportion_identity.domain.domain_names import PublicSuffixes, claimable, normalise_domain
from apportion_identity.limits import EXPIRED_CLAIMS_PER_ROUND_MAX


class Claims:
    """Organisations' claims of domains."""

    def __init__(self, claims: ClaimStore, conflicts: Conflicts, suffixes: PublicSuffixes, mail_domain: str) -> None:
        """Work on these; addresses that prove claims end in `mail_domain`."""
        self._claims = claims
        self._conflicts = conflicts
        self._suffixes = suffixes
        self._mail_domain = mail_domain

    async def create(self, tx: Transaction, org_id: UUID, text: str, terms: ClaimTerms) -> tuple[ClaimRecord, str]:
        """Claim a domain; gives the claim and the address to mail to, which is kept nowhere.

        Where the name is held elsewhere the claim waits in conflict from the start, and does not say with whom. Raises
        what `normalise_domain` and `claimable` raise, AlreadyExists CLAIM_EXISTS, ResourceExhausted CLAIM_RATE_LIMITED.
        """
        domain = normalise_domain(text)
        claimable(domain, self._suffixes, terms.shared_mail)
        # The organisation first, always: who holds a domain waits for no organisation.
        await self._claims.lock_org(tx, org_id)
        await self._check_daily_limit(tx, org_id, terms.daily_limit)
        await self._conflicts.hold(tx, domain)
        if await self._claims.live_of_org(tx.connection, org_id, domain) is not None:
            raise errors.claim_exists()
        now, token = tx.clock.now(), secrets.token_bytes(TOKEN_BYTES)
        claim = ClaimRecord(
            claim_id=uuid7(),
            org_id=org_id,
            domain=domain,
            status=ClaimStatus.PENDING,
            created_by=current_actor(tx.service).subject,
            created_at=now,
            token_hash=token_hash(token),
            token_expires_at=now + terms.token_ttl,
        )
        rivals = await self._conflicts.in_the_way(tx.connection, claim)
        if rivals:
            claim = replace(claim, status=ClaimStatus.PENDING_CONFLICT, contested=True)
        await self._claims.add_claim(tx, claim)
        message = claim_changed_message(claim)
        await tx.audit("domain_claim.create", f"domain_claim/{claim.claim_id}", org_id=org_id, after=message)
        await tx.publish("identity.claim.created", message, org_id=org_id)
        for rival in rivals:
            await self._conflicts.open(tx, claim, rival, terms.due_in)
        return claim, claim_address(token, self._mail_domain)

    async def renew(self, tx: Transaction, org_id: UUID, claim_id: UUID, terms: ClaimTerms) -> tuple[ClaimRecord, str]:
        """Give an unproven claim a new address; the old one ends.

        Raises NotFound CLAIM_NOT_FOUND, FailedPrecondition CLAIM_NOT_PENDING.
        """
        claim = await self._hold(tx, org_id, claim_id)
        if claim.status not in UNPROVEN or claim.proved_at is not None:
            raise errors.claim_not_pending()
        token = secrets.token_bytes(TOKEN_BYTES)
        renewed = replace(claim, token_hash=token_hash(token), token_expires_at=tx.clock.now() + terms.token_ttl)
        await self._conflicts.move(tx, claim, renewed, "domain_claim.renew_token")
        return renewed, claim_address(token, self._mail_domain)

    async def revoke(
        self, tx: Transaction, org_id: UUID, claim_id: UUID, reason: str, terms: ClaimTerms
    ) -> ClaimRecord:
        """Give a claim up. Raises NotFound CLAIM_NOT_FOUND, FailedPrecondition CLAIM_REVOKED."""
        claim = await self._hold(tx, org_id, claim_id)
        if claim.status is ClaimStatus.REVOKED:
            raise errors.claim_revoked()
        await tx.audit("domain_claim.revoke_asked", f"domain_claim/{claim_id}", org_id=org_id, after={"reason": reason})
        return await self._conflicts.withdraw(tx, claim, terms.due_in, action="domain_claim.revoke", why=WITHDRAWN)

    async def set_wildcard(
        self, tx: Transaction, org_id: UUID, claim_id: UUID, terms: ClaimTerms, *, wildcard: bool
    ) -> ClaimRecord:
        """Extend a verified root to what lies below, or take that back; who may ask is checked by the caller.

        Pending claims of others below wait behind it; a verified one stands against it. Raises NotFound
        CLAIM_NOT_FOUND, FailedPrecondition CLAIM_NOT_VERIFIED, CLAIM_NOT_ROOT, WILDCARD_CONFLICT.
        """
        claim = await self._hold(tx, org_id, claim_id)
        if claim.status is not ClaimStatus.VERIFIED:
            raise errors.claim_not_verified()
        if self._suffixes.registrable(claim.domain) != claim.domain:
            raise errors.claim_not_root()
        if claim.wildcard is wildcard:
            return claim
        changed = replace(claim, wildcard=wildcard)
        covered = await self._covered_below(tx.connection, changed) if wildcard else ()
        if any(rival.status is ClaimStatus.VERIFIED for rival in covered):
            raise errors.wildcard_conflict()
        await self._conflicts.move(tx, claim, changed, "domain_claim.set_wildcard")
        for rival in covered:
            await self._conflicts.contest(tx, rival, changed, terms.due_in)
        if not wildcard:
            await self._conflicts.uncover(tx, changed, terms.due_in, lambda other: is_below(other.domain, claim.domain))
        return changed

    async def get(self, connection: AsyncConnection, org_id: UUID, claim_id: UUID) -> ClaimRecord:
        """The organisation's claim. Raises NotFound CLAIM_NOT_FOUND, for another's too."""
        claim = await self._claims.find_claim(connection, claim_id)
        if claim is None or claim.org_id != org_id:
            raise errors.claim_not_found()
        return claim

    async def page(
        self, connection: AsyncConnection, org_id: UUID, after: Place | None, most: int
    ) -> Sequence[ClaimRecord]:
        """The organisation's claims, newest first, after a place."""
        return await self._claims.claims_page(connection, org_id, after, most)

    async def expire(self, database: Database, terms: ClaimTerms) -> int:
        """End claims that nothing proved while their address took mail; gives how many.

        Each in a transaction of its own: a process that dies here has ended some, and the next round ends the rest.
        """
        async with database.read() as connection:
            due = await self._claims.expired_claims(connection, database.clock.now(), EXPIRED_CLAIMS_PER_ROUND_MAX)
        return sum([await decided(partial(database.run, partial(self._expire, claim, terms))) for claim in due])

    async def _expire(self, due: ClaimRecord, terms: ClaimTerms, tx: Transaction) -> bool:
        await self._conflicts.hold(tx, due.domain)
        claim = await self._claims.find_claim(tx.connection, due.claim_id)
        assert claim is not None
        # A proof or a new address may have come between.
        if claim.status not in UNPROVEN or claim.proved_at is not None or not _has_ended(claim, tx.clock.now()):
            return False
        await self._conflicts.withdraw(tx, claim, terms.due_in, action="domain_claim.expire", why=EXPIRED)
        return True

    async def _hold(self, tx: Transaction, org_id: UUID, claim_id: UUID) -> ClaimRecord:
        """The organisation's claim, read after its domain is held. Raises NotFound CLAIM_NOT_FOUND."""
        claim = await self.get(tx.connection, org_id, claim_id)
        await self._conflicts.hold(tx, claim.domain)
        return await self.get(tx.connection, org_id, claim_id)

    async def _covered_below(self, connection: AsyncConnection, claim: ClaimRecord) -> list[ClaimRecord]:
        below = await self._claims.held_below(connection, claim.domain, claim.org_id)
        return [rival for rival in below if stands_in_the_way(claim.standing(), rival.standing())]

    async def _check_daily_limit(self, tx: Transaction, org_id: UUID, limit: int) -> None:
        """Raise ResourceExhausted CLAIM_RATE_LIMITED for one more claim than the day (UTC) allows."""
        now = tx.clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if await self._claims.made_since(tx.connection, org_id, midnight) >= limit:
            tomorrow = midnight + timedelta(days=1)
            raise errors.claim_rate_limited(int((tomorrow - now).total_seconds()) + 1)


def _has_ended(claim: ClaimRecord, now: datetime) -> bool:
    return claim.token_expires_at is not None and claim.token_expires_at <= now
