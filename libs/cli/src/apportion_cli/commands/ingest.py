"""`apportion ingest`: send a file of usage."""

from __future__ import annotations

import csv
import itertools
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.failures import OUTAGE_S_MAX
from apportion_client.local_stack import find_data_folder
from apportion_client.services import Services

from apportion_cli.display import print_line, progress
from apportion_cli.ingest.batches import Batcher, EventAdder, Rejection
from apportion_cli.ingest.checkpoint import Checkpoint
from apportion_cli.ingest.events import CompactEvents, ReadableEvents
from apportion_cli.ingest.orgs import FoundOrgs
from apportion_cli.ingest.rows import FileProblem, FileSummary, inspect, read_rows
from apportion_cli.ingest.sender import SHOWN_REJECTIONS, Tally, send
from apportion_cli.options import PrefixOption
from apportion_cli.run import fail, run

S_PER_MINUTE = 60
BATCH_MAX = 5_000
"""Events of one call that metering takes at most."""


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
    rejected: Annotated[Path | None, typer.Option(help="Write the rejected rows to this CSV file.")] = None,
    outage_max: Annotated[
        int, typer.Option(min=0, help="Minutes that an outage may last; the same command goes on after a longer one.")
    ] = int(OUTAGE_S_MAX) // S_PER_MINUTE,
) -> None:
    """Send a file of usage, in its order for each organisation. Sending it again is safe.

    While metering or its stream is away it waits, says since when, and goes on by itself.
    """
    outage_s_max = outage_max * S_PER_MINUTE
    try:
        summary = inspect(file)
        tally, rejections, seconds = run(
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
                outage_s_max,
            )
        )
    except FileProblem as problem:
        fail(str(problem))
    rate = int(tally.sent / max(seconds, 0.001))
    print_line(f"{tally.sent:,} events sent in {seconds:.1f} s ({rate:,} events/s): {tally.text(len(rejections))}.")
    _show_rejections(rejections, rejected)
    if rejections:
        raise typer.Exit(1)


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
    outage_s_max: float,
) -> tuple[Tally, list[Rejection], float]:
    checkpoint = Checkpoint(find_data_folder(), summary.sha256, prefix, services.settings.addresses["metering"])
    skipped = checkpoint.start(resume)
    if skipped:
        print_line(f"An earlier run was ended: going on after row {skipped:,}.")
    orgs = FoundOrgs(services, prefix, send_unknown=send_unknown)
    events: EventAdder = CompactEvents(orgs, prefix) if compact else ReadableEvents(orgs, prefix)
    batcher = Batcher(events, _ACKNOWLEDGEMENTS[ack], batch, orgs, repeat_each, skipped)
    rows = itertools.islice(read_rows(file), skipped, limit if limit is None else max(limit, skipped))
    last = summary.row_count if limit is None else min(limit, summary.row_count)
    with progress("ingest", max(last - skipped, 0) * repeat_each, "events") as bar:
        tally, rejections = await send(services, rows, batcher, checkpoint, bar, outage_s_max)
        return tally, rejections, bar.elapsed_s


def _show_rejections(rejections: list[Rejection], file: Path | None) -> None:
    for row, reason, message in rejections[:SHOWN_REJECTIONS]:
        print_line(f"row {row:,}: {reason}: {message}", "red")
    if len(rejections) > SHOWN_REJECTIONS:
        print_line(f"… and {len(rejections) - SHOWN_REJECTIONS:,} more; --rejected FILE writes them all.", "red")
    if file is not None:
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("row", "reason", "message"))
            writer.writerows(rejections)
        print_line(f"{len(rejections):,} rejected rows are in {file}.")
