"""`apportion status`: how far the pipeline is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering

from apportion_cli.client import CALL_TIMEOUT_S, Services, fail, patiently, run
from apportion_cli.display import progress, say, show_table

POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is under way: messages not stored, batches not rated, batches not posted."""

    stored: int
    rated: int
    posted: int

    def __str__(self) -> str:
        return f"to store {self.stored:,} messages, to rate {self.rated:,} batches, to post {self.posted:,}"


def backlog_of(answer: metering.GetPipelineStatusResponse) -> Backlog:
    """The backlog of all lanes."""
    return Backlog(
        sum(max(lane.stream_last_seq - lane.stream_seq, 0) for lane in answer.lanes),
        sum(lane.batch_seq - lane.rated_batch_seq for lane in answer.lanes),
        sum(lane.batch_seq - lane.posted_batch_seq for lane in answer.lanes),
    )


def status(
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait until everything is through.")] = 0,
    lanes: Annotated[bool, typer.Option("--lanes", help="Show every lane.")] = False,
) -> None:
    """Show the pipeline's backlog, dead letters and stopped lanes. Exit code 1 when a wait was in vain."""
    run(lambda services: _status(services, wait, lanes))


async def _status(services: Services, wait_s: int, lanes: bool) -> None:
    answer = await _wait(services, wait_s) if wait_s else await _ask(services)
    if lanes:
        rows = [
            (
                str(lane.lane),
                f"{lane.stream_seq:,}",
                f"{lane.stream_last_seq:,}",
                f"{lane.batch_seq:,}",
                f"{lane.rated_batch_seq:,}",
                f"{lane.posted_batch_seq:,}",
                lane.stopped_reason,
            )
            for lane in answer.lanes
        ]
        columns = (">lane", ">stored to", ">stream at", ">batches", ">rated", ">posted", "stopped")
        show_table("Lanes", columns, rows)
    say(f"events stored: {answer.event_count:,}")
    say("stream flushes before it acknowledges: " + ("yes" if answer.stream_durable else "NOT KNOWN"))
    for reason, count in sorted(answer.open_dead_letters.items()):
        say(f"open dead letters, {reason}: {count:,}")
    for lane in answer.lanes:
        if lane.stopped_reason:
            say(f"lane {lane.lane} has stopped: {lane.stopped_reason}", "red")
    say("drained" if answer.drained else f"under way: {backlog_of(answer)}")
    if wait_s and not answer.drained:
        fail(f"Not everything is through after {wait_s} s.")


async def _wait(services: Services, wait_s: int) -> metering.GetPipelineStatusResponse:
    deadline = time.monotonic() + wait_s
    with progress("wait", None, "looks") as bar:
        while True:
            answer = await _ask(services)
            if answer.drained or time.monotonic() > deadline:
                return answer
            bar.say(f"{answer.event_count:,} events stored; {backlog_of(answer)}")
            bar.advance(1)
            await asyncio.sleep(POLL_S)


async def _ask(services: Services) -> metering.GetPipelineStatusResponse:
    request = metering.GetPipelineStatusRequest()
    return await patiently(lambda: services.metering.GetPipelineStatus(request, timeout=CALL_TIMEOUT_S), say)
