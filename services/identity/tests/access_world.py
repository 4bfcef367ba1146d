"""A world for tests of access: the RPCs about accounts, keys and tokens on a real database, and an OIDC issuer."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from uuid import UUID, uuid5

import jwt
import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller, acting_as
from apportion_common.clock import FixedClock
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import ApportionError
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_identity.app.credential_guards import IdTokenGuard, KeyGuard
from apportion_identity.app.id_tokens import IdTokens
from apportion_identity.app.members import Users
from apportion_identity.app.ports.access import OidcIssuer
from apportion_identity.app.service_accounts import ServiceAccounts
from apportion_identity.app.signing_keys import SigningKeys
from apportion_identity.app.tokens import ExchangeTokens, IssueTokens, TokenScope
from apportion_identity.rpc.service_account_rpcs import ServiceAccountRpcs
from apportion_identity.rpc.token_rpcs import TokenRpcs
from apportion_identity.store.issuer_keys import FetchedIssuerKeys
from apportion_identity.store.members import StoredMembers
from apportion_identity.store.sealing import SealingKeys
from apportion_identity.store.service_accounts import StoredServiceAccounts
from apportion_identity.store.signing_keys import StoredSigningKeys
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NAMES = UUID("c9d0b7a2-6f43-4a8e-9d0c-0a4d6f3a9e11")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SCOPE = TokenScope("https://identity.test", "apportion")
CLIENT_ID = "apportion-client"
SEALING_KEY = bytes(range(32))
OPERATOR = Caller("user:operator", frozenset({"operator"}))


def org_id(name: str) -> str:
    return str(uuid5(NAMES, f"org {name}"))


class FakeContext:
    """Of a call in progress, where it comes from."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer


class AccessRpcs(ServiceAccountRpcs, TokenRpcs):
    """The RPCs about accounts, keys and tokens, as one process has them."""

    def __init__(self, database: Database, *issuers: OidcIssuer, key: bytes = SEALING_KEY) -> None:
        clock, accounts, members = database.clock, StoredServiceAccounts(), StoredMembers()
        self._database = database
        self._service_accounts = ServiceAccounts(accounts)
        self._signing_keys = SigningKeys(database, StoredSigningKeys(), SealingKeys([key]))
        self._issue_tokens = IssueTokens(database, accounts, self._signing_keys, SCOPE, KeyGuard(clock))
        self._exchange_tokens = ExchangeTokens(
            database,
            IdTokens(FetchedIssuerKeys(issuers, clock), clock),
            Users(members),
            members,
            self._signing_keys,
            SCOPE,
            IdTokenGuard(clock),
        )

    @property
    def keys(self) -> SigningKeys:
        return self._signing_keys


class World:
    """Calls RPCs; every mutation has a request id of its own unless one is given. The clock stands at NOON."""

    def __init__(self, place: ServiceDatabase, *issuers: OidcIssuer) -> None:
        self.place = place
        self.clock = FixedClock(NOON)
        self.database = place.database(self.clock)
        self.issuers = issuers
        self.rpcs = self.process()
        self._count = itertools.count(1)

    def process(self, *, key: bytes = SEALING_KEY) -> AccessRpcs:
        """The RPCs as another process of identity has them."""
        return AccessRpcs(self.database, *self.issuers, key=key)

    async def call(
        self, method: str, request: Any, *, rpcs: AccessRpcs | None = None, peer: str = "ipv4:192.0.2.1:4711"
    ) -> Any:
        if "request_id" not in request.DESCRIPTOR.fields_by_name:
            return await getattr(rpcs or self.rpcs, method)(request, FakeContext(peer))
        if not request.request_id:
            request.request_id = f"call {next(self._count)}"
        with acting_as(OPERATOR):
            return await getattr(rpcs or self.rpcs, method)(request, FakeContext(peer))

    async def refused(self, method: str, request: Any, **more: Any) -> ApportionError:
        with pytest.raises(ApportionError) as refusal:
            await self.call(method, request, **more)
        return refusal.value

    async def reason(self, method: str, request: Any, **more: Any) -> tuple[str, str]:
        """Status and reason that a call is refused with."""
        error = await self.refused(method, request, **more)
        return error.code, error.reason

    async def account(self, name: str = "meter", *roles: str) -> pb.CreateServiceAccountResponse:
        request = pb.CreateServiceAccountRequest(name=name, roles=roles or ("service",))
        answer: pb.CreateServiceAccountResponse = await self.call("CreateServiceAccount", request)
        return answer

    async def verify(self, token: str, rpcs: AccessRpcs | None = None) -> dict[str, Any]:
        """The claims of a token by the keys that are published now; raises jwt.PyJWTError."""
        published = json.loads((await self.call("GetJwks", pb.GetJwksRequest(), rpcs=rpcs)).jwks_json)
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

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return fetch_all(self.place.owner_url, query, parameters)

    def add_member(self, org: str, email: str, role: str, status: str = "active") -> str:
        """A user of an address, who is a member; gives the user id."""
        user_id = str(uuid5(NAMES, f"user {email}"))
        self.rows(
            "INSERT INTO app_user (user_id, email) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1", user_id, email
        )
        self.rows(
            "INSERT INTO membership (org_id, user_id, role, status) VALUES (%s, %s, %s, %s) RETURNING 1",
            org_id(org),
            user_id,
            role,
            status,
        )
        return user_id

    def everything_stored(self) -> str:
        """All that the database holds, as one text: where no secret may be found."""
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return "\n".join(
            str(row) for (table,) in tables for (row,) in self.rows(f'SELECT row_to_json(t)::text FROM "{table}" t')
        )


class LocalIssuer:
    """An OIDC issuer on this machine: it serves its keys over HTTP and signs what a test wants."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        self.location: str | None = None
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.published: dict[str, Any] = {"rsa-1": self.rsa, "ec-1": self.ec, "ed-1": self.ed}
        self.address = f"http://127.0.0.1:{server.server_address[1]}/keys"
        self.config = OidcIssuer("https://accounts.test", self.address, CLIENT_ID)

    def jwks(self) -> bytes:
        algorithms = {
            rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        }
        keys = []
        for kid, private in self.published.items():
            kind: Any = next((a for k, a in algorithms.items() if isinstance(private, k)), jwt.algorithms.OKPAlgorithm)
            keys.append({**json.loads(kind.to_jwk(private.public_key())), "kid": kid, "use": "sig"})
        return json.dumps({"keys": keys}).encode()

    def claims(self, now: datetime = NOON, **changes: Any) -> dict[str, Any]:
        """Claims of a good token of somebody; a change to None leaves one out."""
        now_s = int(now.timestamp())
        claims = {
            "iss": self.config.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-of-ann",
            "iat": now_s,
            "exp": now_s + 600,
            "email": "ann@acme.example",
            "email_verified": True,
            "amr": ["pwd", "otp"],
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, kid: str = "rsa-1", algorithm: str = "RS256", key: Any = None, **changes: Any) -> str:
        """A token signed with a key that is published, or with another one."""
        signing = key if key is not None else self.published[kid]
        return jwt.encode(self.claims(**changes), signing, algorithm=algorithm, headers={"kid": kid})


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """An issuer that answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        issuer: ClassVar[LocalIssuer]

        def do_GET(self) -> None:
            issuer = self.issuer
            issuer.asked += 1
            body = issuer.jwks() if issuer.body is None else issuer.body
            self.send_response(issuer.status)
            if issuer.location is not None:
                self.send_header("Location", issuer.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.issuer = LocalIssuer(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
