"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from typing import NamedTuple

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import add_LedgerServiceServicer_to_server
from apportion_common.bus.streams import ensure_streams
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime

from apportion_ledger.app.append import ChargeAppender
from apportion_ledger.app.append_charges import AppendCharges
from apportion_ledger.app.check import LedgerCheck
from apportion_ledger.app.digest import Digests
from apportion_ledger.app.lines import Lines
from apportion_ledger.app.partners import Partners
from apportion_ledger.app.partners_of_record import PartnersOfRecord
from apportion_ledger.app.payouts import Payouts
from apportion_ledger.app.post import LinePoster
from apportion_ledger.app.rates import Rates
from apportion_ledger.app.settlements import Settlements
from apportion_ledger.app.statements import Statements
from apportion_ledger.app.sweep import Sweeps
from apportion_ledger.app.terms import TermsCache
from apportion_ledger.app.watermarks import Watermarks
from apportion_ledger.consumers.poster import ROLE, poster_runner
from apportion_ledger.flags import FLAGS
from apportion_ledger.jobs.partitions import PartitionKeeper
from apportion_ledger.jobs.payouts import PayoutWorker
from apportion_ledger.rpc.servicer import LedgerServicer
from apportion_ledger.settings import Settings
from apportion_ledger.store.balances import BalanceTable
from apportion_ledger.store.checks import InvariantQueries
from apportion_ledger.store.lines import LineTable, LineView
from apportion_ledger.store.partitions import LinePartitions
from apportion_ledger.store.periods import PeriodTable, WatermarkTable
from apportion_ledger.store.reports import ReportView
from apportion_ledger.store.settlements import InstructionBook, SettlementTable, SweepBooks
from apportion_ledger.store.tables import shared
from apportion_ledger.store.terms import TermsTable

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["LedgerService"].full_name


class Parts(NamedTuple):
    """What the service is made of, without the process around it."""

    servicer: LedgerServicer
    poster: LinePoster
    payouts: Payouts
    partitions: PartitionKeeper


def make_parts(database: Database, settings: Settings) -> Parts:
    """Join the use cases with the store."""
    terms_table = TermsTable()
    terms = TermsCache(terms_table)
    appender = ChargeAppender(LineTable(), BalanceTable(), settings.real_time_thresholds)
    settlements = SettlementTable()
    # The stubs call every RPC abstract, but those that are not overridden answer UNIMPLEMENTED.
    servicer = LedgerServicer(
        database=database,
        partners=Partners(terms_table),
        rates=Rates(terms_table),
        partners_of_record=PartnersOfRecord(terms_table),
        lines=Lines(database, LineView()),
        append_charges=AppendCharges(database, terms, appender),
        watermarks=Watermarks(database, WatermarkTable()),
        sweeps=Sweeps(SweepBooks(), settings.minimum_payouts),
        settlements=Settlements(database, settlements),
        statements=Statements(database, terms_table, ReportView()),
        digests=Digests(database, LineView()),
        check=LedgerCheck(database, InvariantQueries()),
        audit=AuditTrail(database, shared),
    )
    return Parts(
        servicer,
        LinePoster(terms, appender, PeriodTable()),
        Payouts(database, settlements, InstructionBook(database)),
        PartitionKeeper(LinePartitions(database)),
    )


async def build(runtime: Runtime) -> None:
    """Give the runtime what the ledger serves and works."""
    settings: Settings = runtime.settings
    parts = make_parts(runtime.database, settings)

    def register(server: grpc.aio.Server) -> None:
        add_LedgerServiceServicer_to_server(parts.servicer, server)

    # A line must not come before its month: it would lie in the default partition.
    await parts.partitions.ensure()
    await ensure_streams(runtime.js)
    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runner = poster_runner(
        runtime.database,
        runtime.nats,
        parts.poster,
        worker_id=settings.worker_id,
        lease_s=settings.lane_lease_s,
        paused=runtime.flags.paused(FLAGS, ROLE),
    )
    runtime.background("poster", runner.run)
    runtime.background("payouts", PayoutWorker(parts.payouts, runtime.flags.paused(FLAGS, "payouts")).run)
    runtime.background("partitions", parts.partitions.run)
