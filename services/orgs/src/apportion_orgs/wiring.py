"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from typing import Final, NamedTuple

import grpc
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import add_OrgsServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.rights import RIGHTS
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime

from apportion_orgs.adapters.grpc_ledger import GrpcLedger
from apportion_orgs.adapters.grpc_metering import GrpcMetering
from apportion_orgs.app.billing_accounts import BillingAccounts
from apportion_orgs.app.edges import LedgerClient, MeteringClient
from apportion_orgs.app.hierarchies import Hierarchies
from apportion_orgs.app.invoice_drawings import InvoiceDrawings
from apportion_orgs.app.invoices import Invoices
from apportion_orgs.app.lookups import Lookups
from apportion_orgs.app.mappings import Mappings
from apportion_orgs.app.organizations import Organizations
from apportion_orgs.app.period_reopenings import PeriodReopenings
from apportion_orgs.flags import FLAGS
from apportion_orgs.rpc.servicer import OrgsServicer
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.hierarchy import HierarchyStore
from apportion_orgs.store.invoices import InvoiceStore
from apportion_orgs.store.mappings import MappingStore
from apportion_orgs.store.organizations import OrganizationStore
from apportion_orgs.store.period_reopenings import PeriodReopeningStore
from apportion_orgs.store.tables import shared

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["OrgsService"].full_name


class Parts(NamedTuple):
    """What the service is made of, without the process around it."""

    servicer: OrgsServicer


def make_parts(database: Database, ledger: LedgerClient, metering: MeteringClient) -> Parts:
    """Join the use cases with the stores, a ledger and metering."""
    orgs, hierarchy = OrganizationStore(), HierarchyStore()
    accounts, mappings = BillingAccountStore(), MappingStore()
    invoices, reopenings = InvoiceStore(), PeriodReopeningStore()
    drawings = InvoiceDrawings(database, mappings, ledger)
    servicer = OrgsServicer(
        lookups=Lookups(database, orgs, hierarchy, accounts),
        organizations=Organizations(database, orgs, hierarchy, accounts, mappings),
        hierarchies=Hierarchies(database, orgs, hierarchy),
        billing_accounts=BillingAccounts(database, orgs, accounts),
        mappings=Mappings(database, orgs, accounts, mappings),
        invoices=Invoices(database, accounts, mappings, invoices, drawings, reopenings),
        periods=PeriodReopenings(database, accounts, invoices, reopenings, metering),
        audit=AuditTrail(database, shared),
    )
    return Parts(servicer)


async def build(runtime: Runtime) -> None:
    """Register with the runtime what orgs serves and does beside.

    Raises ValueError when LEDGER_ADDRESS or METERING_ADDRESS is not set.
    """
    ledger = GrpcLedger(runtime.channels.channel(runtime.settings.address_of("ledger")))
    metering = GrpcMetering(runtime.channels.channel(runtime.settings.address_of("metering")))
    parts = make_parts(runtime.database, ledger, metering)

    def register(server: grpc.aio.Server) -> None:
        add_OrgsServiceServicer_to_server(parts.servicer, server)

    runtime.needs_streams(RIGHTS["orgs"])
    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runtime.background("outbox_relay", OutboxRelay(runtime.database, runtime.nats).run)
