"""Sends batches: one worker per group of lanes, each strictly in order, for as long as it takes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.failures import OUTAGE_S_MAX, Outage
from apportion_client.services import CALL_TIMEOUT_S, Services

from apportion_cli.display import Bar, counted, print_line
from apportion_cli.ingest.batches import WORKERS, Batch, Batcher
from apportion_cli.ingest.checkpoint import Checkpoint
from apportion_cli.ingest.rows import Row

QUEUED_BATCHES: Final = 8
"""Batches that wait for a worker before reading pauses."""

OUTCOMES: Final = {
    metering.ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH: (
        "PAYLOAD_MISMATCH",
        "It had other content than what was sent before under its request id, which stands.",
    ),
    metering.ENTRY_OUTCOME_KIND_DEAD_LETTERED: ("DEAD_LETTERED", "It was taken and is a dead letter."),
}
"""What becomes of events that are taken and not stored, as a row of the file says it."""
LOOKUP_ROWS: Final = 5_000
"""Rows whose organisations are asked about at once."""


@dataclass(slots=True)
class Tally:
    """What became of the events of one run."""

    committed: bool = False
    """Whether the answers said what was stored, and not only what is on the stream's disk."""
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    mismatches: int = 0
    dead_lettered: int = 0
    rejected: int = 0
    """Rows, by the client or by metering."""

    def count(self, batch: Batch, answer: metering.IngestEventsResponse) -> None:
        """Add a batch's answer."""
        self.sent += len(batch.rows)
        self.accepted += answer.accepted_count
        self.duplicates += answer.duplicate_count
        self.mismatches += answer.mismatch_count
        self.dead_lettered += answer.dead_letter_count

    def __str__(self) -> str:
        """Return the counts in words; those that only a stored batch's answer tells, where they are not zero."""
        parts = [f"{self.accepted:,} {'accepted' if self.committed else 'enqueued'}"]
        if self.duplicates:
            parts.append(counted(self.duplicates, "duplicate"))
        if self.mismatches:
            parts.append(f"{self.mismatches:,} with other content than before")
        if self.dead_lettered:
            parts.append(f"{self.dead_lettered:,} dead-lettered")
        return ", ".join([*parts, f"{self.rejected:,} rejected"])


async def send(
    services: Services,
    rows: Iterable[Row],
    batcher: Batcher,
    checkpoint: Checkpoint,
    bar: Bar,
    outage_s_max: float = OUTAGE_S_MAX,
) -> Tally:
    """Send the rows; return the counts. Rows that are not taken are in the checkpoint's logs as soon as that is known.

    An outage is waited for, and said when it begins and ends. Raises OutageTooLongError when one lasts for longer than
    `outage_s_max`, and what waiting does not help.
    """
    tally = Tally(batcher.committed)
    outage = Outage(print_line, outage_s_max)
    queues: list[asyncio.Queue[Batch | None]] = [asyncio.Queue(QUEUED_BATCHES) for _ in range(WORKERS)]

    def reject(row: Row, reason: str, message: str) -> None:
        tally.rejected += checkpoint.rejected.add([(row, reason, message)])

    async def read() -> None:
        left = iter(rows)
        while some := list(itertools.islice(left, LOOKUP_ROWS)):
            await outage.retry(partial(batcher.orgs.learn, {row.org for row in some}))
            for batch in batcher.fill(some, reject):
                await queues[batch.worker].put(batch)
        for batch in batcher.rest():
            await queues[batch.worker].put(batch)
        for queue in queues:
            await queue.put(None)

    async def work(queue: asyncio.Queue[Batch | None]) -> None:
        while (batch := await queue.get()) is not None:
            answer = await outage.retry(_call(services, batch))
            # The rows that were not taken are written before the checkpoint may pass them.
            tally.rejected += checkpoint.rejected.add(
                [(batch.rows[item.index], item.reason, item.message) for item in answer.rejections]
            )
            checkpoint.dead_lettered.add(
                [
                    (batch.rows[item.index], *OUTCOMES[item.outcome])
                    for item in answer.outcomes
                    if item.outcome in OUTCOMES
                ]
            )
            batcher.acknowledged(batch)
            tally.count(batch, answer)
            checkpoint.advance(batcher.acknowledged_rows)
            bar.advance(len(batch.rows), str(tally))

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            for queue in queues:
                group.create_task(work(queue))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    finally:
        checkpoint.save()
        checkpoint.close()
    checkpoint.finish(batcher.acknowledged_rows)
    return tally


def _call(services: Services, batch: Batch) -> Callable[[], Awaitable[metering.IngestEventsResponse]]:
    return lambda: services.metering.IngestEvents(batch.request, timeout=CALL_TIMEOUT_S)
