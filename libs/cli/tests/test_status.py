"""What `apportion status` says of the stream, and how long it waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from apportion.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.metering.v1 import metering_service_pb2_grpc as metering_grpc
from apportion_cli.commands import status
from apportion_client.drain import backlog_of, wait_until_closed, wait_until_drained
from apportion_client.failures import OutageTooLongError
from apportion_client.standing import standing_still
from apportion_common.metrics_server import MetricsServer
from apportion_common.standstill import DATABASE_AWAY, STREAM_AWAY, Standstills
from google.protobuf.timestamp_pb2 import Timestamp

AT = Timestamp(seconds=1_359_676_800)
PATIENCE_S = 30
"""Half the deadline of a call that nothing shortens."""
SINCE = "since 2013-02-01T00:00:00Z: why"


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("DURABLE", "stream flushes before it acknowledges: yes"),
        ("NOT_DURABLE", f"stream flushes before it acknowledges: NO, {SINCE}"),
        ("UNKNOWN", f"stream flushes before it acknowledges: NOT KNOWN, {SINCE}"),
        ("UNREACHABLE", f"stream does not answer, {SINCE}"),
    ],
)
def test_the_status_says_since_when_the_stream_cannot_be_relied_on(condition: str, said: str):
    answer = metering.GetPipelineStatusResponse(
        stream_durable=condition == "DURABLE",
        stream_condition=f"STREAM_CONDITION_{condition}",
        stream_condition_since=AT,
        stream_condition_detail="why",
    )
    assert status._stream(answer) == said


def test_the_backlog_on_a_stream_that_does_not_answer_is_not_taken_for_none():
    lanes = [metering.LaneStatus(lane=1, stream_seq=5, batch_seq=3, rated_batch_seq=2, posted_batch_seq=1)]
    unreachable = metering.GetPipelineStatusResponse(
        lanes=lanes, stream_condition=metering.STREAM_CONDITION_UNREACHABLE
    )
    assert backlog_of(unreachable).stored is None
    assert str(backlog_of(unreachable)) == "to store what the stream does not tell now, to rate 1 batches, to post 2"
    assert backlog_of(metering.GetPipelineStatusResponse(lanes=lanes)).stored == 0


async def test_a_wait_ends_in_its_time_although_the_service_does_not_answer():
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        services = cast(Any, SimpleNamespace(metering=metering_grpc.MeteringServiceStub(channel)))
        said: list[str] = []
        with pytest.raises(OutageTooLongError):
            await wait_until_drained(services, 0.3, lambda _: None, said.append)
        assert len(said) == 1


async def test_a_wait_for_a_close_ends_in_its_time_although_the_ledger_does_not_answer():
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        services = cast(Any, SimpleNamespace(ledger=ledger_grpc.LedgerServiceStub(channel)))
        with pytest.raises(OutageTooLongError):
            await wait_until_closed(services, "2013-01", [], 0.3, lambda: None)


async def test_what_stands_still_is_said_by_name_whatever_is_away():
    standstills = Standstills()
    standstills.set("database", {DATABASE_AWAY: "PostgreSQL does not answer: refused"})
    standstills.set("nats", {STREAM_AWAY: "NATS does not answer"})
    standstills.set("nats", {})
    well, ill = (
        MetricsServer("127.0.0.1:0", lambda: True),
        MetricsServer("127.0.0.1:0", lambda: False, details=standstills.lines),
    )
    async with well, ill, grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        settings = SimpleNamespace(
            addresses={"orgs": "127.0.0.1:9", "metering": "127.0.0.1:9", "ledger": "127.0.0.1:9"},
            probe_addresses={"orgs": f"127.0.0.1:{well.port}", "ledger": f"127.0.0.1:{ill.port}"},
        )
        services = cast(Any, SimpleNamespace(settings=settings, channel=lambda service: channel))
        lines = await standing_still(services)
    assert [line.partition(" since ")[0] for line in lines] == [
        "metering does not answer at 127.0.0.1:9",
        "ledger is not ready",
        "ledger, database: DATABASE_AWAY",
    ]
    assert "PostgreSQL does not answer" in lines[-1]
    assert lines[-1].endswith("(docs/runbook.md#database_away)")


async def test_a_wait_ends_in_its_time_although_the_service_takes_calls_and_answers_none():
    taken = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        await asyncio.sleep(PATIENCE_S)
        writer.close()

    silent = await asyncio.start_server(take, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        services = cast(Any, SimpleNamespace(metering=metering_grpc.MeteringServiceStub(channel)))
        with pytest.raises(OutageTooLongError):
            await asyncio.wait_for(wait_until_drained(services, 1, lambda _: None, lambda _: None), PATIENCE_S)
        assert taken.is_set()
    silent.close()
