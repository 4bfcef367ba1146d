"""What strangers and callers do at a server's door takes nothing from anybody else: a real server, and raw HTTP/2."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from apportion_common.grpc import limits
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_world import TOY, Toy, World, bearer, refused, toy_call, toy_registration
from raw_http2 import DATA, RawConnection, frame

PATIENCE_S = 60
POLL_S = 0.05
CALL_TIMEOUT_S = 20
OTHER_ADDRESS = "127.0.0.2"
HEALTH = "/grpc.health.v1.Health/Check"
TLS_CONNECTIONS, BARE_CONNECTIONS = 1_000, 1_200
GROWTH_BYTES_MAX = 200 * 1024 * 1024


class Door:
    """A process of door_server.py."""

    def __init__(self, process: asyncio.subprocess.Process, said: dict[str, Any]) -> None:
        self.process = process
        self.port: int = said["port"]
        self.ca_file: str = said["ca"]
        self.tokens: dict[str, str] = said["tokens"]

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, request_timeout_s: int) -> AsyncIterator[Door]:
        script = Path(__file__).with_name("door_server.py")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), str(folder), str(request_timeout_s)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield cls(process, await cls._said(process, "port"))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @staticmethod
    async def _said(process: asyncio.subprocess.Process, what: str) -> dict[str, Any]:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await process.stdout.readline()
                assert line, "The server has gone."
                if line.startswith(f'{{"{what}"'.encode()):
                    return dict(json.loads(line))

    async def in_progress(self) -> dict[str, float]:
        """Calls that hold a place, by room."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return dict((await self._said(self.process, "in_progress"))["in_progress"])

    async def nothing_in_progress(self) -> bool:
        return not any((await self.in_progress()).values())

    @property
    def connections(self) -> int:
        """Sockets of the process, which are its connections and a few of its own."""
        folder = f"/proc/{self.process.pid}/fd"
        return sum(_is_socket(f"{folder}/{fd}") for fd in os.listdir(folder))

    @property
    def resident_bytes(self) -> int:
        """Its resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def attack(self, source: str = OTHER_ADDRESS) -> RawConnection:
        return await RawConnection.open(self.port, self.ca_file, source)

    def bearer(self, holder: str | None) -> tuple[tuple[str, str], ...]:
        return () if holder is None else bearer(self.tokens.get(holder, holder))

    def channel(self) -> grpc.aio.Channel:
        """A connection of its own."""
        credentials = grpc.ssl_channel_credentials(Path(self.ca_file).read_bytes())
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials, options)

    async def answers_everybody(self) -> None:
        """Fail unless a health check, an operator's call, a service's and a caller's are answered, each newly come."""
        async with self.channel() as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(service="readiness"), timeout=CALL_TIMEOUT_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for name, holder in (
            ("ForOperators", "operator of ada"),
            ("ForServices", "service of ada"),
            ("Anyone", "user of ada"),
            ("Public", None),
        ):
            async with self.channel() as channel:
                call = toy_call(channel, name)
                assert await call(Toy(org_id="x"), metadata=self.bearer(holder), timeout=CALL_TIMEOUT_S) == Toy(
                    org_id="x"
                )


def _is_socket(link: str) -> bool:
    try:
        return os.readlink(link).startswith("socket:")
    except OSError:
        return False


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until that is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(POLL_S)


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """One server for all: each test leaves it with nothing in progress."""
    async with Door.open(tmp_path_factory.mktemp("door"), 3_600) as opened:
        yield opened


ATTACKS = [
    ("Anyone", None),
    ("Anyone", "no token"),
    ("Public", None),
    ("Anyone", "user of mallory"),
    ("ForServices", "service of mallory"),
    ("ForOperators", "operator of mallory"),
]


@pytest.mark.parametrize("headers", [512, 5_000])
@pytest.mark.parametrize(("name", "holder"), ATTACKS, ids=lambda value: str(value))
async def test_headers_without_a_body_take_no_place_from_anybody_else(
    door: Door, name: str, holder: str | None, headers: int
) -> None:
    async with await door.attack() as attack:
        await attack.begin(f"/{TOY}/{name}", door.bearer(holder), headers)
        await door.answers_everybody()
        await asyncio.sleep(0.5)
        await door.answers_everybody()
    await until(door.nothing_in_progress)


async def test_whoever_shows_no_good_token_is_answered_without_a_body(door: Door) -> None:
    async with await door.attack() as attack:
        for holder in (None, "no token"):
            await attack.begin(f"/{TOY}/Anyone", door.bearer(holder), 50)
        await attack.begin(f"/{TOY}/ForOperators", door.bearer("user of mallory"), 50)

        async def answered() -> bool:
            return not attack.hanging

        await until(answered)


async def test_health_checks_without_a_body_take_no_place_from_another_connection(door: Door) -> None:
    async with AsyncExitStack() as ending:
        for _ in range(20):
            attack = await ending.enter_async_context(await door.attack())
            await attack.begin(HEALTH, times=300)
            await attack.begin("/grpc.health.v1.Health/Watch", times=300)
        await door.answers_everybody()
        assert (await door.in_progress())["health"] <= 20 * limits.CONNECTION_HEALTH_CALLS_MAX
    await until(door.nothing_in_progress)


async def test_calls_whose_body_comes_slowly_are_ended_and_take_no_place_from_anybody_else(tmp_path: Path) -> None:
    async with Door.open(tmp_path, 5) as door, AsyncExitStack() as ending:
        attacks = [await ending.enter_async_context(await door.attack()) for _ in range(8)]
        for attack, (name, holder) in zip(attacks, ATTACKS + ATTACKS[:2], strict=True):
            await attack.begin(f"/{TOY}/{name}", door.bearer(holder), 90)
        for _ in range(4):
            for attack in attacks:
                # A message of a thousand bytes, of which few come.
                await attack.send(b"".join(frame(DATA, 0, stream, b"\0") for stream in attack.opened))
            await door.answers_everybody()

        async def ended() -> bool:
            return not any(attack.hanging for attack in attacks)

        await until(ended)
        await until(door.nothing_in_progress)


@pytest.fixture
def many_files() -> None:
    """Allow this process as many files as the connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = TLS_CONNECTIONS + BARE_CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"A process may open {hard} files here.")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@pytest.mark.parametrize("source", [OTHER_ADDRESS, "127.0.0.1"], ids=["another address", "the same address"])
async def test_thousands_of_connections_of_one_address_leave_room_for_everybody(
    door: Door, many_files: None, source: str
) -> None:
    before_bytes = door.resident_bytes
    async with AsyncExitStack() as ending, door.channel() as channel:
        in_progress = asyncio.ensure_future(
            _answer(toy_call(channel, "Anyone")(Toy(count=5), metadata=door.bearer("user of ada")))
        )

        async def come(tls: bool) -> None:
            try:
                if tls:
                    await ending.enter_async_context(await door.attack(source))
                else:
                    _, writer = await asyncio.open_connection("127.0.0.1", door.port, local_addr=(source, 0))
                    ending.callback(writer.transport.abort)
            except OSError:
                pass  # Sent away at once.

        for tls, connections in ((False, BARE_CONNECTIONS), (True, TLS_CONNECTIONS)):
            for first in range(0, connections, 100):
                await asyncio.gather(*(come(tls) for _ in range(100)))
                if first % 500 == 0:
                    await door.answers_everybody()
            await door.answers_everybody()
        assert await in_progress == Toy(count=5)

        async def within_its_share() -> bool:
            return door.connections <= limits.PEER_CONNECTIONS_MAX + 20

        await until(within_its_share)
        await door.answers_everybody()
        assert door.resident_bytes - before_bytes < GROWTH_BYTES_MAX
    await until(door.nothing_in_progress)


async def _answer(call: Any) -> Any:
    return await call


async def test_a_connection_that_never_shakes_hands_is_ended(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_call_beyond_a_share_or_a_room_is_refused_with_a_reason_and_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SUBJECT_CALLS_MAX", 2)
    monkeypatch.setattr(limits, "CALLER_CALLS_MAX", 3)
    begun: asyncio.Queue[None] = asyncio.Queue()
    ending = asyncio.Event()

    async def waits(request: Any, context: Any) -> Any:
        begun.put_nowait(None)
        await ending.wait()
        return request

    async with world.serving([toy_registration(Anyone=waits)], [TOY]) as served:
        call = toy_call(served.channel, "Anyone")
        of = {who: bearer(world.token("user", sub=who)) for who in ("ada", "bob")}
        held = [asyncio.ensure_future(_answer(call(Toy(), metadata=of[who]))) for who in ("ada", "ada", "bob")]
        for _ in held:
            await asyncio.wait_for(begun.get(), PATIENCE_S)
        for who, reason in (("ada", "TOO_MANY_CALLS"), ("bob", "SERVER_BUSY")):
            refusal = await refused(call(Toy(), metadata=of[who]))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
            assert refusal.retry_s == limits.CALLS_RETRY_S
        ending.set()
        assert await asyncio.gather(*held) == [Toy()] * 3
        assert await call(Toy(), metadata=of["ada"]) == Toy()


async def test_a_request_that_never_comes_or_is_never_sent_is_refused_with_a_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT_S", 1)

    async def never() -> AsyncIterator[Any]:
        await asyncio.sleep(PATIENCE_S)
        yield Toy()

    async def nothing() -> AsyncIterator[Any]:
        return
        yield

    async def echo(request: Any, context: Any) -> Any:
        return request

    async with world.serving([toy_registration(Anyone=echo)], [TOY]) as served:
        call = served.channel.stream_unary(
            f"/{TOY}/Anyone", request_serializer=Toy.SerializeToString, response_deserializer=Toy.FromString
        )
        metadata = bearer(world.token("user"))
        late = await refused(call(never(), metadata=metadata))
        missing = await refused(call(nothing(), metadata=metadata))
    assert (late.code, late.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_NOT_RECEIVED")
    assert (missing.code, missing.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISSING")
