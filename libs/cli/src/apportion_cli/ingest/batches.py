"""Batches of rows, cut so that an organisation's rows stay in file order.

Rows go to one of a few workers by their organisation's lane; a worker sends its batches strictly one after the
other. So several batches are in flight only where they hold different organisations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_common.ids import lane_of

from apportion_cli.ingest.orgs import OrgIds
from apportion_cli.ingest.rows import Row, RowRejected

WORKERS: Final = 4
STALE_BATCHES: Final = 16
"""A batch is sent though not full when this many batches' worth of rows came after its first."""


class EventAdder(Protocol):
    """Adds a row to a request as an event."""

    def add(self, request: metering.IngestEventsRequest, row: Row) -> None: ...


@dataclass(slots=True)
class Batch:
    """One call, and the rows that its events came from."""

    worker: int
    request: metering.IngestEventsRequest
    rows: list[Row] = field(default_factory=list)


class Batcher:
    """Cuts rows into batches and knows below which row everything is acknowledged."""

    def __init__(
        self,
        events: EventAdder,
        acknowledgement: metering.Acknowledgement,
        size: int,
        orgs: OrgIds,
        repeat: int = 1,
        skipped_rows: int = 0,
    ) -> None:
        """Batches of `size` events, each row `repeat` times, after rows that were acknowledged before."""
        self._events = events
        self._acknowledgement = acknowledgement
        self._size = size
        self.orgs = orgs
        self._repeat = repeat
        self._workers: dict[str, int] = {}
        self._open: dict[int, Batch] = {}
        self._sent: list[deque[Batch]] = [deque() for _ in range(WORKERS)]
        self.rows_read = skipped_rows
        self.committed = acknowledgement == metering.ACKNOWLEDGEMENT_COMMITTED

    def fill(self, rows: Iterable[Row], reject: Callable[[Row, str, str], None]) -> Iterator[Batch]:
        """Yield the batches that rows make full; the organisations of the rows have been asked about.

        `reject` a row that is no event, with reason and message.
        """
        for row in rows:
            self.rows_read = row.number
            for _ in range(self._repeat):
                try:
                    batch = self._batch_of(row.org)
                    self._events.add(batch.request, row)
                except RowRejected as rejected:
                    reject(row, rejected.reason, rejected.message)
                    break
                batch.rows.append(row)
                if len(batch.rows) >= self._size:
                    yield self._send(batch)
                    yield from self._stale(row.number)

    def rest(self) -> Iterator[Batch]:
        """Yield the batches that are not full, after the last row."""
        yield from [self._send(batch) for batch in list(self._open.values()) if batch.rows]

    def acknowledged(self, batch: Batch) -> None:
        """Note that a worker's oldest batch under way was answered."""
        assert self._sent[batch.worker].popleft() is batch

    @property
    def acknowledged_rows(self) -> int:
        """Rows below which (this one included) everything is acknowledged or rejected."""
        waiting = [sent[0].rows[0].number for sent in self._sent if sent]
        waiting += [batch.rows[0].number for batch in self._open.values() if batch.rows]
        return min(waiting) - 1 if waiting else self.rows_read

    def _batch_of(self, org: str) -> Batch:
        worker = self._workers.get(org)
        if worker is None:
            worker = self._workers[org] = lane_of(self.orgs.id_of(org).bytes) % WORKERS
        batch = self._open.get(worker)
        if batch is None:
            request = metering.IngestEventsRequest(acknowledgement=self._acknowledgement)
            batch = self._open[worker] = Batch(worker, request)
        return batch

    def _stale(self, row: int) -> list[Batch]:
        limit = row - STALE_BATCHES * self._size
        return [self._send(batch) for batch in list(self._open.values()) if batch.rows and batch.rows[0].number < limit]

    def _send(self, batch: Batch) -> Batch:
        del self._open[batch.worker]
        self._sent[batch.worker].append(batch)
        return batch
