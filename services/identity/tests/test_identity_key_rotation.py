"""Keys rotate twice under traffic, over real gRPC between several processes' worth of servers: no call is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
import pytest_asyncio
from access_harness import AccessHarness
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import (
    IdentityServiceStub,
    add_IdentityServiceServicer_to_server,
)
from apportion.orgs.v1 import orgs_service_pb2 as orgs_pb
from apportion.orgs.v1.orgs_service_pb2_grpc import (
    OrgsServiceServicer,
    OrgsServiceStub,
    add_OrgsServiceServicer_to_server,
)
from apportion_common.clock import SystemClock
from apportion_common.grpc import limits as grpc_limits
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.key_source import KeySource, keys_of_identity
from apportion_common.grpc.server import Registration, start_server
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.limits import KEY_PUBLISH_LEAD_S, KEY_TAIL_S, SERVICE_ACCOUNT_TOKEN_LIFE_S, USER_TOKEN_LIFE_S
from identity_harness import SCOPE

if TYPE_CHECKING:
    from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceAsyncStub
    from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceAsyncStub

PATIENCE_S = 120
STEP_S = 10
"""By so much the clock of everybody moves at once, between calls."""
CALLS_A_STEP = 2


class Orgs(OrgsServiceServicer):
    """Another service, of which only the verifying matters."""

    async def CheckHierarchy(self, request: Any, context: Any) -> orgs_pb.CheckHierarchyResponse:  # noqa: N802
        return orgs_pb.CheckHierarchyResponse(holds=True)


@dataclass(frozen=True)
class ServerSettings:
    tls_cert_file: Path
    tls_key_file: Path
    grpc_listen: str = "127.0.0.1:0"
    shutdown_grace_s: int = 1


@dataclass
class Network:
    """Two replicas of identity, two other services that verify, and a way to call each."""

    harness: AccessHarness
    folder: Path
    file_key: TokenSigningKey
    identities: list[IdentityServiceAsyncStub] = field(default_factory=list)
    services: list[OrgsServiceAsyncStub] = field(default_factory=list)
    sources: list[KeySource] = field(default_factory=list)

    def file_token(self) -> str:
        """A token of the platform's own key, of a program with all that operators may."""
        now = self.harness.clock.now()
        return mint_token(
            self.file_key.private_key,
            self.file_key.kid,
            SCOPE.issuer,
            SCOPE.audience,
            "service_account:pricing",
            ["operator"],
            now=now,
            ttl_s=600,
        )

    def verifier(self, source: KeySource) -> TokenVerifier:
        verifier = TokenVerifier(self.folder / "jwks.json", SCOPE.issuer, SCOPE.audience, self.harness.clock)
        verifier.trust(source)
        return verifier


@pytest_asyncio.fixture(loop_scope="session")
async def network(service_database: MakeServiceDatabase, tmp_path: Path) -> AsyncIterator[Network]:
    harness = AccessHarness(service_database("identity"))
    await harness.use_cases.signing_keys.ensure_first()
    now = SystemClock().now()  # TLS asks the machine's clock.
    ca = LocalCa.create_or_load(tmp_path / "ca", now)
    certificate = ca.issue_server_certificate(["localhost", "127.0.0.1"], now, "server")
    settings = ServerSettings(certificate.certificate_file, certificate.key_file)
    file_key = TokenSigningKey.create_or_load(tmp_path / "file.key")
    write_jwks(tmp_path / "jwks.json", [file_key])
    made = Network(harness, tmp_path, file_key)
    credentials = grpc.ssl_channel_credentials(ca.certificate_file.read_bytes())

    async with AsyncExitStack() as ending:

        async def serve(register: Registration, name: str, verifier: TokenVerifier) -> grpc.aio.Channel:
            server = await start_server(settings, [register], [name], verifier=verifier)
            ending.push_async_callback(server.stop, 0)
            return await ending.enter_async_context(grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials))

        channels = []
        for _ in range(2):
            parts = harness.process()
            channels.append(
                await serve(
                    lambda server, served=parts.servicer: add_IdentityServiceServicer_to_server(served, server),  # type: ignore[misc]
                    "apportion.identity.v1.IdentityService",
                    made.verifier(KeySource(parts.use_cases.signing_keys.key_set)),
                )
            )
        made.identities = [IdentityServiceStub(channel) for channel in channels]
        for channel in channels:
            source = KeySource(keys_of_identity(channel))
            made.sources.append(source)
            served = await serve(
                lambda server: add_OrgsServiceServicer_to_server(Orgs(), server),
                "apportion.orgs.v1.OrgsService",
                made.verifier(source),
            )
            made.services.append(OrgsServiceStub(served))
        yield made


@dataclass
class Traffic:
    """Callers that never stop, each of whose calls must succeed; what they called with is counted by key."""

    network: Network
    calls: Counter[str] = field(default_factory=Counter)
    kids: Counter[str] = field(default_factory=Counter)
    users: list[tuple[datetime, str]] = field(default_factory=list)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, caller: str, number: int, token: str) -> None:
        """One call to one of the services."""
        stub = self.network.services[number % len(self.network.services)]
        metadata = grpc.aio.Metadata(("authorization", f"Bearer {token}"))
        await stub.CheckHierarchy(orgs_pb.CheckHierarchyRequest(), metadata=metadata)
        self.calls[caller] += 1
        self.kids[jwt.get_unverified_header(token)["kid"]] += 1

    async def program(self, caller: str, key: str) -> None:
        """Calls with a token that it asks identity for whenever the last one is about to end."""
        clock, token, until = self.network.harness.clock, "", self.network.harness.clock.now()
        for number in itertools.count():
            if self.ending.is_set():
                return
            if clock.now() >= until:
                until = clock.now() + timedelta(seconds=SERVICE_ACCOUNT_TOKEN_LIFE_S - 2 * STEP_S)
                identity = self.network.identities[number % len(self.network.identities)]
                token = (await identity.IssueToken(pb.IssueTokenRequest(key=key))).access_token
            await self.call(caller, number, token)

    async def users_of_every_age(self) -> None:
        """Calls with users' tokens, old and new: each for as long as it lives."""
        clock = self.network.harness.clock
        for number in itertools.count():
            if self.ending.is_set():
                return
            live = [token for ends, token in self.users if clock.now() < ends - timedelta(seconds=STEP_S)]
            await self.call("users", number, live[number % len(live)])

    async def services(self) -> None:
        """Calls with tokens of the file's key, which identity has nothing to do with."""
        for number in itertools.count():
            if self.ending.is_set():
                return
            await self.call("services", number, self.network.file_token())

    async def sign_in(self) -> None:
        """One more user's token, signed with the key whose turn it is."""
        harness = self.network.harness
        now_s = int(harness.clock.now().timestamp())
        claims = {
            "iss": SCOPE.issuer,
            "aud": SCOPE.audience,
            "sub": "user:ann",
            "roles": ["operator"],
            "iat": now_s,
            "exp": now_s + USER_TOKEN_LIFE_S,
        }
        async with harness.database.read() as connection:
            token = await harness.use_cases.signing_keys.sign(connection, claims)
        self.users.append((harness.clock.now() + timedelta(seconds=USER_TOKEN_LIFE_S), token))


async def test_no_call_is_lost_through_two_rotations_and_none_has_to_ask_for_a_key(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verifiers poll every 30 s of the clock, none at the same time; callers go on and on."""

    async def never(self: KeySource, kid: str) -> None:
        raise AssertionError(f"The key {kid} signs before it is known.")

    monkeypatch.setattr(KeySource, "learn", never)
    harness, traffic = network.harness, Traffic(network)
    keys = [(await harness.account(f"program-{number}", "operator")).key for number in range(2)]
    for source in network.sources:
        assert await source.refresh()
    await traffic.sign_in()
    callers = [
        asyncio.create_task(traffic.users_of_every_age()),
        asyncio.create_task(traffic.services()),
        *(asyncio.create_task(traffic.program(f"program-{number}", key)) for number, key in enumerate(keys)),
    ]
    names = ("users", "services", "program-0", "program-1")
    second_s = 20 + KEY_PUBLISH_LEAD_S + 40
    end_s = second_s + KEY_PUBLISH_LEAD_S + KEY_TAIL_S + 2 * grpc_limits.KEY_POLL_S
    try:
        for now_s in range(0, end_s, STEP_S):
            if now_s in (20, second_s):
                await harness.operate("RotateSigningKey", pb.RotateSigningKeyRequest(reason="For the test."))
            for number, source in enumerate(network.sources):
                if (now_s - number * STEP_S) % grpc_limits.KEY_POLL_S == 0:
                    assert await source.refresh()
            await harness.use_cases.signing_keys.rotate_when_due()
            await traffic.sign_in()
            harness.clock.advance(timedelta(seconds=STEP_S))
            before = Counter(traffic.calls)
            async with asyncio.timeout(PATIENCE_S):
                while any(traffic.calls[name] < before[name] + CALLS_A_STEP for name in names):
                    failed = [task for task in callers if task.done()]
                    assert not failed, failed[0].exception()
                    await asyncio.sleep(0.001)
    finally:
        traffic.ending.set()
        await asyncio.wait(callers, timeout=PATIENCE_S)
    assert [task.exception() for task in callers] == [None] * len(callers)

    signed = [kid for kid in traffic.kids if kid != network.file_key.kid]
    assert len(signed) == 3, "each of the three keys has signed tokens that were called with"
    for source in network.sources:
        assert await source.refresh()
        assert set(source.keys) == {signed[-1]}
    assert harness.rows("SELECT kid FROM signing_key") == [(signed[-1],)]


async def test_a_key_that_signs_at_once_works_at_once_because_verifiers_ask(network: Network) -> None:
    """The first key of a new installation, and one made after all others were lost, wait for nobody's poll."""
    key = (await network.harness.account("program", "operator")).key
    token = (await network.identities[0].IssueToken(pb.IssueTokenRequest(key=key))).access_token
    assert all(not source.keys for source in network.sources)
    traffic = Traffic(network)
    await asyncio.gather(*(traffic.call("program", number, token) for number in range(20)))
    assert traffic.calls["program"] == 20
