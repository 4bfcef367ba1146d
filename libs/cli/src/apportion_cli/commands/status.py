"""`apportion status`: how far the pipeline is."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.drain import backlog_of, pipeline_status, wait_until_drained
from apportion_client.failures import OutageTooLongError
from apportion_client.services import Services
from apportion_client.standing import standing_still

from apportion_cli.display import counted, print_line, progress, show_table, when
from apportion_cli.exit_codes import USAGE_REFUSED
from apportion_cli.run import fail, run

ANSWER_S_MAX: Final = 10.0
"""How long a look without a wait tries to get an answer."""
_FLUSHES: Final = {metering.STREAM_CONDITION_DURABLE: "yes", metering.STREAM_CONDITION_NOT_DURABLE: "NO"}


def status(
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait until everything is through.")] = 0,
    lanes: Annotated[bool, typer.Option("--lanes", help="Show every lane.")] = False,
    allow_dead_letters: Annotated[
        bool, typer.Option("--allow-dead-letters", help="End with exit code 0 though dead letters are open.")
    ] = False,
) -> None:
    """Show the pipeline's backlog, dead letters, stopped lanes, and what stands still, by name.

    Ends after the wait, or after 10 seconds without one, whatever is away. Exit code 1 when a wait was in vain, and
    when the pipeline's state could not be had; 3 when after a wait all is through and dead letters are open.
    """
    run(lambda services: _status(services, wait, lanes, allow_dead_letters))


async def _status(services: Services, wait_s: int, lanes: bool, allow_dead_letters: bool) -> None:
    try:
        answer = await _wait(services, wait_s) if wait_s else await pipeline_status(services, print_line, ANSWER_S_MAX)
    except OutageTooLongError as error:
        for line in await standing_still(services):
            print_line(line, "red")
        fail(f"The pipeline's state is not known. {error}")
    _show(answer, lanes)
    for line in await standing_still(services):
        print_line(line, "red")
    if wait_s and not answer.drained:
        fail(f"Not everything is through after {wait_s} s.")
    if wait_s and answer.open_dead_letters and not allow_dead_letters:
        count = sum(answer.open_dead_letters.values())
        fail(
            f"{counted(count, 'dead letter')} open: usage that is not charged; see 'apportion dead-letters list'.",
            USAGE_REFUSED,
        )


def _show(answer: metering.GetPipelineStatusResponse, lanes: bool) -> None:
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
    print_line(f"events stored: {answer.event_count:,}")
    print_line(_stream(answer))
    for reason, count in sorted(answer.open_dead_letters.items()):
        print_line(f"open dead letters, {reason}: {count:,}")
    for lane in answer.lanes:
        if lane.stopped_reason:
            print_line(f"lane {lane.lane} has stopped: {lane.stopped_reason}", "red")
    print_line("drained" if answer.drained else f"under way: {backlog_of(answer)}")


def _stream(answer: metering.GetPipelineStatusResponse) -> str:
    """Return whether the stream can be relied on; when it cannot, since when and why."""
    said = "stream flushes before it acknowledges: " + _FLUSHES.get(answer.stream_condition, "NOT KNOWN")
    if answer.stream_condition == metering.STREAM_CONDITION_UNREACHABLE:
        said = "stream does not answer"
    if answer.stream_durable:
        return said
    return f"{said}, since {when(answer.stream_condition_since)}: {answer.stream_condition_detail}"


async def _wait(services: Services, wait_s: int) -> metering.GetPipelineStatusResponse:
    with progress("wait", None, "looks") as bar:

        def show(answer: metering.GetPipelineStatusResponse) -> None:
            bar.show_note(f"{answer.event_count:,} events stored; {backlog_of(answer)}")
            bar.advance(1)

        return await wait_until_drained(services, wait_s, show, print_line)
