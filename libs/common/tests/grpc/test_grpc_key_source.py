"""Keys that are published over the network: learnt, kept, dropped, and never asked for more often than is good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from apportion_common.errors import Unauthenticated, Unavailable
from apportion_common.grpc import limits
from apportion_common.grpc.key_source import KeySource, keys_of_identity
from apportion_common.grpc.peers import peer_key
from apportion_common.grpc.server import start_server
from apportion_dev.local.keys import TokenSigningKey
from grpc_world import TOY, Served, Toy, World, bearer, refused, toy_call, toy_registration

PATIENCE_S = 60


class Publisher:
    """Publishes keys as identity does; can be away, and counts how often it is asked."""

    def __init__(self, *keys: TokenSigningKey) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.is_away = False
        self.holds: asyncio.Event | None = None
        self.text: str | None = None

    async def fetch(self) -> str:
        self.asked += 1
        if self.holds is not None:
            await self.holds.wait()
        if self.is_away:
            raise Unavailable("DEPENDENCY_UNAVAILABLE", "Nobody is there.")
        return self.text if self.text is not None else json.dumps({"keys": [key.jwk() for key in self.keys]})


@pytest.fixture
def rotated(tmp_path: Any) -> TokenSigningKey:
    """A key that is published and not in the file."""
    return TokenSigningKey.create_or_load(tmp_path / "rotated.key")


@pytest.fixture
def stranger(tmp_path: Any) -> TokenSigningKey:
    return TokenSigningKey.create_or_load(tmp_path / "stranger.key")


def token_of(world: World, key: TokenSigningKey, **changes: Any) -> str:
    return world.token("operator", signing_key=key.private_key, kid=key.kid, **changes)


async def test_tokens_of_the_file_s_keys_and_of_published_ones_are_good_side_by_side(
    world: World, rotated: TokenSigningKey
) -> None:
    verifier, publisher = world.verifier(), Publisher(rotated)
    verifier.trust(KeySource(publisher.fetch))
    assert await verifier.verify_asking(world.token("operator"))
    assert publisher.asked == 0, "a key of the file needs nobody else"
    assert await verifier.verify_asking(token_of(world, rotated))
    assert await verifier.verify_asking(token_of(world, rotated, sub="user:bob"))
    assert publisher.asked == 1, "a key once learnt is known"


async def test_a_published_key_never_takes_the_place_of_the_file_s(world: World, stranger: TokenSigningKey) -> None:
    verifier, publisher = world.verifier(), Publisher()
    publisher.text = json.dumps({"keys": [stranger.jwk() | {"kid": world.signing.kid}]})
    source = KeySource(publisher.fetch)
    verifier.trust(source)
    assert await source.refresh()
    forged = world.token("operator", signing_key=stranger.private_key, kid=world.signing.kid)
    with pytest.raises(Unauthenticated) as refusal:
        await verifier.verify_asking(forged)
    assert refusal.value.reason == "TOKEN_INVALID"
    assert await verifier.verify_asking(world.token("operator"))


async def test_a_key_that_is_no_longer_published_verifies_no_longer_not_even_a_token_seen_before(
    world: World, rotated: TokenSigningKey, stranger: TokenSigningKey
) -> None:
    verifier, publisher = world.verifier(), Publisher(rotated)
    source = KeySource(publisher.fetch)
    verifier.trust(source)
    token = token_of(world, rotated)
    assert await verifier.verify_asking(token)
    publisher.keys = [stranger]
    assert await source.refresh()
    with pytest.raises(Unauthenticated):
        await verifier.verify_asking(token)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct"}]}', "[" * 100_000])
async def test_while_the_publisher_is_away_or_talks_nonsense_the_last_keys_stay(
    world: World, rotated: TokenSigningKey, text: str | None
) -> None:
    verifier, publisher = world.verifier(), Publisher(rotated)
    source = KeySource(publisher.fetch)
    verifier.trust(source)
    assert await source.refresh()
    publisher.is_away, publisher.text = text is None, text
    assert not await source.refresh()
    assert await verifier.verify_asking(token_of(world, rotated))


async def test_an_unknown_key_is_told_apart_from_a_publisher_that_does_not_answer(
    world: World, rotated: TokenSigningKey, stranger: TokenSigningKey
) -> None:
    verifier, publisher = world.verifier(), Publisher(rotated)
    verifier.trust(KeySource(publisher.fetch))
    publisher.is_away = True
    with pytest.raises(Unavailable) as undecided:
        await verifier.verify_asking(token_of(world, rotated))
    assert undecided.value.reason == "TOKEN_KEYS_UNAVAILABLE"

    other = world.verifier()
    other.trust(KeySource(Publisher(rotated).fetch))
    with pytest.raises(Unauthenticated) as refusal:
        await other.verify_asking(token_of(world, stranger))
    assert refusal.value.reason == "TOKEN_INVALID"


async def test_a_thousand_guessed_key_ids_within_the_pause_cause_one_request(
    world: World, rotated: TokenSigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEY_ASK_PAUSE_S", 3_600)
    publisher = Publisher(rotated)
    source = KeySource(publisher.fetch)
    verifier = world.verifier()
    verifier.trust(source)

    async def guess(number: int) -> str:
        token = world.token("operator", signing_key=rotated.private_key, kid=f"guess-{number}")
        with pytest.raises(Unauthenticated) as refusal:
            await verifier.verify_asking(token)
        return refusal.value.reason

    assert {await guess(number) for number in range(500)} == {"TOKEN_INVALID"}
    assert set(await asyncio.gather(*map(guess, range(500, 1_000)))) == {"TOKEN_INVALID"}
    assert publisher.asked == 1
    assert await verifier.verify_asking(token_of(world, rotated)), "what was learnt on the way is known"


@pytest.mark.parametrize("kid", ["\ud800", "a\nb", "\x1b[31m", "\0"])
async def test_a_key_id_that_cannot_be_written_down_is_nobodys_and_is_not_asked_for(
    world: World, rotated: TokenSigningKey, kid: str
) -> None:
    """JSON can say half of a surrogate pair, on which whoever logs it would trip."""
    verifier, publisher = world.verifier(), Publisher(rotated)
    verifier.trust(KeySource(publisher.fetch))
    token = world.token("operator", signing_key=rotated.private_key, kid=kid)
    with pytest.raises(Unauthenticated) as refusal:
        await verifier.verify_asking(token)
    assert (refusal.value.reason, publisher.asked) == ("TOKEN_INVALID", 0)


async def test_after_the_pause_an_unknown_key_is_asked_for_again(
    world: World, rotated: TokenSigningKey, stranger: TokenSigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEY_ASK_PAUSE_S", 0)
    verifier, publisher = world.verifier(), Publisher(stranger)
    verifier.trust(KeySource(publisher.fetch))
    with pytest.raises(Unauthenticated):
        await verifier.verify_asking(token_of(world, rotated))
    publisher.keys.append(rotated)
    assert await verifier.verify_asking(token_of(world, rotated))
    assert publisher.asked == 2


async def test_only_so_many_calls_wait_for_a_publisher_that_hangs_and_none_for_long(
    rotated: TokenSigningKey,
) -> None:
    publisher = Publisher(rotated)
    publisher.holds = asyncio.Event()
    source = KeySource(publisher.fetch)
    waiting = [asyncio.ensure_future(source.learn(f"k{number}")) for number in range(limits.KEY_WAITERS_MAX)]
    await asyncio.sleep(0)
    one_more = asyncio.ensure_future(source.learn("one more"))
    await asyncio.sleep(0)
    assert one_more.done()
    assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert publisher.asked == 1
    publisher.holds.set()
    assert await source.refresh()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that a task beside us brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def test_polling_learns_a_new_key_without_any_token_and_survives_the_publisher_s_absence(
    world: World, rotated: TokenSigningKey, stranger: TokenSigningKey
) -> None:
    publisher = Publisher(stranger)
    source, stop = KeySource(publisher.fetch, poll_s=0.01), asyncio.Event()
    running = asyncio.create_task(source.run(stop))
    try:
        await until(lambda: stranger.kid in source.keys)
        publisher.is_away = True
        await until(lambda: not source.is_current)
        publisher.is_away = False
        publisher.keys.append(rotated)
        await until(lambda: rotated.kid in source.keys)
    finally:
        stop.set()
        await asyncio.wait_for(running, PATIENCE_S)
    assert source.revision == 2


@asynccontextmanager
async def serving(world: World, source: KeySource | None) -> AsyncIterator[Served]:
    """The toy service, believing a source too."""

    async def echo(request: Any, context: Any) -> Any:
        return request

    verifier = world.verifier()
    if source is not None:
        verifier.trust(source)
    running = await start_server(world.settings, [toy_registration(Anyone=echo, Public=echo)], [TOY], verifier=verifier)
    credentials = grpc.ssl_channel_credentials(world.settings.tls_ca_file.read_bytes())
    try:
        async with grpc.aio.secure_channel(f"localhost:{running.port}", credentials) as channel:
            yield Served(running, channel)
    finally:
        await running.stop(0)


async def test_whoever_sends_too_many_bad_tokens_is_told_so_and_asks_for_no_more_keys_while_good_ones_pass(
    world: World, rotated: TokenSigningKey, stranger: TokenSigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEY_ASK_PAUSE_S", 0)
    publisher = Publisher(stranger)
    async with serving(world, KeySource(publisher.fetch)) as served:
        call = toy_call(served.channel, "Anyone")
        seen = [
            (await refused(call(Toy(), metadata=bearer(token_of(world, rotated, sub=f"user:{number}"))))).reason
            for number in range(limits.FAILED_TOKENS_PER_PEER)
        ]
        assert set(seen) == {"TOKEN_INVALID"}
        asked = publisher.asked
        late = await refused(call(Toy(), metadata=bearer(token_of(world, rotated))))
        assert (late.code, late.reason, late.retry_s) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOKEN_RATE_LIMITED",
            1,
        )
        assert publisher.asked == asked
        assert await call(Toy(), metadata=bearer(world.token("user")))
        expired = world.token("user", ttl_s=1, now=world.clock.now().replace(year=2025))
        assert (await refused(call(Toy(), metadata=bearer(expired)))).reason == "TOKEN_EXPIRED"


async def test_keys_come_from_identity_s_own_rpc_and_its_absence_is_no_error_of_ours(
    world: World, rotated: TokenSigningKey
) -> None:
    from apportion.identity.v1 import identity_service_pb2 as pb
    from apportion.identity.v1 import identity_service_pb2_grpc as pb_grpc

    class Identity(pb_grpc.IdentityServiceServicer):
        async def GetJwks(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.GetJwksResponse(jwks_json=json.dumps({"keys": [rotated.jwk()]}))

    register: Any = pb_grpc.add_IdentityServiceServicer_to_server
    async with world.serving(
        [lambda server: register(Identity(), server)], ["apportion.identity.v1.IdentityService"]
    ) as served:
        source = KeySource(keys_of_identity(served.channel))
        assert await source.refresh()
        assert set(source.keys) == {rotated.kid}
        await served.running.stop(0)
        assert not await source.refresh()
        assert set(source.keys) == {rotated.kid}


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2::9%5D:443", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("ipv6:[fe80::1%eth0]:443", "fe80::/64"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("ipv4:nonsense", "ipv4:nonsense"),
        ("", ""),
    ],
)
def test_a_peer_is_counted_by_its_address_and_an_ipv6_one_by_its_network(peer: str, key: str) -> None:
    assert peer_key(peer) == key
