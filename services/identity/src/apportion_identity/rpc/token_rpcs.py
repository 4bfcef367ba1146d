"""Keys and tokens: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.grpc.peers import peer_key

from apportion_identity.app.messages import ROLES, timestamp_of
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import ExchangeTokens, IssueTokens
from apportion_identity.rpc.values import id_of


class TokenRpcs(IdentityServiceServicer):
    """The RPCs about keys that sign, and what they sign."""

    _database: Database
    _signing_keys: SigningKeys
    _issue_tokens: IssueTokens
    _exchange_tokens: ExchangeTokens

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.GetJwksResponse:
        """The public keys that tokens are verified with."""
        return pb.GetJwksResponse(jwks_json=await self._signing_keys.key_set())

    async def RotateSigningKey(self, request: pb.RotateSigningKeyRequest, context: Any) -> pb.RotateSigningKeyResponse:
        """Make a new signing key."""

        async def work(tx: Transaction) -> pb.RotateSigningKeyResponse:
            replace = self._signing_keys.replace_leaked if request.leaked else self._signing_keys.rotate
            key = await replace(tx, request.reason)
            return pb.RotateSigningKeyResponse(kid=key.kid, signs_from=timestamp_of(key.signs_from))

        return await run_mutation(self._database, "RotateSigningKey", request, pb.RotateSigningKeyResponse, work)

    async def IssueToken(self, request: pb.IssueTokenRequest, context: Any) -> pb.IssueTokenResponse:
        """A short-lived token for a service account's key."""
        issued = await self._issue_tokens.issue(request.key, peer_key(context.peer()))
        return pb.IssueTokenResponse(access_token=issued.token, expires_at=timestamp_of(issued.expires_at))

    async def ExchangeToken(self, request: pb.ExchangeTokenRequest, context: Any) -> pb.ExchangeTokenResponse:
        """A short-lived token for an OIDC identity token."""
        org_id = id_of(request.org_id, "org_id") if request.org_id else None
        found = await self._exchange_tokens.exchange(request.id_token, request.nonce, org_id, peer_key(context.peer()))
        return pb.ExchangeTokenResponse(
            access_token=found.issued.token,
            expires_at=timestamp_of(found.issued.expires_at),
            user_id=str(found.user_id),
            org_id="" if found.org_id is None else str(found.org_id),
            role=pb.MEMBER_ROLE_UNSPECIFIED if found.role is None else ROLES[found.role],
        )
