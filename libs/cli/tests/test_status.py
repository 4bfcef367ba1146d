"""What `apportion status` says of the stream, and how long it waits."""

from __future__ import annotations

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
from google.protobuf.timestamp_pb2 import Timestamp

AT = Timestamp(seconds=1_359_676_800)
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
