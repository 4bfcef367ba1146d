"""`apportion ingest`: send a file of usage."""

from __future__ import annotations

import itertools
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.failures import OUTAGE_S_MAX
from apportion_client.local_stack import find_data_folder
from apportion_client.services import Services

from apportion_cli.display import counted, print_line, progress
from apportion_cli.exit_codes import DONE, USAGE_REFUSED
from apportion_cli.ingest.batches import Batcher, EventAdder
from apportion_cli.ingest.checkpoint import Checkpoint
from apportion_cli.ingest.events import CompactEvents, ReadableEvents
from apportion_cli.ingest.orgs import FoundOrgs
from apportion_cli.ingest.rows import FileProblem, FileSummary, inspect, read_rows
from apportion_cli.ingest.sender import send
from apportion_cli.options import PrefixOption
from apportion_cli.run import errors, fail, run

S_PER_MINUTE = 60
BATCH_MAX = 5_000
"""Events of one call that metering takes at most."""
SHOWN_ROWS = 50
"""Of the rows that were not taken are shown."""


class Ack(StrEnum):
    """When metering is to answer."""

    ENQUEUED = "enqueued"
    COMMITTED = "committed"


_ACKNOWLEDGEMENTS = {
    Ack.ENQUEUED: metering.ACKNOWLEDGEMENT_ENQUEUED,
    Ack.COMMITTED: metering.ACKNOWLEDGEMENT_COMMITTED,
}


def ingest(
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON, plain or gzip.", exists=True, dir_okay=False)],
    batch: Annotated[int, typer.Option(min=1, max=BATCH_MAX, help="Events a call.")] = 1_000,
    ack: Annotated[
        Ack, typer.Option(help="Answer when on the stream's disk, or when stored and deduplicated.")
    ] = Ack.ENQUEUED,
    prefix: PrefixOption = "",
    repeat_each: Annotated[int, typer.Option(min=1, help="Send every row this many times.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Send the first rows only.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where a run of this file was ended.")] = True,
    compact: Annotated[bool, typer.Option("--compact", help="Send compact events; request ids must be UUIDs.")] = False,
    send_unknown: Annotated[
        bool,
        typer.Option(
            "--send-unknown",
            help="Send rows of organisations that nobody has made yet, too; they become dead letters.",
        ),
    ] = False,
    rejected: Annotated[
        Path | None,
        typer.Option(
            help="Write rejected rows to this CSV file, too, to be mended and sent; "
            "they are beside the file's checkpoint in any case."
        ),
    ] = None,
    outage_max: Annotated[
        int, typer.Option(min=0, help="Minutes that an outage may last; the same command goes on after a longer one.")
    ] = int(OUTAGE_S_MAX) // S_PER_MINUTE,
) -> None:
    """Send a file of usage, in its order for each organisation. Sending it again is safe.

    While metering or its stream is away it waits, says since when, and goes on by itself. Exit code 3 when a row was
    rejected, had other content than before under its request id, or (under --ack committed) was dead-lettered.
    """
    if rejected is not None and rejected.exists() and rejected.samefile(file):
        fail(f"{rejected} is the file that is to be sent; name another one for the rejected rows.")
    outage_s_max = outage_max * S_PER_MINUTE
    try:
        summary = inspect(file)
        checkpoint, refused_before = run(
            lambda services: _ingest(
                services,
                file,
                summary,
                batch,
                ack,
                prefix,
                repeat_each,
                limit,
                resume,
                compact,
                send_unknown,
                rejected,
                outage_s_max,
            )
        )
    except FileProblem as problem:
        fail(str(problem))
    _tell_refused(checkpoint, refused_before, rejected)
    refused = len(checkpoint.rejected) + len(checkpoint.dead_lettered)
    raise typer.Exit(USAGE_REFUSED if refused else DONE)


async def _ingest(
    services: Services,
    file: Path,
    summary: FileSummary,
    batch: int,
    ack: Ack,
    prefix: str,
    repeat_each: int,
    limit: int | None,
    resume: bool,
    compact: bool,
    send_unknown: bool,
    rejected: Path | None,
    outage_s_max: float,
) -> tuple[Checkpoint, int]:
    """Send the file and say how many events were; return its checkpoint, and how many rows of an earlier run that was
    ended were not taken.
    """
    checkpoint = Checkpoint(find_data_folder(), summary.sha256, prefix, services.settings.addresses["metering"])
    before = checkpoint.load()
    skipped = checkpoint.start(resume, rejected)
    refused_before = len(checkpoint.rejected) + len(checkpoint.dead_lettered)
    if skipped:
        print_line(f"An earlier run was ended: going on after row {skipped:,}.")
    elif before.finished:
        print_line(
            f"This file was sent before, up to row {before.acknowledged_rows:,}. It is sent again: what is stored "
            "stays as it is, and counts as duplicate when it comes."
        )
    orgs = FoundOrgs(services, prefix, send_unknown=send_unknown)
    events: EventAdder = CompactEvents(orgs, prefix) if compact else ReadableEvents(orgs, prefix)
    batcher = Batcher(events, _ACKNOWLEDGEMENTS[ack], batch, orgs, repeat_each, skipped)
    rows = itertools.islice(read_rows(file), skipped, limit if limit is None else max(limit, skipped))
    last = summary.row_count if limit is None else min(limit, summary.row_count)
    try:
        with progress("ingest", max(last - skipped, 0) * repeat_each, "events") as bar:
            tally = await send(services, rows, batcher, checkpoint, bar, outage_s_max)
            rate = int(tally.sent / max(bar.elapsed_s, 0.001))
            sent = f"{counted(tally.sent, 'event')} sent in {bar.elapsed_s:.1f} s ({rate:,} events/s)"
    except BaseException:
        if len(checkpoint.rejected):
            errors.print(f"{counted(len(checkpoint.rejected), 'row')} rejected so far: {checkpoint.rejected.file}")
        raise
    print_line(f"{sent}: {tally}.")
    if not tally.committed and tally.sent:
        print_line(
            "Enqueued is on the stream's disk and not stored yet: 'apportion status --wait' tells of dead letters, "
            "--ack committed of duplicates, too."
        )
    return checkpoint, refused_before


def _tell_refused(checkpoint: Checkpoint, refused_before: int, copy: Path | None) -> None:
    """Say which rows were not taken and what to do, by this run and by those that were ended before it."""
    if refused_before:
        print_line(f"{counted(refused_before, 'row')} of these were not taken by the run that was ended.", "red")
    for log in (checkpoint.rejected, checkpoint.dead_lettered):
        for row, reason, message in log.first(SHOWN_ROWS):
            print_line(f"row {row:,}: {reason}: {message}", "red")
        if len(log) > SHOWN_ROWS:
            print_line(f"… and {len(log) - SHOWN_ROWS:,} more", "red")
    if count := len(checkpoint.rejected):
        file = checkpoint.rejected.file if copy is None else copy
        print_line(f"{counted(count, 'rejected row')} with what is wrong: {file}. Mend that file and send it.")
    elif copy is not None:
        print_line(f"No row was rejected; {copy} is empty.")
    if count := len(checkpoint.dead_lettered):
        print_line(
            f"{counted(count, 'row')} taken and not charged: {checkpoint.dead_lettered.file}; "
            "see 'apportion dead-letters list'."
        )
