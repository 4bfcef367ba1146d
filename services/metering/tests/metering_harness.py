"""Metering on real servers: a migrated database and a NATS server that flushes before it acknowledges."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from apportion.metering.v1 import lane_pb2
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion_client.lane_messages import expand_accepted
from apportion_common.bus.connection import connect
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import SystemClock
from apportion_common.db.idempotency import mutation
from apportion_common.db.unit_of_work import Database
from apportion_common.ids import lane_of
from apportion_common.lanes.model import LaneMessage, LaneOutcome, LanePosition
from apportion_common.protos import pack_int
from apportion_common.topology import STREAMS, WRITER_ROLE
from apportion_dev.local.keys import LocalCa
from apportion_dev.local.nats import LocalNats
from apportion_dev.local.ports import LOOPBACK
from apportion_dev.testing.clocks import FixedClock
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_metering.app.dead_letters import DeadLetters
from apportion_metering.app.periods import Closing, Periods
from apportion_metering.app.usage_events import IngestResult
from apportion_metering.domain.content import content_hash
from apportion_metering.domain.dead_letters import DeadLetterFilter
from apportion_metering.rpc.messages import compact_from_message, readable_from_message
from apportion_metering.wiring import Parts, make_parts
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from sqlalchemy import text

ORG = UUID("11111111-1111-4111-8111-111111111111")
OTHER_ORG = UUID("22222222-2222-4222-8222-222222222222")
NOW_US = 1_359_676_800_000_000
"""2013-02-01T00:00:00Z."""
STREAM_BYTES_MAX = 64 * 1024 * 1024
PATIENCE_S = 60
LEASE_S = 3


def intake_event(
    request_id: str,
    *,
    org: UUID = ORG,
    sku: str = "ACT-SMS",
    quantity: int = 1,
    at_us: int = NOW_US,
    metadata: dict[str, str] | None = None,
) -> lane_pb2.IntakeEvent:
    """An event as intake puts it on its lane; `quantity` in whole units."""
    scaled = quantity * 10**9
    labels = metadata or {}
    return lane_pb2.IntakeEvent(
        org_id=org.bytes,
        request_id=request_id,
        sku=sku,
        quantity=pack_int(scaled),
        event_time_us=at_us,
        metadata=labels,
        content_hash=content_hash(org.bytes, b"", sku, scaled, at_us, labels),
        source=pb.EVENT_SOURCE_BACKEND,
    )


def intake_message(*events: lane_pb2.IntakeEvent, received_at_us: int = NOW_US) -> lane_pb2.IntakeMessage:
    """A message of those events."""
    message = lane_pb2.IntakeMessage(received_at_us=received_at_us, producer="test")
    for event in events:
        message.entries.add().event.CopyFrom(event)
    return message


def usage_event(
    request_id: str, *, org: UUID | str = ORG, sku: str = "ACT-SMS", quantity: str = "1", seconds: int = NOW_US // 10**6
) -> pb.UsageEvent:
    """An event as a producer writes it."""
    event = pb.UsageEvent(org_id=str(org), request_id=request_id, sku=sku, source=pb.EVENT_SOURCE_BACKEND)
    event.quantity.value = quantity
    event.event_time.seconds = seconds
    return event


async def requeue(dead_letters: DeadLetters, wanted: DeadLetterFilter | None = None, *, into_period: str = "") -> int:
    """Requeue dead letters, all unless some are wanted, under a request id of their own; return how many."""
    call = mutation(
        pb.RequeueDeadLettersRequest(request_id=str(uuid4())),
        lambda count: pb.RequeueDeadLettersResponse(requeued_count=count),
    )
    answer = await dead_letters.requeue(
        call, wanted or DeadLetterFilter(), "op", into_period=into_period, everything=wanted is None
    )
    return answer.requeued_count


async def discard(dead_letters: DeadLetters, wanted: DeadLetterFilter, reason: str) -> int:
    """Discard dead letters under a request id of their own; return how many."""
    call = mutation(
        pb.DiscardDeadLettersRequest(request_id=str(uuid4())),
        lambda count: pb.DiscardDeadLettersResponse(discarded_count=count),
    )
    return (await dead_letters.discard(call, wanted, reason)).discarded_count


async def close_period(periods: Periods, period: str, org_ids: Sequence[UUID], *, force: bool = False) -> list[UUID]:
    """Close a period, for all where none are named, under a request id of its own; return who never had usage."""
    call = mutation(
        pb.ClosePeriodRequest(request_id=str(uuid4())),
        lambda orgs: pb.ClosePeriodResponse(org_ids_without_usage=map(str, orgs)),
    )
    closing = Closing(period, org_ids, all_orgs=not org_ids, force=force, reason="a test" if force else "")
    return [UUID(org_id) for org_id in (await periods.close(call, closing, "op")).org_ids_without_usage]


async def reopen_period(periods: Periods, period: str, *reopenings: tuple[UUID, int]) -> None:
    """Reopen a period under a request id of its own."""
    call = mutation(pb.ReopenPeriodRequest(request_id=str(uuid4())), lambda _: pb.ReopenPeriodResponse())
    await periods.reopen_period(call, period, reopenings, "a test", "orgs")


async def rows_of(database: Database, query: str, parameters: dict[str, Any]) -> list[Any]:
    """Return the rows of a query."""
    async with database.read() as connection:
        return list(await connection.execute(text(query), parameters))


@dataclass
class LaneHarness:
    """The lane processors and their tables, driven batch by batch without a stream or a connection to one."""

    database: Database
    lane: int = lane_of(ORG.bytes)
    position: LanePosition | None = None
    stream_seq: int = 0

    def __post_init__(self) -> None:
        clock = FixedClock(datetime.fromtimestamp(NOW_US // 10**6, UTC))
        parts = make_parts(self.database, Client(), clock, monitor_url=None, worker_id="none", lease_s=LEASE_S)
        self.events, self.dead_letters, self.periods = parts.events, parts.dead_letters, parts.periods
        self.writer, self.rated, self.posted = parts.writer, parts.rated, parts.posted
        self.position = self.position or LanePosition(self.lane, 0, 1)

    def message(self, data: bytes) -> LaneMessage[Any]:
        """Return a message as the lane's reader passes it on."""
        self.stream_seq += 1
        value, weight = self.writer.decode(data)
        return LaneMessage(self.stream_seq, data, value, weight)

    async def write(self, *messages: lane_pb2.IntakeMessage | bytes) -> lane_pb2.AcceptedBatch:
        """Write one batch and return what pricing is sent."""
        read = [self.message(m if isinstance(m, bytes) else m.SerializeToString()) for m in messages]
        assert self.position is not None
        async with self.database.transaction() as tx:
            (outcome,) = await self.writer.process(tx, [(self.position, read)])
        return await self._advance(outcome)

    async def bisect(self, message: lane_pb2.IntakeMessage, error: Exception) -> lane_pb2.AcceptedBatch:
        """Write a message that cannot be written as a whole."""
        assert self.position is not None
        async with self.database.transaction() as tx:
            read = self.message(message.SerializeToString())
            outcome = await self.writer.process_failed(tx, self.position, read, error)
        return await self._advance(outcome)

    async def receive(self, processor: Any, data: bytes) -> None:
        """Apply a receipt."""
        value, weight = processor.decode(data)
        async with self.database.transaction() as tx:
            position = LanePosition(self.lane, value.batch_seq - 1, 1)
            await processor.process(tx, [(position, [LaneMessage(1, data, value, weight)])])

    async def rows(self, query: str, **parameters: Any) -> list[Any]:
        """Return the rows of a query."""
        return await rows_of(self.database, query, parameters)

    async def _advance(self, outcome: LaneOutcome) -> lane_pb2.AcceptedBatch:
        assert outcome.after_commit is not None
        await outcome.after_commit()
        self.position = LanePosition(self.lane, outcome.batch_seq, outcome.next_entry_seq)
        (output,) = outcome.outputs
        return expand_accepted(lane_pb2.AcceptedBatch.FromString(output.payload))


def start_nats(folder: Path, *, sync_always: bool) -> Iterator[tuple[LocalNats, NatsAccess]]:
    """Start a packaged NATS server until the generator ends."""
    from pydantic import SecretStr

    now = SystemClock().now()
    authority = LocalCa.create_or_load(folder / "ca", now)
    certificate = authority.issue_server_certificate([LOOPBACK, "localhost"], now, "nats")
    password = secrets.token_urlsafe(16)
    server = LocalNats(folder / "nats", users={"test": password}, certificate=certificate, sync_always=sync_always)
    server.start()
    try:
        yield server, NatsAccess(server.url, "test", SecretStr(password), authority.certificate_file)
    finally:
        server.destroy()


@dataclass
class MeteringHarness:
    """Everything of the service but its gRPC server, on real servers."""

    database: Database
    client: Client
    access: NatsAccess
    monitor_url: str

    def __post_init__(self) -> None:
        self.js = self.client.jetstream()
        self.clock = SystemClock()
        self.parts = self._parts(self.client, "harness")
        self.stream, self.dead_letters = self.parts.intake, self.parts.dead_letters
        self.periods, self.lanes = self.parts.periods, self.parts.lanes

    def _parts(self, client: Client, worker_id: str) -> Parts:
        return make_parts(
            self.database, client, self.clock, monitor_url=self.monitor_url, worker_id=worker_id, lease_s=LEASE_S
        )

    async def take(
        self,
        events: Sequence[pb.UsageEvent] = (),
        compact: Sequence[pb.CompactUsageEvent] = (),
        *,
        committed: bool = False,
        wait_s: float = 20,
    ) -> IngestResult:
        """Do what IngestEvents does, without the server round it."""
        return await self.parts.usage_events.ingest(
            [readable_from_message(event) for event in events],
            [compact_from_message(event) for event in compact],
            committed=committed,
            producer="test",
            traceparent="",
            wait_s=wait_s,
        )

    @asynccontextmanager
    async def worker(self, name: str, roles: Sequence[str] = (WRITER_ROLE,)) -> AsyncIterator[Client]:
        """A worker with its own NATS connection, until the block ends."""
        client = await connect(self.access, name)
        stop = asyncio.Event()
        runners = self._parts(client, name).runners
        tasks = [asyncio.create_task(runner.run(stop)) for role, runner in runners if role in roles]
        tasks.append(asyncio.create_task(OutboxRelay(self.database, client).run(stop)))
        try:
            yield client
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            await client.close()

    async def rows(self, query: str, **parameters: Any) -> list[Any]:
        """Return the rows of a query."""
        return await rows_of(self.database, query, parameters)

    async def until(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a check holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not await check():  # noqa: ASYNC110 (what it waits for happens in the database)
                await asyncio.sleep(0.05)

    async def until_written(self, count: int) -> None:
        """Wait until so many events are stored."""

        async def written() -> bool:
            return (await self.rows("SELECT count(*) AS n FROM metering_event"))[0].n >= count

        await self.until(written)

    async def published(self, stream: str, subject: str) -> list[bytes]:
        """Everything on a subject, oldest first."""
        found: list[bytes] = []
        seq = 1
        while True:
            try:
                message = await self.js.get_msg(stream, seq, subject, direct=True, next=True)
            except NotFoundError:
                return found
            found.append(message.data or b"")
            seq = (message.seq or 0) + 1


@asynccontextmanager
async def metering_on(
    database: ServiceDatabase, nats: tuple[LocalNats, NatsAccess], monitor_url: str | None = None
) -> AsyncIterator[MeteringHarness]:
    """The service on empty streams."""
    server, access = nats
    client = await connect(access, "metering-test")
    js = client.jetstream()
    for spec in STREAMS:
        try:
            await js.delete_stream(spec.name)
        except NotFoundError:
            continue
    await ensure_streams(js, max_bytes=STREAM_BYTES_MAX)
    made = MeteringHarness(
        database.database(), client, access, server.monitor_url if monitor_url is None else monitor_url
    )
    await made.parts.partition_job.try_once()
    await made.parts.replies.start()
    try:
        yield made
    finally:
        await client.close()
