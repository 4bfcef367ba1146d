"""The service as it is run: one process with TLS, tokens, lanes and relay; what a caller sees of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import grpc
import pytest
import pytest_asyncio
from apportion.common.v1.audit_pb2 import AuditQuery
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceStub
from apportion_common.clock import SystemClock
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.databases import DatabaseFactory
from apportion_dev.testing.servers import NatsAccess
from google.rpc import error_details_pb2, status_pb2
from metering_harness import NOW_US, ORG, OTHER_ORG, usage_event
from metering_process import Service, prepared_service

CALL_S = 60
START_S = 120
STOP_S = 40
SECOND = NOW_US // 10**6


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    database_factory: DatabaseFactory,
    durable_nats: tuple[LocalNats, NatsAccess],
) -> Iterator[Service]:
    database = database_factory.service("metering")
    with prepared_service(tmp_path_factory.mktemp("metering-service"), database, durable_nats) as made:
        process = made.start()
        try:
            yield made
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S) == 0, made.log.read_text()[-3000:]
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            database_factory.drop(database.name)


@pytest_asyncio.fixture
async def stub(service: Service) -> AsyncIterator[MeteringServiceStub]:
    credentials = grpc.ssl_channel_credentials(service.authority)
    async with grpc.aio.secure_channel(service.address, credentials) as channel:
        async with asyncio.timeout(START_S):
            await channel.channel_ready()
        yield MeteringServiceStub(channel)


def reason_of(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """The status and its reason."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return error.code().name, info.reason
    return error.code().name, ""


def rejected(response: pb.IngestEventsResponse) -> dict[int, str]:
    return {rejection.index: rejection.reason for rejection in response.rejections}


async def test_bad_events_are_named_one_by_one_and_the_good_ones_of_the_call_go_through(service, stub):
    no_time = usage_event("no-time")
    no_time.ClearField("event_time")
    too_fine = usage_event("fine")
    too_fine.event_time.nanos = 1
    labelled = usage_event("labels")
    labelled.metadata["k"] = "x" * 1_025
    unknown_source = usage_event("source")
    unknown_source.source = 77
    events = [
        usage_event("good-first"),
        usage_event("org", org="not-a-uuid"),
        usage_event("org-empty", org=""),
        usage_event(""),
        usage_event("x" * 129),
        usage_event("tab\tinside"),
        usage_event("nan", quantity="NaN"),
        usage_event("inf", quantity="Infinity"),
        usage_event("huge", quantity="1e400"),
        usage_event("digits", quantity="1" * 19 + "." + "1" * 9),
        usage_event("fine-quantity", quantity="0.0000000001"),
        usage_event("empty-quantity", quantity=""),
        usage_event("sku", sku="lower-case"),
        usage_event("sku-long", sku="A" * 65),
        no_time,
        too_fine,
        usage_event("year", seconds=-62_135_596_800),
        labelled,
        unknown_source,
        usage_event("largest", quantity="9" * 18 + "." + "9" * 9),
    ]
    bad_compact = pb.CompactUsageEvent(org_id=b"short", request_id=bytes(16), sku="A", event_time_us=NOW_US)
    good_compact = pb.CompactUsageEvent(org_id=ORG.bytes, request_id=uuid4().bytes, sku="A", event_time_us=NOW_US)
    response = await stub.IngestEvents(
        pb.IngestEventsRequest(
            events=events,
            compact_events=[bad_compact, good_compact],
            acknowledgement=pb.ACKNOWLEDGEMENT_COMMITTED,
        ),
        metadata=service.token("service"),
        timeout=CALL_S,
    )
    assert response.accepted_count == 3
    assert rejected(response) == {
        1: "ID_MALFORMED",
        2: "ID_MALFORMED",
        3: "REQUEST_ID_MALFORMED",
        4: "REQUEST_ID_MALFORMED",
        5: "REQUEST_ID_MALFORMED",
        6: "QUANTITY_MALFORMED",
        7: "QUANTITY_MALFORMED",
        8: "QUANTITY_OUT_OF_RANGE",
        9: "QUANTITY_OUT_OF_RANGE",
        10: "QUANTITY_TOO_PRECISE",
        11: "QUANTITY_MALFORMED",
        12: "SKU_MALFORMED",
        13: "SKU_MALFORMED",
        14: "TIME_MALFORMED",
        15: "TIME_TOO_PRECISE",
        16: "TIME_OUT_OF_RANGE",
        17: "METADATA_TOO_LARGE",
        18: "SOURCE_UNKNOWN",
        20: "ID_MALFORMED",
    }
    assert all(rejection.message for rejection in response.rejections)


async def test_a_call_of_nothing_but_bad_events_is_answered_too(service, stub):
    request = pb.IngestEventsRequest(events=[usage_event("a", quantity="x")])
    response = await stub.IngestEvents(request, metadata=service.token("service"))
    assert (response.accepted_count, rejected(response)) == (0, {0: "QUANTITY_MALFORMED"})


@pytest.mark.parametrize(
    ("count", "status"),
    [(0, ("INVALID_ARGUMENT", "BATCH_EMPTY")), (5_001, ("INVALID_ARGUMENT", "BATCH_TOO_LARGE"))],
)
async def test_a_call_with_no_or_too_many_events_is_refused(service, stub, count, status):
    request = pb.IngestEventsRequest(events=[usage_event(f"many-{n}") for n in range(count)])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.IngestEvents(request, metadata=service.token("service"))
    assert reason_of(caught.value) == status


async def test_a_call_with_the_most_events_goes_through(service, stub):
    request = pb.IngestEventsRequest(
        events=[usage_event(f"most-{n}", org=UUID(int=n % 50 + 1)) for n in range(5_000)],
        acknowledgement=pb.ACKNOWLEDGEMENT_COMMITTED,
    )
    response = await stub.IngestEvents(request, metadata=service.token("service"), timeout=CALL_S)
    assert response.accepted_count == 5_000


async def test_who_may_not_is_refused_with_its_reason(service, stub):
    mine = pb.IngestEventsRequest(events=[usage_event("mine")])
    mixed = pb.IngestEventsRequest(events=[usage_event("mine-2"), usage_event("theirs", org=OTHER_ORG)])
    compact = pb.IngestEventsRequest(compact_events=[pb.CompactUsageEvent(org_id=OTHER_ORG.bytes)])
    user = service.token("user", ORG)
    assert (await stub.IngestEvents(mine, metadata=user)).accepted_count == 1
    for request in (mixed, compact):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.IngestEvents(request, metadata=user)
        assert reason_of(caught.value) == ("PERMISSION_DENIED", "ORG_FORBIDDEN")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.IngestEvents(mine)
    assert reason_of(caught.value) == ("UNAUTHENTICATED", "TOKEN_MISSING")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ClosePeriod(pb.ClosePeriodRequest(period="2013-01", request_id="x"), metadata=user)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_dead_letters_are_paged_requeued_and_discarded_and_it_is_audited(service, stub):
    operator = service.token("operator")
    org = uuid4()
    ahead = [usage_event(f"ahead-{n}", org=org, seconds=SECOND + 3_000_000_000) for n in range(5)]
    far = [usage_event(f"far-{n}", org=org, seconds=int(SystemClock().now().timestamp()) + 86_400) for n in range(5)]
    request = pb.IngestEventsRequest(events=[*ahead, *far], acknowledgement=pb.ACKNOWLEDGEMENT_COMMITTED)
    response = await stub.IngestEvents(request, metadata=operator, timeout=CALL_S)
    assert set(rejected(response).values()) == {"TIME_OUT_OF_RANGE"}
    assert response.dead_letter_count == 5
    assert {o.outcome for o in response.outcomes} == {pb.ENTRY_OUTCOME_KIND_DEAD_LETTERED}

    mine = pb.DeadLetterFilter(org_id=str(org))
    first = await stub.ListDeadLetters(pb.ListDeadLettersRequest(filter=mine, page_size=3), metadata=operator)
    rest = await stub.ListDeadLetters(
        pb.ListDeadLettersRequest(filter=mine, page_size=3, page_token=first.next_page_token), metadata=operator
    )
    assert (len(first.dead_letters), len(rest.dead_letters), rest.next_page_token) == (3, 2, "")
    letters = [*first.dead_letters, *rest.dead_letters]
    assert sorted(letter.event.request_id for letter in letters) == [f"far-{n}" for n in range(5)]
    assert letters[0].event == next(e for e in far if e.request_id == letters[0].event.request_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListDeadLetters(pb.ListDeadLettersRequest(page_token="nonsense"), metadata=operator)
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "PAGE_TOKEN_MALFORMED")
    others = pb.ListDeadLettersRequest(page_size=3, page_token=first.next_page_token)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListDeadLetters(others, metadata=operator)
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "PAGE_TOKEN_MISMATCH")
    misspelt = pb.DeadLetterFilter(reason="PERIOD-CLOSED")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListDeadLetters(pb.ListDeadLettersRequest(filter=misspelt), metadata=operator)
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "DEAD_LETTER_REASON_UNKNOWN")

    requeue = pb.RequeueDeadLettersRequest(filter=mine, request_id=str(uuid4()))
    for _ in range(2):
        answer = await stub.RequeueDeadLetters(requeue, metadata=operator)
        assert answer.requeued_count == 5
    reused = pb.RequeueDeadLettersRequest(
        filter=pb.DeadLetterFilter(reason="UNKNOWN_SKU"), request_id=requeue.request_id
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.RequeueDeadLetters(reused, metadata=operator)
    assert reason_of(caught.value) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    opened = pb.DeadLetterFilter(org_id=str(org), state=pb.DEAD_LETTER_STATE_OPEN)
    async with asyncio.timeout(CALL_S):
        while True:  # Still in the future: the lane opens them again.
            listed = await stub.ListDeadLetters(pb.ListDeadLettersRequest(filter=opened), metadata=operator)
            if len(listed.dead_letters) == 5:
                break
            await asyncio.sleep(0.1)
    assert {letter.attempts for letter in listed.dead_letters} == {2}
    discard = pb.DiscardDeadLettersRequest(filter=mine, reason="a test", request_id=str(uuid4()))
    assert (await stub.DiscardDeadLetters(discard, metadata=operator)).discarded_count == 5
    audit = await stub.ListAudit(pb.ListAuditRequest(query=AuditQuery(org_id=str(org))), metadata=operator)
    assert [entry.action for entry in audit.entries] == ["dead_letter.discard", "dead_letter.requeue"]
    assert {entry.actor for entry in audit.entries} == {"operator-subject"}
    status = await stub.GetEventStatus(
        pb.GetEventStatusRequest(org_id=str(org), request_ids=["far-0", "nobody"]), metadata=operator
    )
    assert [(s.state, s.reason) for s in status.statuses] == [
        (pb.EVENT_STATE_DEAD_LETTERED, "EVENT_IN_FUTURE"),
        (pb.EVENT_STATE_UNKNOWN, ""),
    ]


async def test_closing_a_period_twice_under_one_request_id_closes_it_once(service, stub):
    operator = service.token("operator")
    # Nobody rates what other tests have sent to this service.
    request = pb.ClosePeriodRequest(
        period="2012-11", all_orgs=True, force=True, reason="A test.", request_id=str(uuid4())
    )
    for _ in range(2):
        await stub.ClosePeriod(request, metadata=operator)
    audit = await stub.ListAudit(pb.ListAuditRequest(query=AuditQuery(resource="period/2012-11")), metadata=operator)
    assert len(audit.entries) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ClosePeriod(pb.ClosePeriodRequest(period="2012-13", request_id="y"), metadata=operator)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_the_pipelines_status_names_every_lane(service, stub):
    status = await stub.GetPipelineStatus(pb.GetPipelineStatusRequest(), metadata=service.token("service"))
    assert [lane.lane for lane in status.lanes] == list(range(32))
    assert status.stream_durable
    assert {lane.stopped_reason for lane in status.lanes} == {""}


async def test_what_is_not_built_says_so(service, stub):
    operator = service.token("operator")
    for call, request in (
        (stub.StartReplay, pb.StartReplayRequest()),
        (stub.GetReplay, pb.GetReplayRequest()),
        (stub.CancelReplay, pb.CancelReplayRequest()),
        (stub.Reconcile, pb.ReconcileRequest()),
        (stub.ReconcileProviderLog, pb.ReconcileProviderLogRequest()),
        (stub.QueryUsage, pb.QueryUsageRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request, metadata=operator)
        assert reason_of(caught.value) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")


async def test_what_cannot_be_undone_is_refused_over_the_wire_unless_it_was_meant(service, stub):
    operator, org = service.token("operator"), uuid4()
    event = usage_event("late", org=org, seconds=1_357_000_000)
    request = pb.IngestEventsRequest(events=[event], acknowledgement=pb.ACKNOWLEDGEMENT_COMMITTED)
    await stub.IngestEvents(request, metadata=service.token("service"))
    some, none = pb.DeadLetterFilter(org_id=str(org)), pb.DeadLetterFilter()
    present = datetime.now(UTC).strftime("%Y-%m")
    mine = {"org_ids": [str(org)]}
    cases = (
        ("RequeueDeadLetters", pb.RequeueDeadLettersRequest(filter=none), "SELECTION_EMPTY"),
        ("RequeueDeadLetters", pb.RequeueDeadLettersRequest(filter=some, all=True), "SELECTION_AMBIGUOUS"),
        ("RequeueDeadLetters", pb.RequeueDeadLettersRequest(filter=some, into_period="2999-01"), "TIME_OUT_OF_RANGE"),
        (
            "RequeueDeadLetters",
            pb.RequeueDeadLettersRequest(filter=some, into_period="2099-01"),
            "INTO_PERIOD_TOO_LATE",
        ),
        ("DiscardDeadLetters", pb.DiscardDeadLettersRequest(filter=none, reason="x"), "SELECTION_EMPTY"),
        ("DiscardDeadLetters", pb.DiscardDeadLettersRequest(filter=some, reason="x", all=True), "SELECTION_AMBIGUOUS"),
        ("ClosePeriod", pb.ClosePeriodRequest(period="2013-01"), "SELECTION_EMPTY"),
        ("ClosePeriod", pb.ClosePeriodRequest(period="2013-01", all_orgs=True, **mine), "SELECTION_AMBIGUOUS"),
        ("ClosePeriod", pb.ClosePeriodRequest(period="2013-01", force=True, **mine), "REASON_MISSING"),
        ("ClosePeriod", pb.ClosePeriodRequest(period="1999-12", **mine), "TIME_OUT_OF_RANGE"),
        ("ClosePeriod", pb.ClosePeriodRequest(period=present, **mine), "PERIOD_NOT_OVER"),
        ("ClosePeriod", pb.ClosePeriodRequest(period="2013-01", **mine), "USAGE_UNDER_WAY"),
    )
    for method, refused, reason in cases:
        refused.request_id = str(uuid4())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(stub, method)(refused, metadata=operator)
        assert reason_of(caught.value)[1] == reason, method
    reopening = pb.ReopenPeriodRequest(
        period="2013-01",
        reopenings=[pb.Reopening(org_id=str(org), number=1)],
        reason="a slip",
        request_id=str(uuid4()),
    )
    for _ in range(2):
        await stub.ReopenPeriod(reopening, metadata=service.token("service"))
    ahead = usage_event("ahead", org=org, seconds=int(datetime.now(UTC).timestamp()) + 3600)
    request = pb.IngestEventsRequest(events=[ahead], acknowledgement=pb.ACKNOWLEDGEMENT_COMMITTED)
    await stub.IngestEvents(request, metadata=service.token("service"))
    early = pb.RequeueDeadLettersRequest(filter=some, into_period="2013-01", request_id=str(uuid4()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.RequeueDeadLetters(early, metadata=operator)
    assert reason_of(caught.value) == ("INVALID_ARGUMENT", "INTO_PERIOD_TOO_EARLY")
