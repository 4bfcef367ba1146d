"""RPCs behind a closed flag are refused, behind auth, and open without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from apportion_common.flags import FlagError, Flags, FlagScope, FlagTable
from apportion_common.grpc.server import start_server
from grpc_world import ORG, TOY, Toy, World, bearer, refused, toy_call, toy_registration

BEHIND = ("Unary", "Answers")
ALWAYS = ("Public", "Anyone", "Inners", "ForAdmins", "ForOwners", "ForFinance", "ForOperators", "ForServices")
STREAMS = ("Requests", "Reads", "Both")


async def echo(request: Any, context: Any) -> Any:
    return request


async def answers(request: Any, context: Any) -> AsyncIterator[Any]:
    yield request


def table(*behind: str) -> FlagTable:
    return FlagTable(TOY, [FlagScope(flag="metering", rpcs=behind)], always=(*ALWAYS, *STREAMS))


async def test_an_rpc_behind_a_closed_flag_is_refused_until_it_opens(world: World, tmp_path: Path) -> None:
    file = tmp_path / "flags"
    flags = Flags("toy", environ={}, file=file)
    registration = toy_registration(Anyone=echo, Unary=echo, Answers=answers)
    running = await start_server(
        world.settings, [registration], [TOY], verifier=world.verifier(), gates=[(flags, table(*BEHIND))]
    )
    credentials = grpc.ssl_channel_credentials(world.settings.tls_ca_file.read_bytes())
    mine, request = bearer(world.token("user", org_id=ORG)), Toy(org_id=ORG)
    try:
        async with grpc.aio.secure_channel(f"localhost:{running.port}", credentials) as channel:
            for name in BEHIND:
                refusal = await refused(toy_call(channel, name)(request, metadata=mine))
                assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FEATURE_DISABLED")
                assert refusal.metadata["feature"] == "metering"
                # Who may not call is told that, and nothing of flags.
                assert (await refused(toy_call(channel, name)(request))).reason == "TOKEN_MISSING"
            assert (await toy_call(channel, "Anyone")(request, metadata=mine)).org_id == ORG

            file.write_text("FEATURE_METERING=on\n")
            assert (await toy_call(channel, "Unary")(request, metadata=mine)).org_id == ORG
            assert [answer.org_id async for answer in toy_call(channel, "Answers")(request, metadata=mine)] == [ORG]
    finally:
        await running.stop(0)


async def test_a_field_may_stand_behind_a_flag_where_its_rpc_does_not(world: World, tmp_path: Path) -> None:
    file = tmp_path / "flags"
    flags = Flags("toy", environ={}, file=file)
    fields = FlagTable(TOY, [FlagScope(flag="metering", fields=("Anyone.count",))], always=(*ALWAYS, *STREAMS, *BEHIND))
    running = await start_server(
        world.settings, [toy_registration(Anyone=echo)], [TOY], verifier=world.verifier(), gates=[(flags, fields)]
    )
    credentials = grpc.ssl_channel_credentials(world.settings.tls_ca_file.read_bytes())
    mine = bearer(world.token("user", org_id=ORG))
    try:
        async with grpc.aio.secure_channel(f"localhost:{running.port}", credentials) as channel:
            assert (await toy_call(channel, "Anyone")(Toy(org_id=ORG), metadata=mine)).org_id == ORG
            refusal = await refused(toy_call(channel, "Anyone")(Toy(org_id=ORG, count=1), metadata=mine))
            assert refusal.reason == "FEATURE_DISABLED"
            file.write_text("FEATURE_METERING=on\n")
            assert (await toy_call(channel, "Anyone")(Toy(count=1), metadata=mine)).count == 1
    finally:
        await running.stop(0)


async def test_a_server_whose_table_forgets_an_rpc_does_not_start(world: World) -> None:
    flags, registration = Flags("toy", environ={}), toy_registration(Anyone=echo)
    with pytest.raises(FlagError, match="Answers"):
        await start_server(
            world.settings, [registration], [TOY], verifier=world.verifier(), gates=[(flags, table("Unary"))]
        )
