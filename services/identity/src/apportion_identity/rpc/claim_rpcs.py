"""Claims of domains: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_identity import errors
from apportion_identity.app.claim_messages import claim_message
from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import decided, read_terms
from apportion_identity.app.delegation import Delegation
from apportion_identity.app.members import Members
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.claims import has_second_factor
from apportion_identity.domain.roles import Role
from apportion_identity.rpc.values import id_of, place_of


class ClaimRpcs(IdentityServiceServicer):
    """The RPCs about an organisation's own claims."""

    _database: Database
    _claims: Claims
    _delegation: Delegation
    _members: Members
    _settings: GlobalSettings

    async def CreateClaim(self, request: pb.CreateClaimRequest, context: Any) -> pb.CreateClaimResponse:
        """Claim a domain."""
        org_id, terms = id_of(request.org_id, "org_id"), await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.CreateClaimResponse:
            await self._members.actor(tx, org_id, Role.ADMIN)
            claim, mail_to = await self._claims.create(tx, org_id, request.domain, terms)
            return pb.CreateClaimResponse(claim=claim_message(claim), mail_to=mail_to)

        return await decided(lambda: run_mutation(self._database, "CreateClaim", request, pb.CreateClaimResponse, work))

    async def RenewClaimToken(self, request: pb.RenewClaimTokenRequest, context: Any) -> pb.RenewClaimTokenResponse:
        """Give an unproven claim a new address."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.RenewClaimTokenResponse:
            await self._members.actor(tx, org_id, Role.ADMIN)
            claim, mail_to = await self._claims.renew(tx, org_id, claim_id, terms)
            return pb.RenewClaimTokenResponse(claim=claim_message(claim), mail_to=mail_to)

        return await decided(
            lambda: run_mutation(self._database, "RenewClaimToken", request, pb.RenewClaimTokenResponse, work)
        )

    async def GetClaim(self, request: pb.GetClaimRequest, context: Any) -> pb.GetClaimResponse:
        """Read a claim."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        async with self._database.read() as connection:
            await self._members.reader(connection, org_id, Role.USER)
            claim = await self._claims.get(connection, org_id, claim_id)
        return pb.GetClaimResponse(claim=claim_message(claim))

    async def ListClaims(self, request: pb.ListClaimsRequest, context: Any) -> pb.ListClaimsResponse:
        """List an organisation's claims, newest first."""
        org_id, size = id_of(request.org_id, "org_id"), page_size(request.page_size)
        after = read_token(request.page_token, place_of)
        async with self._database.read() as connection:
            await self._members.reader(connection, org_id, Role.USER)
            found = await self._claims.page(connection, org_id, after, size + 1)
        page, token = split_page(found, size, lambda claim: (claim.created_at.isoformat(), claim.claim_id))
        return pb.ListClaimsResponse(claims=map(claim_message, page), next_page_token=token)

    async def RevokeClaim(self, request: pb.RevokeClaimRequest, context: Any) -> pb.RevokeClaimResponse:
        """Give a claim up."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.RevokeClaimResponse:
            await self._members.actor(tx, org_id, Role.ADMIN)
            claim = await self._claims.revoke(tx, org_id, claim_id, request.reason, terms)
            return pb.RevokeClaimResponse(claim=claim_message(claim))

        return await decided(lambda: run_mutation(self._database, "RevokeClaim", request, pb.RevokeClaimResponse, work))

    async def SetWildcard(self, request: pb.SetWildcardRequest, context: Any) -> pb.SetWildcardResponse:
        """Extend a verified claim to the names below it, or take that back."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        if not has_second_factor(current_caller().amr):
            raise errors.second_factor_required()
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.SetWildcardResponse:
            await self._members.actor(tx, org_id, Role.OWNER)
            claim = await self._claims.set_wildcard(tx, org_id, claim_id, terms, wildcard=request.wildcard)
            return pb.SetWildcardResponse(claim=claim_message(claim))

        return await decided(lambda: run_mutation(self._database, "SetWildcard", request, pb.SetWildcardResponse, work))

    async def DelegateSubdomain(
        self, request: pb.DelegateSubdomainRequest, context: Any
    ) -> pb.DelegateSubdomainResponse:
        """Give a subsidiary a name below a verified domain, or take it back."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        subsidiary = id_of(request.subsidiary_org_id, "subsidiary_org_id")
        if not request.withdraw:
            await self._check_subsidiary(request.request_id, org_id, subsidiary)
        terms = await read_terms(self._settings)

        async def work(tx: Transaction) -> pb.DelegateSubdomainResponse:
            await self._members.actor(tx, org_id, Role.OWNER)
            if request.withdraw:
                claim = await self._delegation.take_back(tx, org_id, claim_id, request.domain, subsidiary)
            else:
                claim = await self._delegation.give(tx, org_id, claim_id, request.domain, subsidiary, terms)
            return pb.DelegateSubdomainResponse(claim=claim_message(claim))

        return await decided(
            lambda: run_mutation(self._database, "DelegateSubdomain", request, pb.DelegateSubdomainResponse, work)
        )

    async def _check_subsidiary(self, request_id: str, org_id: UUID, subsidiary: UUID) -> None:
        """Ask orgs, outside of the transaction; a call that was answered before is not asked about again."""
        subject = current_actor(self._database.service).subject
        async with self._database.read() as connection:
            answered = await self._delegation.is_answered(connection, subject, request_id)
        if not answered:
            await self._delegation.check_subsidiary(org_id, subsidiary)
