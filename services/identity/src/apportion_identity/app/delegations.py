"""Delegation: a head office lends a subsidiary a name below its verified domain (spec 01, delegation)."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import Mutation
from apportion_common.db.unit_of_work import Database, Transaction

from apportion_identity import errors
from apportion_identity.app.claim_changes import Answer, ClaimChanges, read_terms
from apportion_identity.app.claim_contests import ClaimContests
from apportion_identity.app.edges import OrgsClient
from apportion_identity.app.permissions import Permissions
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim, Delegation, delegated_to, is_below, with_delegations
from apportion_identity.domain.domain_names import normalise_domain
from apportion_identity.domain.roles import Role
from apportion_identity.limits import DELEGATIONS_MAX
from apportion_identity.store.claims import ClaimStore
from apportion_identity.store.request_records import RequestRecordStore


class Delegations:
    """The lists of names that verified claims lend to subsidiaries, kept in the claims' proofs."""

    def __init__(
        self,
        database: Database,
        claims: ClaimStore,
        request_records: RequestRecordStore,
        changes: ClaimChanges,
        contests: ClaimContests,
        permissions: Permissions,
        settings: GlobalSettings,
        orgs: OrgsClient,
    ) -> None:
        """Work on the claims of a database; whose subsidiary an organisation is says `orgs`."""
        self._database = database
        self._claims = claims
        self._request_records = request_records
        self._changes = changes
        self._contests = contests
        self._permissions = permissions
        self._settings = settings
        self._orgs = orgs

    async def delegate(
        self, mutation: Mutation[Claim, Answer], org_id: UUID, claim_id: UUID, text: str, subsidiary: UUID
    ) -> Answer:
        """Delegate a name; its subsidiary's claims of it are no longer in conflict with this one.

        Delegating what is delegated already changes nothing. Raises NotFound CLAIM_NOT_FOUND, FailedPrecondition
        NOT_A_SUBSIDIARY, CLAIM_NOT_VERIFIED, SUBDOMAIN_HELD, TOO_MANY_DELEGATIONS, InvalidArgument NOT_A_SUBDOMAIN,
        Unavailable ORGS_UNAVAILABLE and what `normalise_domain` raises.
        """
        await self._check_subsidiary(mutation.request_id, org_id, subsidiary)
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> Claim:
            await self._permissions.require(tx, org_id, Role.OWNER)
            claim, domain = await self._find_locked(tx, org_id, claim_id, text)
            given = claim.delegations
            if any((one.domain, one.org_id) == (domain, subsidiary) for one in given):
                return claim
            if any(one.domain == domain for one in given) or await self._is_held(tx, domain, org_id, subsidiary):
                raise errors.subdomain_held()
            if len(given) >= DELEGATIONS_MAX:
                raise errors.too_many_delegations()
            changed = await self._save(tx, claim, (*given, Delegation(domain, subsidiary, tx.clock.now())))
            await self._contests.uncover(
                tx,
                changed,
                terms.due_in,
                lambda other: other.org_id == subsidiary and delegated_to(changed, other.domain, subsidiary),
            )
            return changed

        return await self._changes.run(mutation, work)

    async def withdraw(
        self, mutation: Mutation[Claim, Answer], org_id: UUID, claim_id: UUID, text: str, subsidiary: UUID
    ) -> Answer:
        """Withdraw a delegation, also from what is no subsidiary any more; what is not delegated stays so.

        Raises as `delegate` does, but for what concerns orgs and the name's other holders.
        """

        async def work(tx: Transaction) -> Claim:
            await self._permissions.require(tx, org_id, Role.OWNER)
            claim, domain = await self._find_locked(tx, org_id, claim_id, text)
            given = claim.delegations
            kept = tuple(one for one in given if (one.domain, one.org_id) != (domain, subsidiary))
            return claim if len(kept) == len(given) else await self._save(tx, claim, kept)

        return await self._changes.run(mutation, work)

    async def _check_subsidiary(self, request_id: str, org_id: UUID, subsidiary: UUID) -> None:
        """Ask orgs, outside of the transaction; about a call that was answered before it is not asked again."""
        subject = current_actor(self._database.service).subject
        async with self._database.read() as connection:
            if await self._request_records.is_answered(connection, subject, request_id):
                return
        if not await self._orgs.is_subsidiary(subsidiary, org_id):
            raise errors.not_a_subsidiary()

    async def _find_locked(self, tx: Transaction, org_id: UUID, claim_id: UUID, text: str) -> tuple[Claim, str]:
        """Return the verified claim, its domain locked, and the name below it."""
        domain = normalise_domain(text)
        claim = await self._changes.find_locked(tx, org_id, claim_id)
        if claim.status is not ClaimStatus.VERIFIED:
            raise errors.claim_not_verified()
        if not is_below(domain, claim.domain):
            raise errors.not_a_subdomain()
        return claim, domain

    async def _is_held(self, tx: Transaction, domain: str, org_id: UUID, subsidiary: UUID) -> bool:
        """Return whether a third organisation has that very name verified."""
        holders = await self._claims.holders(tx.connection, domain, org_id)
        return any(
            holder.domain == domain and holder.status is ClaimStatus.VERIFIED and holder.org_id != subsidiary
            for holder in holders
        )

    async def _save(self, tx: Transaction, claim: Claim, given: tuple[Delegation, ...]) -> Claim:
        changed = replace(claim, proof=with_delegations(claim.proof, given))
        await tx.audit(
            "domain_claim.delegations",
            f"domain_claim/{claim.claim_id}",
            org_id=claim.org_id,
            before={"delegations": _listed(claim.delegations)},
            after={"delegations": _listed(given)},
        )
        return await self._changes.save(tx, claim, changed, "domain_claim.delegate")


def _listed(delegations: tuple[Delegation, ...]) -> list[dict[str, object]]:
    return [{"domain": one.domain, "org_id": one.org_id} for one in delegations]
