"""What a caller sees of a refusal, and what it must not see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import nats.errors
import psycopg
import pytest
import sqlalchemy.exc
from apportion.identity.v1 import identity_service_pb2_grpc
from apportion.metering.v1 import metering_service_pb2, metering_service_pb2_grpc
from apportion.orgs.v1 import orgs_service_pb2, orgs_service_pb2_grpc
from apportion_common import errors
from apportion_common.db.unit_of_work import Transaction
from apportion_common.grpc import limits
from apportion_common.grpc.status import RequestInvalid, error_of, reason_of, status_of
from apportion_common.logs import configure_logs
from apportion_dev.testing.plugin import BlankDatabase
from grpc_world import ORG, TOY, Toy, World, bearer, log_lines, refused, toy_call, toy_registration
from opentelemetry.trace import StatusCode
from prometheus_client import REGISTRY

ORGS = "apportion.orgs.v1.OrgsService"
METERING = "apportion.metering.v1.MeteringService"
GARBAGE = b"\xff\xff\xff"
PATIENCE_S = 60
DEADLINES_S = (0.3, 3, 30)
"""A longer one only where a busy machine has not begun with the call before it was over."""
SECRET = "row of ada@example.com is wrong"


def raising(error: BaseException) -> Callable[[Any, Any], Any]:
    async def handler(request: Any, context: Any) -> Any:
        raise error

    return handler


async def refuse(world: World, error: BaseException) -> Any:
    async with world.serving([toy_registration(Anyone=raising(error))], [TOY]) as served:
        return await refused(toy_call(served.channel, "Anyone")(Toy(), metadata=bearer(world.token())))


@pytest.mark.parametrize(
    "kind",
    [
        errors.InvalidArgument,
        errors.OutOfRange,
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.PermissionDenied,
        errors.Unauthenticated,
        errors.ResourceExhausted,
        errors.Unavailable,
        errors.Unimplemented,
    ],
)
async def test_a_typed_error_comes_out_with_its_code_reason_and_metadata(
    world: World, kind: type[errors.ApportionError]
) -> None:
    seen = await refuse(world, kind("SOME_REASON", "A full sentence.", sku="EMAIL"))
    assert (seen.code.name, seen.details, seen.reason, seen.domain) == (
        kind.code,
        "A full sentence.",
        "SOME_REASON",
        "apportion",
    )
    assert seen.metadata == {"sku": "EMAIL"}
    assert seen.retry_s == (1 if kind is errors.Unavailable else None)


async def test_a_field_at_fault_is_a_violation_and_a_pause_is_retry_info(world: World) -> None:
    seen = await refuse(world, errors.InvalidArgument("QUANTITY_MALFORMED", "It is no number.", field="event.quantity"))
    assert seen.violations == [("event.quantity", "It is no number.")]
    seen = await refuse(world, errors.ResourceExhausted("TOO_MANY", "Too many.", retry_after_s=7))
    assert (seen.violations, seen.retry_s) == ([], 7)
    seen = await refuse(world, errors.NotFound("ORG_NOT_FOUND", "There is none.", field="org_id"))
    assert seen.metadata == {"field": "org_id"}


async def test_nothing_of_an_unexpected_error_reaches_the_caller(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("toy", "INFO")

    async def streamed(request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        raise KeyError(SECRET)

    toys = toy_registration(Anyone=raising(RuntimeError(SECRET)), Answers=streamed)
    async with world.serving([toys], [TOY]) as served:
        for name in ("Anyone", "Answers"):
            metadata = bearer(world.token("user", org_id=ORG))
            seen = await refused(toy_call(served.channel, name)(Toy(org_id=ORG), metadata=metadata))
            assert (seen.code, seen.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
            assert "row of" not in seen.details
            assert "Error" not in seen.details
    lines = [line for line in log_lines(capsys.readouterr().out) if line["event"] == "unexpected_error"]
    assert len(lines) == 2
    assert "Traceback" in lines[0]["exception"]
    assert "row of [redacted] is wrong" in lines[0]["exception"]
    assert lines[0]["trace_id"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psycopg.OperationalError("connection refused"), "DATABASE_UNAVAILABLE"),
        (psycopg.errors.AdminShutdown("bye"), "DATABASE_UNAVAILABLE"),
        (psycopg.errors.QueryCanceled("statement timeout"), "DATABASE_UNAVAILABLE"),
        (sqlalchemy.exc.OperationalError("SELECT 1", {}, psycopg.OperationalError("lost")), "DATABASE_UNAVAILABLE"),
        (sqlalchemy.exc.TimeoutError("QueuePool limit"), "DATABASE_BUSY"),
        (nats.errors.TimeoutError(), "STREAM_UNAVAILABLE"),
        (nats.errors.NoServersError(), "STREAM_UNAVAILABLE"),
        (TimeoutError(), "DEPENDENCY_UNAVAILABLE"),
        (ConnectionResetError(), "DEPENDENCY_UNAVAILABLE"),
    ],
)
async def test_a_failure_around_the_service_asks_the_caller_to_come_again(
    world: World, error: Exception, reason: str
) -> None:
    seen = await refuse(world, error)
    assert (seen.code, seen.reason, seen.retry_s) == (grpc.StatusCode.UNAVAILABLE, reason, 1)


@pytest.mark.parametrize(
    "error",
    [
        sqlalchemy.exc.IntegrityError("INSERT", {"email": "ada@example.com"}, psycopg.errors.UniqueViolation(SECRET)),
        psycopg.errors.NumericValueOutOfRange(SECRET),
        NotImplementedError(SECRET),
        StopAsyncIteration(SECRET),
    ],
)
async def test_a_fault_of_our_own_is_internal(world: World, error: Exception) -> None:
    seen = await refuse(world, error)
    assert (seen.code, seen.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "row" not in seen.details


@pytest.mark.parametrize(
    "use",
    [
        lambda tx: tx.execute("SELECT CAST(:name AS text)", {"name": "a\0b"}),
        lambda tx: tx.audit("key.rotate", "key/a\0b"),
        lambda tx: tx.audit("key.rotate", "key/1", after={"reason": "a\0b"}),
    ],
    ids=["a parameter", "an audited resource", "an audited value"],
)
async def test_a_text_that_postgresql_cannot_hold_is_the_callers_fault(
    world: World, base_database: BlankDatabase, use: Callable[[Transaction], Awaitable[object]]
) -> None:
    database = base_database().database()

    async def handler(request: Any, context: Any) -> Any:
        async with database.transaction() as tx:
            await use(tx)

    async with world.serving([toy_registration(Anyone=handler)], [TOY]) as served:
        seen = await refused(toy_call(served.channel, "Anyone")(Toy(), metadata=bearer(world.token())))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TEXT_HOLDS_NUL")


class _Nothing(metering_service_pb2_grpc.MeteringServiceServicer):
    """Builds nothing: everything is inherited."""


async def test_what_is_not_built_says_so(world: World) -> None:
    def register(server: grpc.aio.Server) -> None:
        metering_service_pb2_grpc.add_MeteringServiceServicer_to_server(_Nothing(), server)

    async with world.serving([register], [METERING]) as served:
        stub: Any = metering_service_pb2_grpc.MeteringServiceStub(served.channel)
        operator = bearer(world.token("operator"))
        calls = [
            stub.StartReplay(metering_service_pb2.StartReplayRequest(), metadata=operator),
            stub.StreamEvents(iter([metering_service_pb2.StreamEventsRequest()]), metadata=operator),
        ]
        for call in calls:
            seen = await refused(call)
            assert (seen.code, seen.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")
        assert (await refused(stub.StartReplay(metering_service_pb2.StartReplayRequest()))).reason == "TOKEN_MISSING"
        unknown: Any = identity_service_pb2_grpc.IdentityServiceStub(served.channel)
        from apportion.identity.v1 import identity_service_pb2

        seen = await refused(unknown.GetJwks(identity_service_pb2.GetJwksRequest(), metadata=operator))
        assert seen.code is grpc.StatusCode.UNIMPLEMENTED


async def echo(request: Any, context: Any) -> Any:
    return request


async def test_bytes_that_are_no_message_are_a_bad_request(world: World) -> None:
    async def count(messages: Any, context: Any) -> Any:
        return Toy(count=len([message async for message in messages]))

    async with world.serving([toy_registration(Unary=echo, Requests=count)], [TOY]) as served:
        metadata = bearer(world.token("user", org_id=ORG))
        unary: Any = served.channel.unary_unary(f"/{TOY}/Unary")
        streamed: Any = served.channel.stream_unary(f"/{TOY}/Requests")
        for call in (unary(GARBAGE, metadata=metadata), streamed(iter([GARBAGE]), metadata=metadata)):
            seen = await refused(call)
            assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MALFORMED")


class _Orgs(orgs_service_pb2_grpc.OrgsServiceServicer):
    async def CreateOrg(self, request: Any, context: Any) -> Any:  # noqa: N802
        return orgs_service_pb2.CreateOrgResponse()

    async def ResolveBillingAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802
        return orgs_service_pb2.ResolveBillingAccountsResponse()


def register_orgs(server: grpc.aio.Server) -> None:
    orgs_service_pb2_grpc.add_OrgsServiceServicer_to_server(_Orgs(), server)


async def test_a_request_that_breaks_its_contract_names_the_fields_and_not_their_values(world: World) -> None:
    async with world.serving([register_orgs], [ORGS]) as served:
        stub: Any = orgs_service_pb2_grpc.OrgsServiceStub(served.channel)
        request = orgs_service_pb2.CreateOrgRequest(
            legal_name="Example", slug="NOT A SLUG", billing_email="secret-at-home", request_id="r-1"
        )
        seen = await refused(stub.CreateOrg(request, metadata=bearer(world.token("service"))))
        assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        fields = dict(seen.violations)
        assert {"slug", "billing_email"} <= set(fields)
        assert fields["slug"].startswith("It must be 1 to 63 lower-case letters, digits and hyphens")
        assert fields["billing_email"] == "The value breaks a rule of the contract (string.email)."
        assert "NOT A SLUG" not in str(seen)
        assert "secret-at-home" not in str(seen)


async def test_thousands_of_violations_still_fit_a_clients_metadata(world: World) -> None:
    async with world.serving([register_orgs], [ORGS]) as served:
        stub: Any = orgs_service_pb2_grpc.OrgsServiceStub(served.channel)
        request = orgs_service_pb2.ResolveBillingAccountsRequest()
        for _ in range(500):
            request.items.add(org_id="nobody")
        seen = await refused(stub.ResolveBillingAccounts(request, metadata=bearer(world.token("service"))))
        assert seen.reason == "VALIDATION_FAILED"
        assert 1 < len(seen.violations) <= limits.VIOLATIONS_MAX
        assert seen.violations[0][0] == "items[0].org_id"


def test_a_status_stays_small_whatever_the_error_holds() -> None:
    huge = RequestInvalid([(f"field[{i}]" * 50, "wrong " * 100) for i in range(5_000)])
    assert status_of(huge).ByteSize() <= limits.STATUS_BYTES_MAX
    assert (
        status_of(errors.InvalidArgument("A", "é" * 10_000, field="x" * 10_000)).ByteSize() <= limits.STATUS_BYTES_MAX
    )


async def test_a_handler_that_takes_too_long_is_ended(world: World) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def slow_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        await slow(request, context)

    async with world.serving([toy_registration(Anyone=slow, Answers=slow_stream)], [TOY]) as served:
        metadata = bearer(world.token("user", org_id=ORG))
        for name in ("Anyone", "Answers"):
            begun.clear()
            ended.clear()
            for deadline_s in DEADLINES_S:
                call = toy_call(served.channel, name)(Toy(org_id=ORG), metadata=metadata, timeout=deadline_s)
                assert (await refused(call)).code is grpc.StatusCode.DEADLINE_EXCEEDED
                if begun.is_set():
                    break
            await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_a_call_without_a_deadline_gets_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from apportion_common.grpc.interceptors import deadline

    monkeypatch.setattr(deadline.DeadlineInterceptor.__init__, "__defaults__", (0.2, 0.4))

    async def slow(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async def slow_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        await asyncio.Event().wait()

    async with world.serving([toy_registration(Anyone=slow, Answers=slow_stream)], [TOY]) as served:
        metadata = bearer(world.token("user", org_id=ORG))
        for name in ("Anyone", "Answers"):
            for timeout_s in (None, 1_000):
                call = toy_call(served.channel, name)(Toy(org_id=ORG), metadata=metadata, timeout=timeout_s)
                seen = await refused(call)
                assert (seen.code, seen.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_caller_that_goes_away_cancels_the_handler(world: World) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with world.serving([toy_registration(Anyone=slow)], [TOY]) as served:
        call = toy_call(served.channel, "Anyone")(Toy(), metadata=bearer(world.token()))
        running = asyncio.ensure_future(_outcome(call))
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), PATIENCE_S)
        assert await running == "cancelled"


async def _outcome(call: Any) -> str:
    try:
        await call
    except asyncio.CancelledError:
        return "cancelled"
    return "answered"


async def test_a_span_says_how_its_call_ended(world: World) -> None:
    toys = toy_registration(
        Anyone=raising(RuntimeError(SECRET)),
        Unary=raising(errors.Unavailable("AWAY", "Gone.")),
        Public=raising(errors.NotFound("NOTHING", "There is nothing.")),
    )
    async with world.serving([toys], [TOY]) as served:
        metadata = bearer(world.token("user", org_id=ORG))
        for name in ("Anyone", "Unary", "Public"):
            await refused(toy_call(served.channel, name)(Toy(org_id=ORG), metadata=metadata))
    expected = {
        "Anyone": (grpc.StatusCode.INTERNAL, "INTERNAL"),
        "Unary": (grpc.StatusCode.UNAVAILABLE, "AWAY"),
        "Public": (grpc.StatusCode.NOT_FOUND, "NOTHING"),
    }
    for name, (code, reason) in expected.items():
        (span,) = world.spans(f"/{TOY}/{name}")
        assert span.attributes["rpc.grpc.status_code"] == code.value[0]
        assert span.attributes["apportion.reason"] == reason
        assert span.status.status_code is not StatusCode.OK
        assert SECRET not in str(span.status.description)
        assert SECRET not in str([dict(event.attributes) for event in span.events])
    assert world.spans(f"/{TOY}/Anyone")[0].status.status_code is StatusCode.ERROR


async def test_a_calls_latency_has_an_exemplar_with_the_trace_that_its_span_belongs_to(world: World) -> None:
    async def answers(request: Any, context: Any) -> Any:
        return Toy()

    async with world.serving([toy_registration(Anyone=answers)], [TOY]) as served:
        await toy_call(served.channel, "Anyone")(Toy(), metadata=bearer(world.token()))
    (span,) = world.spans(f"/{TOY}/Anyone")
    found = [
        sample.exemplar.labels
        for metric in REGISTRY.collect()
        if metric.name == "grpc_server_handling_seconds"
        for sample in metric.samples
        if sample.exemplar is not None and sample.labels["grpc_method"] == "Anyone"
    ]
    assert {"trace_id": f"{span.context.trace_id:032x}"} in found


async def test_an_answer_turns_back_into_the_typed_error(world: World) -> None:
    raised = errors.FailedPrecondition(
        "PERIOD_OPEN", "The period is open.", retry_after_s=3, field="a", reason_code="x"
    )
    async with world.serving([toy_registration(Anyone=raising(raised))], [TOY]) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await toy_call(served.channel, "Anyone")(Toy(), metadata=bearer(world.token()))
    back = error_of(caught.value)
    assert type(back) is errors.FailedPrecondition
    assert (back.reason, back.message, back.retry_after_s) == ("PERIOD_OPEN", "The period is open.", 3)
    assert back.metadata == {"reason_code": "x", "field": "a"}
    assert reason_of(caught.value) == "PERIOD_OPEN"


async def test_no_answer_turns_into_unavailable(served_address: str, world: World) -> None:
    async with grpc.aio.insecure_channel(served_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await toy_call(channel, "Anyone")(Toy(), timeout=PATIENCE_S)
    back = error_of(caught.value)
    assert (back.code, back.reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")


async def test_the_answer_of_a_server_that_takes_no_more_calls_turns_into_a_busy_dependency() -> None:
    arrived, done = asyncio.Event(), asyncio.Event()

    async def held(request: Any, context: Any) -> Any:
        arrived.set()
        await done.wait()
        return Toy()

    server = grpc.aio.server(maximum_concurrent_rpcs=1)
    toy_registration(Anyone=held)(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            first = toy_call(channel, "Anyone")(Toy())
            await arrived.wait()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await toy_call(channel, "Anyone")(Toy())
            done.set()
            await first
    finally:
        await server.stop(0)
    back = error_of(caught.value)
    assert (back.code, back.reason) == ("RESOURCE_EXHAUSTED", "DEPENDENCY_BUSY")


@pytest.fixture
def served_address(unused_tcp_port: int) -> str:
    return f"127.0.0.1:{unused_tcp_port}"
