"""Keys and tokens: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import optional_id
from apportion_common.grpc.peers import peer_key

from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import AccountTokens, UserTokens
from apportion_identity.domain.signing_keys import KeyTimes
from apportion_identity.rpc.messages import exchanged_token_to_message, timestamp_to_message


class TokenRpcs(IdentityServiceServicer):
    """The RPCs about keys that sign, and what they sign."""

    _signing_keys: SigningKeys
    _account_tokens: AccountTokens
    _user_tokens: UserTokens

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.GetJwksResponse:
        """Return the public keys that tokens are verified with."""
        return pb.GetJwksResponse(jwks_json=await self._signing_keys.key_set())

    async def RotateSigningKey(self, request: pb.RotateSigningKeyRequest, context: Any) -> pb.RotateSigningKeyResponse:
        """Make a new signing key."""
        rotate = self._signing_keys.replace_leaked if request.leaked else self._signing_keys.rotate
        return await rotate(mutation(request, _rotated), request.reason)

    async def IssueToken(self, request: pb.IssueTokenRequest, context: Any) -> pb.IssueTokenResponse:
        """Issue a short-lived token for a service account's key."""
        issued = await self._account_tokens.issue(request.key, peer_key(context.peer()))
        return pb.IssueTokenResponse(access_token=issued.token, expires_at=timestamp_to_message(issued.expires_at))

    async def ExchangeToken(self, request: pb.ExchangeTokenRequest, context: Any) -> pb.ExchangeTokenResponse:
        """Issue a short-lived token for an OIDC identity token."""
        org_id, peer = optional_id(request.org_id, "org_id"), peer_key(context.peer())
        return exchanged_token_to_message(
            await self._user_tokens.exchange(request.id_token, request.nonce, org_id, peer)
        )


def _rotated(key: KeyTimes) -> pb.RotateSigningKeyResponse:
    return pb.RotateSigningKeyResponse(kid=key.kid, signs_from=timestamp_to_message(key.signs_from))
