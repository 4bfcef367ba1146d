"""Claims of domains: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.pages import page_size, read_token, split_page, time_cursor

from apportion_identity.app.claims import AddressedClaim, Claims
from apportion_identity.app.delegations import Delegations
from apportion_identity.domain.claims import Claim
from apportion_identity.rpc.messages import claim_to_message


class ClaimRpcs(IdentityServiceServicer):
    """The RPCs about an organisation's own claims."""

    _claims: Claims
    _delegations: Delegations

    async def CreateClaim(self, request: pb.CreateClaimRequest, context: Any) -> pb.CreateClaimResponse:
        """Claim a domain."""
        return await self._claims.create(mutation(request, _created), id_of(request.org_id, "org_id"), request.domain)

    async def RenewClaimToken(self, request: pb.RenewClaimTokenRequest, context: Any) -> pb.RenewClaimTokenResponse:
        """Assign an unproven claim a new address."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        return await self._claims.renew(mutation(request, _renewed), org_id, claim_id)

    async def GetClaim(self, request: pb.GetClaimRequest, context: Any) -> pb.GetClaimResponse:
        """Read a claim."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        return pb.GetClaimResponse(claim=claim_to_message(await self._claims.get(org_id, claim_id)))

    async def ListClaims(self, request: pb.ListClaimsRequest, context: Any) -> pb.ListClaimsResponse:
        """List an organisation's claims, newest first."""
        org_id, size = id_of(request.org_id, "org_id"), page_size(request.page_size)
        found = await self._claims.page(org_id, read_token(request.page_token, time_cursor), size + 1)
        page, token = split_page(found, size, lambda claim: (claim.created_at, claim.claim_id))
        return pb.ListClaimsResponse(claims=map(claim_to_message, page), next_page_token=token)

    async def RevokeClaim(self, request: pb.RevokeClaimRequest, context: Any) -> pb.RevokeClaimResponse:
        """Withdraw a claim."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        return await self._claims.revoke(mutation(request, _revoked), org_id, claim_id, request.reason)

    async def SetWildcard(self, request: pb.SetWildcardRequest, context: Any) -> pb.SetWildcardResponse:
        """Extend a verified claim to the names below it, or take that back."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        return await self._claims.set_wildcard(
            mutation(request, _wildcard_set), org_id, claim_id, wildcard=request.wildcard
        )

    async def DelegateSubdomain(
        self, request: pb.DelegateSubdomainRequest, context: Any
    ) -> pb.DelegateSubdomainResponse:
        """Delegate a name below a verified domain to a subsidiary, or take it back."""
        org_id, claim_id = id_of(request.org_id, "org_id"), id_of(request.claim_id, "claim_id")
        subsidiary = id_of(request.subsidiary_org_id, "subsidiary_org_id")
        change = self._delegations.withdraw if request.withdraw else self._delegations.delegate
        return await change(mutation(request, _delegated), org_id, claim_id, request.domain, subsidiary)


def _created(made: AddressedClaim) -> pb.CreateClaimResponse:
    return pb.CreateClaimResponse(claim=claim_to_message(made.claim), mail_to=made.mail_to)


def _renewed(renewed: AddressedClaim) -> pb.RenewClaimTokenResponse:
    return pb.RenewClaimTokenResponse(claim=claim_to_message(renewed.claim), mail_to=renewed.mail_to)


def _revoked(claim: Claim) -> pb.RevokeClaimResponse:
    return pb.RevokeClaimResponse(claim=claim_to_message(claim))


def _wildcard_set(claim: Claim) -> pb.SetWildcardResponse:
    return pb.SetWildcardResponse(claim=claim_to_message(claim))


def _delegated(claim: Claim) -> pb.DelegateSubdomainResponse:
    return pb.DelegateSubdomainResponse(claim=claim_to_message(claim))
