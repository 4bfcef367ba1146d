"""Sending over a real channel: order per organisation, patience, and the counts of the answers."""

from __future__ import annotations

import asyncio
import sys
import time
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.metering.v1 import metering_service_pb2_grpc as metering_grpc
from apportion_cli.display import Bar
from apportion_cli.ingest.batches import WORKERS, Batcher
from apportion_cli.ingest.checkpoint import Checkpoint, Progress
from apportion_cli.ingest.events import ReadableEvents
from apportion_cli.ingest.rows import Row
from apportion_cli.ingest.sender import send
from apportion_client import failures
from apportion_client.failures import OUTAGE_S_MAX, OutageTooLongError
from apportion_common.errors import Unavailable
from apportion_common.grpc.status import abort
from derived_orgs import DerivedOrgs

TIME = "2013-01-01T10:17:00Z"
ORGS = "ABCDEFGHIJKL"
SINCE = "2013-02-01T00:00:00Z"


class Intake(metering_grpc.MeteringServiceServicer):
    """Takes events as metering does, as far as a client sees it."""

    def __init__(self) -> None:
        self.order: dict[str, list[str]] = {}
        self.unavailable = 0
        self.outage = 0
        self.refused_at_s: dict[str, float] = {}
        self.refusal: grpc.StatusCode | None = None
        self.refuse_after = 0
        self.in_flight: set[str] = set()
        self.calls = 0
        self.most_calls = 0

    async def IngestEvents(  # noqa: N802
        self, request: metering.IngestEventsRequest, context: Any
    ) -> metering.IngestEventsResponse:
        orgs = {event.org_id for event in request.events}
        assert not orgs & self.in_flight, "Two calls with the same organisation were in flight."
        if self.unavailable:
            self.unavailable -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if self.outage:
            self.outage -= 1
            self.refused_at_s |= dict.fromkeys(orgs, time.monotonic())
            await abort(context, Unavailable("STREAM_UNAVAILABLE", "No.", retry_after_s=1, unavailable_since=SINCE))
        for org in orgs & self.refused_at_s.keys():
            assert time.monotonic() - self.refused_at_s.pop(org) >= 1, "A call came sooner than it was to."
        self.calls += 1
        if self.refusal is not None and self.calls > self.refuse_after:
            await context.abort(self.refusal, "no")
        self.in_flight |= orgs
        self.most_calls = max(self.most_calls, len(self.in_flight))
        try:
            return await self._take(request)
        finally:
            self.in_flight -= orgs

    async def _take(self, request: metering.IngestEventsRequest) -> metering.IngestEventsResponse:
        await asyncio.sleep(0.001)
        rejections = []
        for index, event in enumerate(request.events):
            if event.sku == "bad":
                rejections.append(metering.EventRejection(index=index, reason="SKU_MALFORMED", message="No."))
            else:
                self.order.setdefault(event.org_id, []).append(event.request_id)
        return metering.IngestEventsResponse(
            accepted_count=len(request.events) - len(rejections), rejections=rejections
        )


@pytest.fixture
async def intake(monkeypatch):
    monkeypatch.setattr(failures, "RETRY_FIRST_S", 0.01)
    server, servicer = grpc.aio.server(), Intake()
    metering_grpc.add_MeteringServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        servicer.services = cast(Any, SimpleNamespace(metering=metering_grpc.MeteringServiceStub(channel)))
        yield servicer
    await server.stop(None)


def rows_of(count: int) -> list[Row]:
    return [Row(n, f"r-{n:05d}", ORGS[n * n % len(ORGS)], "", "ACT-SMS", "1", TIME) for n in range(1, count + 1)]


async def sent(
    intake: Intake, rows: list[Row], checkpoint: Checkpoint, skipped: int = 0, outage_s_max: float = OUTAGE_S_MAX
):
    cutter = Batcher(
        ReadableEvents(DerivedOrgs(), ""), metering.ACKNOWLEDGEMENT_ENQUEUED, 20, DerivedOrgs(), skipped_rows=skipped
    )
    bar = Bar("ingest", len(rows), "events", None)
    return await send(intake.services, rows, cutter, checkpoint, bar, outage_s_max)


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path, "hash", "", "here")


async def test_every_organisation_arrives_in_file_order(intake, checkpoint):
    tally = await sent(intake, rows_of(2_000), checkpoint)
    assert (tally.sent, tally.accepted, tally.rejected) == (2_000, 2_000, 0)
    assert sum(len(ids) for ids in intake.order.values()) == 2_000
    assert all(ids == sorted(ids) for ids in intake.order.values())
    assert intake.most_calls > 1 < WORKERS
    assert checkpoint.load() == Progress(2_000, finished=True)


async def test_a_service_that_cannot_be_reached_is_waited_for(intake, checkpoint):
    intake.unavailable = 5
    tally = await sent(intake, rows_of(200), checkpoint)
    assert tally.accepted == 200
    assert all(ids == sorted(set(ids)) for ids in intake.order.values())


async def test_an_outage_is_said_once_when_it_begins_and_once_when_it_is_over(intake, checkpoint, capsys):
    intake.outage = 6
    tally = await sent(intake, rows_of(400), checkpoint)
    assert tally.accepted == 400
    assert all(ids == sorted(set(ids)) for ids in intake.order.values())
    begun, over = (line for line in capsys.readouterr().out.splitlines() if not line.startswith("ingest: "))
    assert begun == f"No answer since {SINCE}: UNAVAILABLE STREAM_UNAVAILABLE: No. Trying again, for 12 h at most."
    assert over.startswith("Answered again, after ")


async def test_an_outage_that_lasts_too_long_ends_the_run_which_keeps_its_place(intake, checkpoint):
    rows = rows_of(400)
    intake.outage = sys.maxsize
    with pytest.raises(OutageTooLongError) as caught:
        await sent(intake, rows, checkpoint, outage_s_max=0.5)
    assert "UNAVAILABLE STREAM_UNAVAILABLE: No." in str(caught.value)
    intake.outage = 0
    skipped = checkpoint.start(resume=True)
    await asyncio.sleep(1)
    await sent(intake, rows[skipped:], checkpoint, skipped)
    assert checkpoint.load() == Progress(400, finished=True)


async def test_an_answer_to_a_call_from_before_the_outage_does_not_end_it():
    said: list[str] = []
    outage, answer_early, gone = failures.Outage(said.append), asyncio.Event(), asyncio.Event()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")

    async def early() -> None:
        await answer_early.wait()

    async def late() -> None:
        if not gone.is_set():
            gone.set()
            raise error

    first = asyncio.create_task(outage.retry(early))
    await asyncio.sleep(0)
    second = asyncio.create_task(outage.retry(late))
    await gone.wait()
    answer_early.set()
    await first
    assert len(said) == 1
    await second
    assert [line.split()[0] for line in said] == ["No", "Answered"]


async def test_rejected_events_are_named_by_their_row(intake, checkpoint):
    rows = rows_of(100)
    rows[41] = rows[41]._replace(sku="bad")
    rows[63] = rows[63]._replace(event_time="never")
    tally = await sent(intake, rows, checkpoint)
    rejections = checkpoint.rejected.first(100)
    assert [(one.row, one.reason) for one in rejections] == [(42, "SKU_MALFORMED"), (64, "TIME_MALFORMED")]
    assert tally.accepted == 98
    assert str(tally) == "98 enqueued, 2 rejected"


async def test_a_run_that_is_refused_keeps_its_place_and_the_next_one_goes_on_there(intake, checkpoint):
    rows = rows_of(2_000)
    intake.refusal, intake.refuse_after = grpc.StatusCode.FAILED_PRECONDITION, 30
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sent(intake, rows, checkpoint)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    skipped = checkpoint.start(resume=True)
    assert 0 < skipped < 2_000
    intake.refusal = None
    await sent(intake, rows[skipped:], checkpoint, skipped)
    assert {row.request_id for row in rows} == {one for ids in intake.order.values() for one in ids}
    # What was sent twice came again behind itself: the first arrivals are still in order.
    assert all(list(dict.fromkeys(ids)) == sorted(set(ids)) for ids in intake.order.values())
