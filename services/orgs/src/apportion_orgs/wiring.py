"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from typing import Final

import grpc
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import add_OrgsServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime
from apportion_common.topology import EVENTS

from apportion_orgs.app.billing_accounts import BillingAccounts
from apportion_orgs.app.hierarchy import Hierarchy
from apportion_orgs.app.invoices import Invoices
from apportion_orgs.app.mappings import Mappings
from apportion_orgs.app.organizations import Organizations
from apportion_orgs.app.ports import LedgerPort
from apportion_orgs.app.resolve import ResolveAccounts
from apportion_orgs.flags import FLAGS
from apportion_orgs.rpc.ledger_client import GrpcLedger
from apportion_orgs.rpc.servicer import OrgsServicer, UseCases
from apportion_orgs.store.billing_accounts import StoredAccounts
from apportion_orgs.store.hierarchy import StoredHierarchy
from apportion_orgs.store.invoices import StoredInvoices
from apportion_orgs.store.mappings import StoredMappings
from apportion_orgs.store.organizations import StoredOrgs
from apportion_orgs.store.tables import shared

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["OrgsService"].full_name


def make_servicer(database: Database, ledger: LedgerPort) -> OrgsServicer:
    """The RPCs on a database, with what a ledger says."""
    orgs, accounts, mappings = StoredOrgs(), StoredAccounts(), StoredMappings()
    hierarchy = Hierarchy(orgs, StoredHierarchy())
    use_cases = UseCases(
        organizations=Organizations(orgs, hierarchy, accounts, mappings),
        hierarchy=hierarchy,
        billing_accounts=BillingAccounts(orgs, accounts),
        mappings=Mappings(orgs, accounts, mappings),
        resolve=ResolveAccounts(database, mappings),
        invoices=Invoices(database, accounts, mappings, StoredInvoices(), ledger),
        audit=AuditTrail(database, shared),
    )
    return OrgsServicer(database, use_cases)


async def build(runtime: Runtime) -> None:
    """Give the runtime what orgs serves and does beside. Raises ValueError when LEDGER_ADDRESS is not set."""
    ledger = GrpcLedger(runtime.channels.channel(runtime.settings.address_of("ledger")))
    servicer = make_servicer(runtime.database, ledger)

    def register(server: grpc.aio.Server) -> None:
        add_OrgsServiceServicer_to_server(servicer, server)

    await ensure_streams(runtime.js, (EVENTS,))
    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runtime.background("outbox_relay", OutboxRelay(runtime.database, runtime.nats).run)
