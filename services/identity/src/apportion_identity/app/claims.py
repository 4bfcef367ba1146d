"""Making, renewing, reading and giving up claims; wildcards; the end of claims that nothing proved (spec 01)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from apportion_common.caller import current_caller
from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import Mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from apportion_common.pages import TimeCursor

from apportion_identity import errors
from apportion_identity.app import events
from apportion_identity.app.claim_changes import Answer, ClaimChanges, ClaimTerms, read_terms
from apportion_identity.app.claim_contests import EXPIRED, WITHDRAWN, ClaimContests
from apportion_identity.app.permissions import Permissions
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim, has_second_factor, is_below
from apportion_identity.domain.domain_names import PublicSuffixes, claimable, normalise_domain
from apportion_identity.domain.proofs import TOKEN_BYTES, claim_address, token_hash
from apportion_identity.domain.roles import Role
from apportion_identity.limits import EXPIRED_CLAIMS_PER_ROUND_MAX
from apportion_identity.store.claims import ClaimStore


class AddressedClaim(NamedTuple):
    """A claim, and the address to mail to, which is kept nowhere."""

    claim: Claim
    mail_to: str


class Claims:
    """Organisations' claims of domains."""

    def __init__(
        self,
        database: Database,
        claims: ClaimStore,
        changes: ClaimChanges,
        contests: ClaimContests,
        permissions: Permissions,
        settings: GlobalSettings,
        suffixes: PublicSuffixes,
        *,
        mail_domain: str,
    ) -> None:
        """Work on the claims of a database; addresses that prove claims end in `mail_domain`."""
        self._database = database
        self._claims = claims
        self._changes = changes
        self._contests = contests
        self._permissions = permissions
        self._settings = settings
        self._suffixes = suffixes
        self._mail_domain = mail_domain

    async def create(self, mutation: Mutation[AddressedClaim, Answer], org_id: UUID, text: str) -> Answer:
        """Claim a domain.

        Where the name is held elsewhere the claim waits in conflict from the start, and does not say with whom. Raises
        what `normalise_domain` and `claimable` raise, AlreadyExists CLAIM_EXISTS, ResourceExhausted CLAIM_RATE_LIMITED.
        """
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> AddressedClaim:
            await self._permissions.require(tx, org_id, Role.ADMIN)
            domain = normalise_domain(text)
            claimable(domain, self._suffixes, terms.shared_mail)
            # The organisation first, always: who has locked a domain waits for no organisation.
            await self._claims.lock_org(tx, org_id)
            await self._check_daily_limit(tx, org_id, terms.daily_limit)
            await self._changes.lock(tx, domain)
            if await self._claims.live_of_org(tx.connection, org_id, domain) is not None:
                raise errors.claim_exists()
            token = secrets.token_bytes(TOKEN_BYTES)
            claim = await self._add(tx, org_id, domain, token, terms)
            return AddressedClaim(claim, claim_address(token, self._mail_domain))

        return await self._changes.run(mutation, work)

    async def renew(self, mutation: Mutation[AddressedClaim, Answer], org_id: UUID, claim_id: UUID) -> Answer:
        """Assign an unproven claim a new address; the old one ends.

        Raises NotFound CLAIM_NOT_FOUND, FailedPrecondition CLAIM_NOT_PENDING.
        """
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> AddressedClaim:
            await self._permissions.require(tx, org_id, Role.ADMIN)
            claim = await self._changes.find_locked(tx, org_id, claim_id)
            if not claim.awaits_proof:
                raise errors.claim_not_pending()
            token = secrets.token_bytes(TOKEN_BYTES)
            renewed = replace(claim, token_hash=token_hash(token), token_expires_at=tx.clock.now() + terms.token_ttl)
            await self._changes.save(tx, claim, renewed, "domain_claim.renew_token")
            return AddressedClaim(renewed, claim_address(token, self._mail_domain))

        return await self._changes.run(mutation, work)

    async def revoke(self, mutation: Mutation[Claim, Answer], org_id: UUID, claim_id: UUID, reason: str) -> Answer:
        """Withdraw a claim. Raises NotFound CLAIM_NOT_FOUND, FailedPrecondition CLAIM_REVOKED."""
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> Claim:
            await self._permissions.require(tx, org_id, Role.ADMIN)
            claim = await self._changes.find_locked(tx, org_id, claim_id)
            if claim.status is ClaimStatus.REVOKED:
                raise errors.claim_revoked()
            resource, after = f"domain_claim/{claim_id}", {"reason": reason}
            await tx.audit("domain_claim.revoke_asked", resource, org_id=org_id, after=after)
            return await self._contests.withdraw(tx, claim, terms.due_in, action="domain_claim.revoke", why=WITHDRAWN)

        return await self._changes.run(mutation, work)

    async def set_wildcard(
        self, mutation: Mutation[Claim, Answer], org_id: UUID, claim_id: UUID, *, wildcard: bool
    ) -> Answer:
        """Extend a verified root to what lies below, or take that back; it takes a second factor.

        Pending claims of others below wait behind it; a verified one blocks it. Raises PermissionDenied
        SECOND_FACTOR_REQUIRED, NotFound CLAIM_NOT_FOUND, FailedPrecondition CLAIM_NOT_VERIFIED, CLAIM_NOT_ROOT,
        WILDCARD_CONFLICT.
        """
        if not has_second_factor(current_caller().amr):
            raise errors.second_factor_required()
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> Claim:
            await self._permissions.require(tx, org_id, Role.OWNER)
            claim = await self._changes.find_locked(tx, org_id, claim_id)
            if claim.status is not ClaimStatus.VERIFIED:
                raise errors.claim_not_verified()
            if self._suffixes.registrable(claim.domain) != claim.domain:
                raise errors.claim_not_root()
            if claim.wildcard is wildcard:
                return claim
            return await self._change_wildcard(tx, claim, replace(claim, wildcard=wildcard), terms.due_in)

        return await self._changes.run(mutation, work)

    async def get(self, org_id: UUID, claim_id: UUID) -> Claim:
        """Return the organisation's claim, for its members. Raises NotFound CLAIM_NOT_FOUND, for another's too."""
        async with self._database.read() as connection:
            await self._permissions.require_to_read(connection, org_id, Role.USER)
            return await self._changes.find(connection, org_id, claim_id)

    async def page(self, org_id: UUID, after: TimeCursor | None, limit: int) -> Sequence[Claim]:
        """Return the organisation's claims, newest first, after a cursor, for its members."""
        async with self._database.read() as connection:
            await self._permissions.require_to_read(connection, org_id, Role.USER)
            return await self._claims.claims_page(connection, org_id, after, limit)

    async def expire(self) -> int:
        """End claims that nothing proved while their address took mail; return how many.

        Each in a transaction of its own: a process that dies here has ended some, and the next round ends the rest.
        """
        terms = await read_terms(self._settings)
        async with self._database.read() as connection:
            now = self._database.clock.now()
            due = await self._claims.expired_claims(connection, now, EXPIRED_CLAIMS_PER_ROUND_MAX)
        return sum([await self._changes.run_alone(partial(self._expire, claim, terms)) for claim in due])

    async def _add(self, tx: Transaction, org_id: UUID, domain: str, token: bytes, terms: ClaimTerms) -> Claim:
        """Add a claim that waits for mail, and behind whoever blocks it."""
        now = tx.clock.now()
        claim = Claim(
            claim_id=uuid7(),
            org_id=org_id,
            domain=domain,
            status=ClaimStatus.PENDING,
            created_by=current_actor(tx.service).subject,
            created_at=now,
            token_hash=token_hash(token),
            token_expires_at=now + terms.token_ttl,
        )
        rivals = await self._contests.blocking(tx.connection, claim)
        if rivals:
            claim = replace(claim, status=ClaimStatus.PENDING_CONFLICT, contested=True)
        await self._claims.add_claim(tx, claim)
        message = events.claim_changed(claim)
        await tx.audit("domain_claim.create", f"domain_claim/{claim.claim_id}", org_id=org_id, after=message)
        await tx.publish(events.CLAIM_CREATED, message, org_id=org_id)
        for rival in rivals:
            await self._contests.open(tx, claim, rival, terms.due_in)
        return claim

    async def _change_wildcard(self, tx: Transaction, before: Claim, after: Claim, due_in: timedelta) -> Claim:
        covered = await self._contests.blocked_below(tx.connection, after) if after.wildcard else ()
        if any(rival.status is ClaimStatus.VERIFIED for rival in covered):
            raise errors.wildcard_conflict()
        await self._changes.save(tx, before, after, "domain_claim.set_wildcard")
        for rival in covered:
            await self._contests.contest(tx, rival, after, due_in)
        if not after.wildcard:
            await self._contests.uncover(tx, after, due_in, lambda other: is_below(other.domain, after.domain))
        return after

    async def _expire(self, due: Claim, terms: ClaimTerms, tx: Transaction) -> bool:
        await self._changes.lock(tx, due.domain)
        claim = await self._claims.find_claim(tx.connection, due.claim_id)
        assert claim is not None
        # A proof or a new address may have come between.
        if not claim.awaits_proof or not claim.is_expired(tx.clock.now()):
            return False
        await self._contests.withdraw(tx, claim, terms.due_in, action="domain_claim.expire", why=EXPIRED)
        return True

    async def _check_daily_limit(self, tx: Transaction, org_id: UUID, limit: int) -> None:
        """Raise ResourceExhausted CLAIM_RATE_LIMITED for one more claim than the day (UTC) allows."""
        now = tx.clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if await self._claims.made_since(tx.connection, org_id, midnight) >= limit:
            tomorrow = midnight + timedelta(days=1)
            raise errors.claim_rate_limited(int((tomorrow - now).total_seconds()) + 1)
