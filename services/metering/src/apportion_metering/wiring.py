"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import add_MeteringServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import Clock
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes.runner import LaneRunner
from apportion_common.run import Runtime
from apportion_common.topology import STREAMS, sized
from nats.aio.client import Client

from apportion_metering.adapters.nats_durability import DurabilityGuard
from apportion_metering.adapters.nats_intake import NatsIntake
from apportion_metering.app.dead_letters import DeadLetters
from apportion_metering.app.lanes import Lanes
from apportion_metering.app.partitions import Partitions
from apportion_metering.app.periods import Periods
from apportion_metering.app.usage_events import UsageEvents
from apportion_metering.consumers.lanes import lane_runners
from apportion_metering.consumers.receipts import PostedReceipts, RatedReceipts
from apportion_metering.consumers.replies import NatsReplies
from apportion_metering.consumers.writer import Writer
from apportion_metering.flags import FLAGS
from apportion_metering.jobs.add_partitions import PartitionJob
from apportion_metering.limits import COMMIT_WAIT_S
from apportion_metering.rpc.servicer import MeteringServicer
from apportion_metering.store import tables
from apportion_metering.store.dead_letters import DeadLetterStore
from apportion_metering.store.events import EventStore
from apportion_metering.store.journal import JournalStore
from apportion_metering.store.partitions import PartitionStore

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["MeteringService"].full_name


@dataclass(frozen=True, slots=True)
class Parts:
    """The service's parts, joined."""

    events: EventStore
    guard: DurabilityGuard
    intake: NatsIntake
    replies: NatsReplies
    usage_events: UsageEvents
    dead_letters: DeadLetters
    periods: Periods
    lanes: Lanes
    servicer: MeteringServicer
    writer: Writer
    rated: RatedReceipts
    posted: PostedReceipts
    runners: Sequence[tuple[str, LaneRunner[Any]]]
    """By lane role."""
    partition_job: PartitionJob


def make_parts(
    database: Database,
    client: Client,
    clock: Clock,
    *,
    monitor_url: str | None,
    worker_id: str,
    lease_s: float,
    commit_wait_s: float = COMMIT_WAIT_S,
    packed: bool = True,
    paused: Callable[[str], Callable[[], bool]] = lambda role: lambda: False,
) -> Parts:
    """Join the parts on a database and a NATS connection; `paused(role)` is asked before a lane takes anything.

    Lanes carry records where it is `packed`.
    """
    events, dead_letters, journal = EventStore(), DeadLetterStore(), JournalStore()
    guard = DurabilityGuard(client, monitor_url, clock)
    intake = NatsIntake(client, guard, clock, packed=packed)
    replies = NatsReplies(client)
    usage_events = UsageEvents(database, events, journal, intake, replies, clock)
    dead_letter_cases = DeadLetters(database, dead_letters, clock)
    periods, lanes = Periods(database, clock), Lanes(database, journal, intake)
    writer = Writer(events, dead_letters, journal, replies, packed=packed)
    rated, posted = RatedReceipts(dead_letters, journal), PostedReceipts(dead_letters, journal)
    return Parts(
        events=events,
        guard=guard,
        intake=intake,
        replies=replies,
        usage_events=usage_events,
        dead_letters=dead_letter_cases,
        periods=periods,
        lanes=lanes,
        servicer=MeteringServicer(
            usage_events=usage_events,
            dead_letters=dead_letter_cases,
            periods=periods,
            lanes=lanes,
            audit=AuditTrail(database, tables.shared),
            commit_wait_s=commit_wait_s,
        ),
        writer=writer,
        rated=rated,
        posted=posted,
        runners=lane_runners(
            database,
            client,
            writer=writer,
            rated=rated,
            posted=posted,
            worker_id=worker_id,
            lease_s=lease_s,
            paused=paused,
        ),
        partition_job=PartitionJob(Partitions(database, PartitionStore(), clock)),
    )


async def build(runtime: Runtime) -> None:
    """Tell the runtime what metering serves and what it runs beside."""
    settings = runtime.settings
    await ensure_streams(runtime.js, sized(STREAMS, runtime.settings.streams_mib))
    parts = make_parts(
        runtime.database,
        runtime.nats,
        runtime.clock,
        monitor_url=settings.nats_monitor_url,
        worker_id=settings.worker_id,
        lease_s=settings.lane_lease_s,
        commit_wait_s=settings.commit_wait_s,
        packed=settings.lane_records,
        paused=lambda role: runtime.flags.paused(FLAGS, role),
    )
    await parts.replies.start()
    # This month's partition is there before the first event; without a database intake starts all the same.
    await parts.partition_job.try_once()

    def register(server: grpc.aio.Server) -> None:
        add_MeteringServiceServicer_to_server(parts.servicer, server)

    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runtime.background("durability", parts.guard.watch)
    runtime.background("partitions", parts.partition_job.run)
    runtime.background("relay", OutboxRelay(runtime.database, runtime.nats).run)
    for role, runner in parts.runners:
        runtime.background(role, runner.run)
