"""Delegation: a head office gives a subsidiary a name below its verified domain (spec 01, delegation)."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity import errors
from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import ClaimTerms, Conflicts
from apportion_identity.app.ports.claims import ClaimRecord, ClaimStore, OrgsPort
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Delegation as Given
from apportion_identity.domain.claims import delegated_to, delegations_of, is_below, with_delegations
from apportion_identity.domain.domain_names import normalise_domain
from apportion_identity.limits import DELEGATIONS_MAX


class Delegation:
    """The lists of names that verified claims give to subsidiaries, kept in the claims' proofs."""

    def __init__(self, claims: Claims, store: ClaimStore, conflicts: Conflicts, orgs: OrgsPort) -> None:
        """Work on claims; whose subsidiary an organisation is says `orgs`."""
        self._claims = claims
        self._store = store
        self._conflicts = conflicts
        self._orgs = orgs

    async def is_answered(self, connection: AsyncConnection, subject: str, request_id: str) -> bool:
        """Whether this very call was answered before: then its answer stands, whatever orgs says by now."""
        return await self._store.is_answered(connection, subject, request_id)

    async def check_subsidiary(self, org_id: UUID, subsidiary_org_id: UUID) -> None:
        """Asked before the transaction. Raises FailedPrecondition NOT_A_SUBSIDIARY, Unavailable ORGS_UNAVAILABLE."""
        if not await self._orgs.is_subsidiary(subsidiary_org_id, org_id):
            raise errors.not_a_subsidiary()

    async def give(
        self, tx: Transaction, org_id: UUID, claim_id: UUID, text: str, subsidiary: UUID, terms: ClaimTerms
    ) -> ClaimRecord:
        """Delegate a name; its subsidiary's claims of it are no longer in conflict with this one.

        Giving what is given already changes nothing. Raises NotFound CLAIM_NOT_FOUND, FailedPrecondition
        CLAIM_NOT_VERIFIED, SUBDOMAIN_HELD, TOO_MANY_DELEGATIONS, InvalidArgument NOT_A_SUBDOMAIN and what
        `normalise_domain` raises.
        """
        claim, domain = await self._hold(tx, org_id, claim_id, text)
        given = delegations_of(claim.proof)
        if any((one.domain, one.org_id) == (domain, subsidiary) for one in given):
            return claim
        if any(one.domain == domain for one in given) or await self._is_held(tx, domain, org_id, subsidiary):
            raise errors.subdomain_held()
        if len(given) >= DELEGATIONS_MAX:
            raise errors.too_many_delegations()
        changed = await self._write(tx, claim, (*given, Given(domain, subsidiary, tx.clock.now())))
        standing = changed.standing()
        await self._conflicts.uncover(
            tx,
            changed,
            terms.due_in,
            lambda other: other.org_id == subsidiary and delegated_to(standing, other.domain, subsidiary),
        )
        return changed

    async def take_back(
        self, tx: Transaction, org_id: UUID, claim_id: UUID, text: str, subsidiary: UUID
    ) -> ClaimRecord:
        """Withdraw a delegation, also from what is no subsidiary any more; what is not given stays so.

        Raises as `give` does, but for what concerns the name's other holders.
        """
        claim, domain = await self._hold(tx, org_id, claim_id, text)
        given = delegations_of(claim.proof)
        kept = tuple(one for one in given if (one.domain, one.org_id) != (domain, subsidiary))
        return claim if len(kept) == len(given) else await self._write(tx, claim, kept)

    async def _hold(self, tx: Transaction, org_id: UUID, claim_id: UUID, text: str) -> tuple[ClaimRecord, str]:
        """The verified claim, held, and the name below it."""
        domain = normalise_domain(text)
        claim = await self._claims.get(tx.connection, org_id, claim_id)
        await self._conflicts.hold(tx, claim.domain)
        claim = await self._claims.get(tx.connection, org_id, claim_id)
        if claim.status is not ClaimStatus.VERIFIED:
            raise errors.claim_not_verified()
        if not is_below(domain, claim.domain):
            raise errors.not_a_subdomain()
        return claim, domain

    async def _is_held(self, tx: Transaction, domain: str, org_id: UUID, subsidiary: UUID) -> bool:
        """Whether a third organisation has that very name verified."""
        holders = await self._store.holders(tx.connection, domain, org_id)
        return any(
            holder.domain == domain and holder.status is ClaimStatus.VERIFIED and holder.org_id != subsidiary
            for holder in holders
        )

    async def _write(self, tx: Transaction, claim: ClaimRecord, given: tuple[Given, ...]) -> ClaimRecord:
        changed = replace(claim, proof=with_delegations(claim.proof, given))
        listed = [{"domain": one.domain, "org_id": one.org_id} for one in given]
        await tx.audit(
            "domain_claim.delegations",
            f"domain_claim/{claim.claim_id}",
            org_id=claim.org_id,
            before={
                "delegations": [{"domain": one.domain, "org_id": one.org_id} for one in delegations_of(claim.proof)]
            },
            after={"delegations": listed},
        )
        return await self._conflicts.move(tx, claim, changed, "domain_claim.delegate")
