"""The only place where the service's parts are made and joined."""

from __future__ import annotations

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import add_MeteringServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.db.audit_query import AuditTrail
from apportion_common.faults import classify
from apportion_common.logs import get_logger
from apportion_common.run import Runtime

from apportion_metering.app.close_period import ClosePeriod
from apportion_metering.app.dead_letters import DeadLetterDesk
from apportion_metering.app.ingest import Ingest
from apportion_metering.app.receipts import PostedReceipts, RatedReceipts
from apportion_metering.app.status import Status
from apportion_metering.app.writer import Writer
from apportion_metering.consumers.lanes import lane_runners
from apportion_metering.consumers.replies import NatsReplies
from apportion_metering.consumers.stream import DurabilityGuard, JetStreamIntake
from apportion_metering.flags import FLAGS
from apportion_metering.jobs.partitions import Partitions
from apportion_metering.rpc.servicer import MeteringServicer
from apportion_metering.store import tables
from apportion_metering.store.dead_letters import DeadLetterStore
from apportion_metering.store.events import EventStore
from apportion_metering.store.journal import JournalStore

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["MeteringService"].full_name

log = get_logger(__name__)


async def build(runtime: Runtime) -> None:
    """Give the runtime what metering serves and what it runs beside."""
    settings, database, clock = runtime.settings, runtime.database, runtime.clock
    events, dead_letters, journal = EventStore(), DeadLetterStore(), JournalStore()
    await ensure_streams(runtime.js)
    guard = DurabilityGuard(runtime.nats, settings.nats_monitor_url)
    stream = JetStreamIntake(runtime.nats, runtime.js, guard, clock)
    replies = NatsReplies(runtime.nats)
    await replies.start()
    partitions = Partitions(database, clock)
    await _first_partitions(partitions)

    # The stubs call every RPC abstract, but those that are not overridden answer UNIMPLEMENTED.
    servicer = MeteringServicer(
        database,
        ingest=Ingest(stream, replies, clock),
        desk=DeadLetterDesk(database, dead_letters, clock),
        close_period=ClosePeriod(clock),
        status=Status(database, events, journal, stream),
        audit=AuditTrail(database, tables.shared),
        commit_wait_s=settings.commit_wait_s,
    )

    def register(server: grpc.aio.Server) -> None:
        add_MeteringServiceServicer_to_server(servicer, server)

    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runtime.background("durability", guard.watch)
    runtime.background("partitions", partitions.run)
    runtime.background("relay", OutboxRelay(database, runtime.nats).run)
    for role, runner in lane_runners(
        database,
        runtime.nats,
        writer=Writer(events, dead_letters, journal, replies),
        rated=RatedReceipts(dead_letters, journal),
        posted=PostedReceipts(dead_letters, journal),
        worker_id=settings.worker_id,
        lease_s=settings.lane_lease_s,
        paused=lambda role: runtime.flags.paused(FLAGS, role),
    ):
        runtime.background(role, runner.run)


async def _first_partitions(partitions: Partitions) -> None:
    """Have this month's partition before the first event; without a database intake starts all the same."""
    try:
        await partitions.ensure()
    except Exception as error:
        if classify(error) != "infrastructure":
            raise
        log.warning("metering.partitions.retry", error=type(error).__name__)
