"""A program's own token: got for its key, renewed in time, and still good while identity is away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import (
    IdentityServiceServicer,
    add_IdentityServiceServicer_to_server,
)
from apportion_common.caller import current_caller
from apportion_common.clock import FixedClock, SystemClock
from apportion_common.errors import ApportionError, Unauthenticated, Unavailable
from apportion_common.grpc.account_token import AccountToken
from apportion_common.grpc.client import Channels
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_world import NOW, TOY, Served, Toy, World, toy_call, toy_registration

KEY = "apk_of-the-test"
IDENTITY = "apportion.identity.v1.IdentityService"


class Identity(IdentityServiceServicer):
    """Issues tokens for one key; can be away."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.life_s = 45.0
        self.issued = 0
        self.is_away = False
        self.was_away = asyncio.Event()
        self.clock: Any = world.clock

    async def IssueToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.is_away:
            self.was_away.set()
            raise Unavailable("DEPENDENCY_UNAVAILABLE", "Away.")
        if request.key != KEY:
            raise Unauthenticated("KEY_INVALID", "The key is not valid.")
        self.issued += 1
        ends = Timestamp()
        ends.FromDatetime(self.clock.now() + timedelta(seconds=self.life_s))
        return pb.IssueTokenResponse(access_token=self.world.token("operator"), expires_at=ends)


@pytest.fixture
def identity(world: World) -> Identity:
    return Identity(world)


@pytest_asyncio.fixture
async def served(world: World, identity: Identity) -> AsyncIterator[Served]:
    async def say_who(request: Any, context: Any) -> Any:
        return Toy(org_id=current_caller().subject)

    registrations = [
        lambda server: add_IdentityServiceServicer_to_server(identity, server),
        toy_registration(Anyone=say_who),
    ]
    async with world.serving(registrations, [IDENTITY, TOY]) as running:
        yield running


def key_file(folder: Path, key: str = KEY) -> Path:
    file = folder / "account.key"
    file.write_text(f"{key}\n")
    return file


async def test_calls_carry_the_token_that_the_key_was_exchanged_for(
    world: World, served: Served, tmp_path: Path
) -> None:
    account = AccountToken(served.channel, key_file(tmp_path), world.clock)
    await account.start()
    channels = Channels(world.settings, token_of=account.token)
    try:
        answer = await toy_call(channels.channel(served.address), "Anyone")(Toy())
    finally:
        await channels.close()
    assert answer.org_id == "user:ada"


async def test_without_a_good_token_no_call_is_made(world: World, served: Served, tmp_path: Path) -> None:
    account = AccountToken(served.channel, key_file(tmp_path), world.clock)
    with pytest.raises(Unavailable) as early:
        account.token()
    assert early.value.reason == "OWN_TOKEN_UNAVAILABLE"
    await account.start()
    world.clock.advance(timedelta(seconds=44))
    assert account.token()
    world.clock.advance(timedelta(seconds=1))
    with pytest.raises(Unavailable):
        account.token()


async def test_a_key_that_identity_does_not_know_is_said_at_once_and_a_replaced_one_is_read_again(
    world: World, served: Served, tmp_path: Path
) -> None:
    account = AccountToken(served.channel, key_file(tmp_path, "apk_revoked"), world.clock)
    with pytest.raises(ApportionError) as refusal:
        await account.start()
    assert refusal.value.reason == "KEY_INVALID"
    key_file(tmp_path)
    await account.start()
    assert account.token()
    (tmp_path / "account.key").unlink()
    with pytest.raises(OSError, match=r"account\.key"):
        await account.start()


async def test_the_token_is_renewed_before_it_ends_and_again_after_identity_was_away(
    served: Served, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apportion_common.grpc.account_token.RETRY_S", 0.01)
    identity.clock, identity.life_s = SystemClock(), 4.0
    account, stop = AccountToken(served.channel, key_file(tmp_path), SystemClock()), asyncio.Event()
    await account.start()
    running = asyncio.create_task(account.run(stop))
    try:
        async with asyncio.timeout(60):
            identity.is_away = True
            await identity.was_away.wait()
            identity.is_away = False
            while True:
                if identity.issued >= 2:
                    break
                await asyncio.sleep(0.01)
        assert account.token()
    finally:
        stop.set()
        await asyncio.wait_for(running, 60)


async def test_it_ends_when_told_to_whatever_it_waits_for(served: Served, tmp_path: Path) -> None:
    account, stop = AccountToken(served.channel, key_file(tmp_path), FixedClock(NOW)), asyncio.Event()
    await account.start()
    running = asyncio.create_task(account.run(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 60)
    assert account.token()
