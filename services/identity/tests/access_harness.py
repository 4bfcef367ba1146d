"""The RPCs about accounts, keys and tokens, as an operator calls them."""

from __future__ import annotations

import json
from typing import Any

import jwt
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller
from apportion_common.errors import ApportionError
from apportion_identity.wiring import Parts
from identity_harness import SCOPE, IdentityHarness, org_id, user_id

OPERATOR = Caller("user:operator", frozenset({"operator"}))


class AccessHarness(IdentityHarness):
    """Calls mutations as an operator, and the rest as whoever has no token."""

    async def operate(self, method: str, request: Any, **more: Any) -> Any:
        return await self.call(self._caller_of(request), method, request, **more)

    async def operate_rejected(self, method: str, request: Any, **more: Any) -> ApportionError:
        return await self.rejected(self._caller_of(request), method, request, **more)

    async def operate_reason(self, method: str, request: Any, **more: Any) -> tuple[str, str]:
        """Status and reason that a call is rejected with."""
        return await self.reason(self._caller_of(request), method, request, **more)

    async def account(self, name: str = "meter", *roles: str) -> pb.CreateServiceAccountResponse:
        request = pb.CreateServiceAccountRequest(name=name, roles=roles or ("service",))
        answer: pb.CreateServiceAccountResponse = await self.operate("CreateServiceAccount", request)
        return answer

    async def verify(self, token: str, parts: Parts | None = None) -> dict[str, Any]:
        """The claims of a token by the keys that are published now; raises jwt.PyJWTError."""
        published = json.loads((await self.operate("GetJwks", pb.GetJwksRequest(), parts=parts)).jwks_json)
        keys = {key["kid"]: jwt.PyJWK(key) for key in published["keys"]}
        kid = jwt.get_unverified_header(token)["kid"]
        if kid not in keys:
            raise jwt.InvalidKeyError(f"No key {kid} is published.")
        claims: dict[str, Any] = jwt.decode(
            token,
            keys[kid].key,
            algorithms=["EdDSA"],
            audience=SCOPE.audience,
            issuer=SCOPE.issuer,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        return claims

    def add_member(self, org: str, email: str, role: str, status: str = "active") -> str:
        """Add a user of an address, who is a member; return the user id."""
        user = user_id(email)
        self.write("INSERT INTO app_user (user_id, email) VALUES (%s, %s) ON CONFLICT DO NOTHING", user, email)
        self.write(
            "INSERT INTO membership (org_id, user_id, role, status) VALUES (%s, %s, %s, %s)",
            org_id(org),
            user,
            role,
            status,
        )
        return user

    def everything_stored(self) -> str:
        """All that the database holds, as one text: where no secret may be found."""
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return "\n".join(
            str(row) for (table,) in tables for (row,) in self.rows(f'SELECT row_to_json(t)::text FROM "{table}" t')
        )

    @staticmethod
    def _caller_of(request: Any) -> Caller | None:
        return OPERATOR if "request_id" in request.DESCRIPTOR.fields_by_name else None
