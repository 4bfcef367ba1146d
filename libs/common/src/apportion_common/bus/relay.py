"""The outbox relay: publishes what transactions have put into the outbox, at least once.

    select (locked) → publish → acknowledged → mark → commit

Killed anywhere before the commit, the rows are published again under the same message ids. Several relays of one
service share the work: each skips the rows that another one holds.

A row that is larger than its stream or the server takes is parked: left in the outbox, out of the way of the rows
behind it, and tried again every PARKED_FOR_MS, as the limit may have been raised.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from nats.aio.client import Client
from sqlalchemy import Row, text

from apportion_common import failpoints
from apportion_common.backoff import Backoff, until_stopped
from apportion_common.bus import metrics
from apportion_common.bus.publish import Outgoing, is_too_large, publish_all
from apportion_common.db.idempotency import purge_request_records
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.faults import classify
from apportion_common.seldom import Seldom
from apportion_common.settings import SERVICES

BATCH_ROWS: Final = 200
BUSY_POLL_MS: Final = 20
IDLE_POLL_MS: Final = 5_000
"""Between two looks at an empty outbox; what this process puts there wakes its relay at once."""
REFUSED_POLL_MS: Final = 500
"""Before rows are tried again that no stream took while others were published."""
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 5
"""Longest wait for a database or a stream that is away."""
PUBLISHED_RETENTION_HOURS: Final = 24
PURGE_ROWS: Final = 1_000
"""Most rows that one purge deletes."""
PURGE_EVERY_MS: Final = 60_000
PARKED_FOR_MS: Final = 60_000
PARKED_ROWS_MAX: Final = 1_000
"""Parked rows that a relay remembers; with more all are tried again."""

_POINTS: Final = ("after_execute", "after_publish", "before_ack", "after_commit")
for _service in SERVICES:
    for _point in _POINTS:
        failpoints.register(f"{_service}.relay.{_point}")

_SELECT: Final = text(
    "SELECT outbox_id, subject, msg_id, payload, headers,"
    " extract(epoch FROM clock_timestamp() - created_at)::bigint AS age_s"
    " FROM outbox WHERE published_at IS NULL AND outbox_id <> ALL(CAST(:parked AS uuid[]))"
    " ORDER BY created_at, outbox_id LIMIT :rows FOR UPDATE SKIP LOCKED"
)
_MARK: Final = text("UPDATE outbox SET published_at = clock_timestamp() WHERE outbox_id = ANY(:ids)")
_PURGE: Final = text(
    "DELETE FROM outbox WHERE outbox_id IN"
    " (SELECT outbox_id FROM outbox WHERE published_at < clock_timestamp() - CAST(:age AS interval)"
    " ORDER BY published_at LIMIT :rows FOR UPDATE SKIP LOCKED)"
)

_log = logging.getLogger(__name__)


class OutboxRelay:
    """Publishes a service's outbox until it is stopped."""

    def __init__(self, database: Database, nats: Client, *, batch_rows: int = BATCH_ROWS) -> None:
        """Relay the outbox of a database through a connection; `batch_rows` are held in one transaction."""
        self._database = database
        self._service = database.service
        self._js = nats.jetstream()
        self._batch_rows = batch_rows
        self._parked: set[UUID] = set()
        self._seldom = Seldom()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set; waits out lost databases and streams, raises anything else."""
        failures = 0
        sleep = until_stopped(stop)
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        wait_ms = BUSY_POLL_MS
        now_s = asyncio.get_running_loop().time
        purge_at_s, unpark_at_s = now_s(), now_s() + PARKED_FOR_MS / 1_000
        while not stop.is_set():
            if now_s() >= unpark_at_s or len(self._parked) > PARKED_ROWS_MAX:
                self._parked.clear()
                unpark_at_s = now_s() + PARKED_FOR_MS / 1_000
            # Before the look: what is committed behind it sets it again.
            self._database.outbox_filled.clear()
            try:
                found, published = await self.relay_once()
                if now_s() >= purge_at_s:
                    await self.purge_once()
                    purge_at_s = now_s() + PURGE_EVERY_MS / 1_000
            except Exception as error:
                if classify(error) != "infrastructure":
                    raise
                unsaid = self._seldom.may_say(type(error).__name__)
                if unsaid is not None:
                    fault = f"{type(error).__name__}: {error}"
                    _log.warning("The outbox relay of %s waits (unsaid: %d): %s", self._service, unsaid, fault)
                found, published = 1, 0
            if found and not published:
                failures += 1
                wait_ms = round(backoff.delay_s(failures) * 1_000)
            else:
                failures = 0
                wait_ms = self._next_wait_ms(found, published, wait_ms)
            if found:
                await sleep(wait_ms / 1_000)
            else:
                await self._wait_for_rows(stop, wait_ms)

    async def _wait_for_rows(self, stop: asyncio.Event, wait_ms: int) -> None:
        """Wait, but no longer than until `stop` is set or this process has filled the outbox."""
        waits = [asyncio.create_task(event.wait()) for event in (stop, self._database.outbox_filled)]
        try:
            await asyncio.wait(waits, timeout=wait_ms / 1_000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def relay_once(self) -> tuple[int, int]:
        """Publish one batch; return how many rows were taken and how many of them were published."""
        async with self._database.transaction() as tx:
            rows = (await tx.execute(_SELECT, {"rows": self._batch_rows, "parked": list(self._parked)})).all()
            metrics.OUTBOX_AGE_S.labels(self._service).set(rows[0].age_s if rows else 0)
            if not rows:
                return 0, 0
            failpoints.hit(f"{self._service}.relay.after_execute", rows=len(rows))
            published = await self._publish(rows)
            metrics.OUTBOX_PARKED.labels(self._service).set(len(self._parked))
            failpoints.hit(f"{self._service}.relay.after_publish", rows=len(published))
            await self._mark(tx, published)
            failpoints.hit(f"{self._service}.relay.before_ack", rows=len(published))
        failpoints.hit(f"{self._service}.relay.after_commit", rows=len(published))
        metrics.PUBLISHED.labels(self._service).inc(len(published))
        metrics.PUBLISH_FAILED.labels(self._service).inc(len(rows) - len(published))
        return len(rows), len(published)

    async def purge_once(self, age: timedelta = timedelta(hours=PUBLISHED_RETENTION_HOURS)) -> int:
        """Delete at most PURGE_ROWS published rows older than `age`, and as many old request records."""
        async with self._database.transaction() as tx:
            deleted = (await tx.execute(_PURGE, {"age": age, "rows": PURGE_ROWS})).rowcount
        await purge_request_records(self._database)
        return deleted

    def _next_wait_ms(self, found: int, published: int, last_ms: int) -> int:
        """Return the wait before the next look: none after a full batch, short while rows come, growing while
        none do.
        """
        if found > published:
            # Some rows have no stream that takes them; the others must not wait long for that.
            return REFUSED_POLL_MS
        if found == self._batch_rows:
            return 0
        return BUSY_POLL_MS if found else min(max(last_ms, BUSY_POLL_MS) * 2, IDLE_POLL_MS)

    async def _publish(self, rows: Sequence[Row[Any]]) -> list[UUID]:
        """Publish rows and return the ids of those that the stream acknowledged."""
        messages = [Outgoing(row.subject, row.payload, row.msg_id, row.headers) for row in rows]
        outcomes = await publish_all(self._js, messages)
        published = []
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, Exception) and is_too_large(outcome):
                self._parked.add(row.outbox_id)
                _log.error(
                    "Outbox row %s to %s is parked: MESSAGE_TOO_LARGE, its %d bytes are more than is taken there.",
                    row.outbox_id,
                    row.subject,
                    len(row.payload),
                )
            elif isinstance(outcome, Exception):
                unsaid = self._seldom.may_say((row.subject, type(outcome).__name__))
                if unsaid is not None:
                    _log.warning(
                        "Outbox row %s to %s was not acknowledged (unsaid: %d): %s: %s",
                        row.outbox_id,
                        row.subject,
                        unsaid,
                        type(outcome).__name__,
                        outcome,
                    )
            else:
                published.append(row.outbox_id)
                if outcome.duplicate:
                    metrics.PUBLISHED_AGAIN.labels(self._service).inc()
        return published

    async def _mark(self, tx: Transaction, published: list[UUID]) -> None:
        if published:
            await tx.execute(_MARK, {"ids": published})
