"""Health, reflection, metrics, the access log, clients and a graceful end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from apportion.orgs.v1 import orgs_service_pb2
from apportion_common import errors
from apportion_common.caller import current_caller
from apportion_common.grpc import client as client_module
from apportion_common.grpc.client import Channels, TokenFile, retrying
from apportion_common.logs import configure_logs
from apportion_common.telemetry.tracing import current_trace_id
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_world import ORG, TOY, Served, Toy, World, bearer, log_lines, refused, toy_call, toy_registration
from opentelemetry import propagate
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import REGISTRY

PATIENCE_S = 60
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def echo(request: Any, context: Any) -> Any:
    return request


async def health_of(served: Served, name: str) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(served.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status


async def test_a_server_is_alive_at_once_and_ready_when_told(world: World) -> None:
    async with world.serving([toy_registration(Unary=echo)], [TOY]) as served:
        assert await health_of(served, "") == SERVING
        assert [await health_of(served, name) for name in ("readiness", TOY)] == [NOT_SERVING, NOT_SERVING]
        await served.running.set_ready(True)
        assert [await health_of(served, name) for name in ("readiness", TOY)] == [SERVING, SERVING]
        await served.running.set_ready(False)
        assert [await health_of(served, name) for name in ("", "readiness")] == [SERVING, NOT_SERVING]
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await health_of(served, "nobody")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_hears_of_every_change_and_does_not_hold_up_the_end(world: World) -> None:
    async with world.serving([toy_registration(Unary=echo)], [TOY]) as served:
        stub: Any = health_pb2_grpc.HealthStub(served.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="readiness"))
        heard = [(await watch.read()).status]
        await served.running.set_ready(True)
        heard.append((await watch.read()).status)
        await asyncio.wait_for(served.running.stop(grace_s=2 * PATIENCE_S), PATIENCE_S)
        heard.append((await watch.read()).status)
        assert heard == [NOT_SERVING, SERVING, NOT_SERVING]
        assert await watch.read() is grpc.aio.EOF


async def test_reflection_lists_the_services_and_their_contracts_without_a_token(world: World) -> None:
    async with world.serving([toy_registration(Unary=echo)], [TOY]) as served:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=TOY),
        ]
        listed, described = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
        names = {service.name for service in listed.list_services_response.service}
        assert names == {TOY, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert described.file_descriptor_response.file_descriptor_proto


async def test_a_plaintext_client_gets_nothing(world: World) -> None:
    async with world.serving([toy_registration(Public=echo)], [TOY]) as served:
        async with grpc.aio.insecure_channel(served.address) as channel:
            seen = await refused(toy_call(channel, "Public")(Toy(), timeout=2))
        assert seen.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_a_message_that_is_too_large_is_refused(world: World) -> None:
    async with world.serving([toy_registration(Public=echo)], [TOY]) as served:
        seen = await refused(toy_call(served.channel, "Public")(Toy(org_id="x" * (8 * 1024 * 1024 + 1))))
        assert seen.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def handled(name: str, kind: str, code: str) -> float:
    labels = {"grpc_type": kind, "grpc_service": TOY, "grpc_method": name, "grpc_code": code}
    return REGISTRY.get_sample_value("grpc_server_handled_total", labels) or 0


async def test_calls_are_counted_under_the_usual_names(world: World) -> None:
    async def fail(request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        raise errors.NotFound("NOTHING", "There is nothing.")

    before = {code: handled("Anyone", "unary", code) for code in ("OK", "Unauthenticated")}
    missing = handled("Answers", "server_stream", "NotFound")
    async with world.serving([toy_registration(Anyone=echo, Answers=fail)], [TOY]) as served:
        metadata = bearer(world.token("user", org_id=ORG))
        await toy_call(served.channel, "Anyone")(Toy(), metadata=metadata)
        await refused(toy_call(served.channel, "Anyone")(Toy()))
        await refused(toy_call(served.channel, "Answers")(Toy(org_id=ORG), metadata=metadata))
        await health_of(served, "")
    assert handled("Anyone", "unary", "OK") == before["OK"] + 1
    assert handled("Anyone", "unary", "Unauthenticated") == before["Unauthenticated"] + 1
    assert handled("Answers", "server_stream", "NotFound") == missing + 1
    labels = {"grpc_type": "unary", "grpc_service": TOY, "grpc_method": "Anyone"}
    assert REGISTRY.get_sample_value("grpc_server_started_total", labels)
    assert REGISTRY.get_sample_value("grpc_server_handling_seconds_count", labels)


async def test_every_call_is_one_line_in_the_access_log(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("toy", "INFO")

    async def fail(request: Any, context: Any) -> Any:
        raise errors.NotFound("NOTHING", "There is nothing for ada@example.com.")

    async with world.serving([toy_registration(Anyone=echo, Unary=fail)], [TOY]) as served:
        token = world.token("user", org_id=ORG, sub="user:ada@example.com")
        metadata = (*bearer(token), ("x-request-id", "call-1"))
        await toy_call(served.channel, "Anyone")(Toy(), metadata=metadata)
        await refused(toy_call(served.channel, "Unary")(Toy(org_id=ORG), metadata=metadata))
        await refused(toy_call(served.channel, "Anyone")(Toy(), metadata=(("x-request-id", "bad id"),)))
    text = capsys.readouterr().out
    lines = [line for line in log_lines(text) if line["event"] == "rpc"]
    assert [(line["method"].rsplit("/")[-1], line["code"], line["reason"]) for line in lines] == [
        ("Anyone", "OK", ""),
        ("Unary", "NOT_FOUND", "NOTHING"),
        ("Anyone", "UNAUTHENTICATED", "TOKEN_MISSING"),
    ]
    for line in lines:
        assert line["duration_ms"] > 0
        assert line["peer"]
        assert line["trace_id"]
        assert line["service"] == "toy"
    assert [line["request_id"] for line in lines[:2]] == ["call-1", "call-1"]
    assert lines[2]["request_id"] not in ("", "call-1", "bad id")
    assert lines[0]["subject"] == "user:[redacted]"
    assert token not in text
    assert "ada@example.com" not in text


async def test_a_call_in_progress_ends_before_the_server_does(world: World) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        begun.set()
        await go_on.wait()
        return Toy(count=7)

    async with world.serving([toy_registration(Public=slow)], [TOY]) as served:
        call = asyncio.ensure_future(_answer(toy_call(served.channel, "Public")(Toy())))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        stopping = asyncio.create_task(served.running.stop(grace_s=2 * PATIENCE_S))
        await asyncio.sleep(0)
        assert not stopping.done()
        go_on.set()
        assert (await call).count == 7
        await asyncio.wait_for(stopping, PATIENCE_S)


async def _answer(call: Any) -> Any:
    return await call


async def test_a_channel_carries_token_request_id_deadline_and_trace_to_the_next_service(world: World) -> None:
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    seen: list[tuple[str, str, bool]] = []
    world.write_service_token(world.token("service", sub="service_account:first"))
    channels = Channels(world.settings, tracer_provider=world.tracer_provider)
    addresses: list[str] = []

    async def last(request: Any, context: Any) -> Any:
        seen.append((current_caller().subject, current_caller().request_id, context.time_remaining() < 31))
        return request

    async def first(request: Any, context: Any) -> Any:
        return await toy_call(channels.channel(addresses[0]), "ForServices")(request)

    async with world.serving([toy_registration(Public=first, ForServices=last)], [TOY]) as served:
        addresses.append(served.address)
        await toy_call(served.channel, "Public")(Toy(), metadata=(("x-request-id", "call-9"),))
        world.write_service_token(world.token("service", sub="service_account:second"))
        await toy_call(served.channel, "Public")(Toy(), metadata=(("x-request-id", "call-10"),))
        await channels.close()
    assert seen == [("service_account:first", "call-9", True), ("service_account:second", "call-10", True)]
    client_span = next(s for s in world.spans(f"/{TOY}/ForServices") if s.kind is SpanKind.CLIENT)
    outer = next(s for s in world.spans(f"/{TOY}/Public") if s.context.trace_id == client_span.context.trace_id)
    inner = next(s for s in world.spans(f"/{TOY}/ForServices") if s.parent.span_id == client_span.context.span_id)
    assert client_span.parent.span_id == outer.context.span_id
    assert inner.kind is SpanKind.SERVER
    assert current_trace_id() == ""


async def test_channels_stream_in_all_directions(world: World) -> None:
    async def answers(request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        yield request

    async def requests(messages: Any, context: Any) -> Any:
        return Toy(count=len([message async for message in messages]))

    async def both(messages: Any, context: Any) -> AsyncIterator[Any]:
        async for message in messages:
            yield message

    async def several() -> AsyncIterator[Any]:
        yield Toy()
        yield Toy()

    toys = toy_registration(Answers=answers, Requests=requests, Both=both)
    async with world.serving([toys], [TOY]) as served:
        channels = Channels(world.settings, tracer_provider=world.tracer_provider)
        channel = channels.channel(served.address)
        assert channels.channel(served.address) is channel
        assert len([m async for m in toy_call(channel, "Answers")(Toy())]) == 2
        assert (await toy_call(channel, "Requests")(several())).count == 2
        assert len([m async for m in toy_call(channel, "Both")(several())]) == 2
        await channels.close()


async def test_an_unavailable_answer_is_asked_for_again_and_any_other_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RETRY_FIRST_PAUSE_MS", 1)
    tries: list[str] = []

    async def flaky(request: Any, context: Any) -> Any:
        tries.append(request.org_id)
        if request.org_id == "never" or len(tries) < 3:
            raise errors.Unavailable("AWAY", "Gone for a moment.")
        if request.org_id == "wrong":
            raise errors.NotFound("NOTHING", "There is nothing.")
        return request

    async with world.serving([toy_registration(Public=flaky)], [TOY]) as served:
        call = toy_call(served.channel, "Public")
        assert (await retrying(call, Toy(org_id="a"), timeout_s=10)).org_id == "a"
        assert tries == ["a", "a", "a"]
        with pytest.raises(grpc.aio.AioRpcError) as wrong:
            await retrying(call, Toy(org_id="wrong"), timeout_s=10)
        assert wrong.value.code() is grpc.StatusCode.NOT_FOUND
        assert tries.count("wrong") == 1
        with pytest.raises(grpc.aio.AioRpcError) as never:
            await retrying(call, Toy(org_id="never"), timeout_s=0.1)
        assert never.value.code() is grpc.StatusCode.UNAVAILABLE
        assert tries.count("never") > 1


def test_a_token_file_may_be_renewed_and_vanish_for_a_while(tmp_path: Any) -> None:
    tokens = TokenFile(tmp_path / "token")
    with pytest.raises(OSError):
        tokens.token()
    (tmp_path / "token").write_text("one\n")
    assert tokens.token() == "one"
    (tmp_path / "token").write_text("another\n")
    assert tokens.token() == "another"
    (tmp_path / "token").unlink()
    assert tokens.token() == "another"


@pytest.mark.parametrize("content", [b"one\ntwo\n", b"a b", b"\x00\xff\xfe", "tök€n".encode()])
def test_a_file_that_holds_something_else_counts_as_one_that_cannot_be_read(tmp_path: Any, content: bytes) -> None:
    tokens = TokenFile(tmp_path / "token")
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(OSError, match="it holds no token"):
        tokens.token()
    (tmp_path / "token").write_text("one\n")
    assert tokens.token() == "one"
    (tmp_path / "token").write_bytes(content)
    assert tokens.token() == "one"


async def test_a_mutations_own_request_id_names_the_call(world: World) -> None:
    from apportion_common.caller import CallInfo, current_call, enter_call
    from apportion_common.grpc.interceptors.metrics_log import MetricsLogInterceptor

    async def admit() -> str:
        enter_call(CallInfo("m", "given"))
        call: Any = SimpleNamespace()
        await MetricsLogInterceptor().admit(call, orgs_service_pb2.CreateOrgRequest(request_id="order-5"))
        info = current_call()
        assert info is not None
        return info.request_id

    assert await asyncio.create_task(admit()) == "order-5"
