"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from typing import NamedTuple

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import add_LedgerServiceServicer_to_server
from apportion_common.bus.rights import RIGHTS
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime
from apportion_common.topology import POSTER_ROLE

from apportion_ledger.app.charges import Charges
from apportion_ledger.app.digests import Digests
from apportion_ledger.app.invariants import Invariants
from apportion_ledger.app.lines import Lines
from apportion_ledger.app.partitions import Partitions
from apportion_ledger.app.partners import Partners
from apportion_ledger.app.partners_of_record import PartnersOfRecord
from apportion_ledger.app.payouts import Payouts
from apportion_ledger.app.period_closes import PeriodCloses
from apportion_ledger.app.rates import Rates
from apportion_ledger.app.settlements import Settlements
from apportion_ledger.app.statements import Statements
from apportion_ledger.app.sweeps import Sweeps
from apportion_ledger.app.term_lists import TermLists
from apportion_ledger.app.terms import TermsCache
from apportion_ledger.app.watermarks import Watermarks
from apportion_ledger.consumers.poster import Poster, poster_runner
from apportion_ledger.flags import FLAGS
from apportion_ledger.jobs.add_partitions import PartitionJob
from apportion_ledger.jobs.settle_payouts import PayoutJob
from apportion_ledger.rpc.servicer import LedgerServicer
from apportion_ledger.settings import Settings
from apportion_ledger.store.balances import BalanceStore
from apportion_ledger.store.digests import DigestStore
from apportion_ledger.store.invariants import InvariantStore
from apportion_ledger.store.lines import LineStore
from apportion_ledger.store.partitions import PartitionStore
from apportion_ledger.store.payout_instructions import PayoutInstructions
from apportion_ledger.store.period_closes import PeriodCloseStore
from apportion_ledger.store.posted_lines import PostedLineStore
from apportion_ledger.store.settlements import SettlementStore
from apportion_ledger.store.statements import StatementStore
from apportion_ledger.store.sweeps import SweepStore
from apportion_ledger.store.tables import shared
from apportion_ledger.store.term_lists import TermListStore
from apportion_ledger.store.terms import TermsStore
from apportion_ledger.store.watermarks import WatermarkStore

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["LedgerService"].full_name


class Parts(NamedTuple):
    """What the service is made of, without the process around it."""

    servicer: LedgerServicer
    poster: Poster
    payouts: Payouts
    partitions: Partitions


def make_parts(database: Database, settings: Settings) -> Parts:
    """Join the use cases with the stores."""
    terms_store, lines, settlements, closes = TermsStore(), PostedLineStore(), SettlementStore(), PeriodCloseStore()
    terms = TermsCache(terms_store)
    charges = Charges(database, terms, LineStore(), BalanceStore(), settings.real_time_thresholds)
    # The stubs call every RPC abstract, but those that are not overridden answer UNIMPLEMENTED.
    servicer = LedgerServicer(
        clock=database.clock,
        term_lists=TermLists(database, TermListStore()),
        partners=Partners(database, terms_store),
        rates=Rates(database, terms_store),
        partners_of_record=PartnersOfRecord(database, terms_store),
        lines=Lines(database, lines, terms_store),
        charges=charges,
        watermarks=Watermarks(database, WatermarkStore(), closes),
        sweeps=Sweeps(database, SweepStore(), settings.minimum_payouts),
        settlements=Settlements(database, settlements, terms_store),
        statements=Statements(database, terms_store, StatementStore()),
        digests=Digests(database, DigestStore(), lines),
        invariants=Invariants(database, InvariantStore()),
        audit=AuditTrail(database, shared),
    )
    return Parts(
        servicer,
        Poster(terms, charges, PeriodCloses(closes)),
        Payouts(database, settlements, PayoutInstructions(database)),
        Partitions(database, PartitionStore()),
    )


async def build(runtime: Runtime) -> None:
    """Register with the runtime what the ledger serves and runs."""
    settings: Settings = runtime.settings
    parts = make_parts(runtime.database, settings)

    def register(server: grpc.aio.Server) -> None:
        add_LedgerServiceServicer_to_server(parts.servicer, server)

    # A line must not come before its month: it would be stored in the default partition.
    await parts.partitions.ensure()
    runtime.needs_streams(RIGHTS["ledger"])
    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runner = poster_runner(
        runtime.database,
        runtime.nats,
        parts.poster,
        worker_id=settings.worker_id,
        lease_s=settings.lane_lease_s,
        paused=runtime.flags.paused(FLAGS, POSTER_ROLE),
    )
    runtime.background("poster", runner.run)
    runtime.background("payouts", PayoutJob(parts.payouts, runtime.flags.paused(FLAGS, "payouts")).run)
    runtime.background("partitions", PartitionJob(parts.partitions).run)
