"""The only place where the service's parts are made and joined."""

from __future__ import annotations

import grpc
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import add_PricingServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import Clock
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime

from apportion_pricing.app.accounts import OrgsAccounts
from apportion_pricing.app.catalog import CatalogUseCases
from apportion_pricing.app.catalog_cache import CatalogCache
from apportion_pricing.app.engine_mode import EngineModeUseCases
from apportion_pricing.app.entitlements import EntitlementUseCases
from apportion_pricing.app.plans import PlanUseCases
from apportion_pricing.app.ports import OrgsGateway
from apportion_pricing.app.rate import ROLE, Rater
from apportion_pricing.consumers.rater import rater_lanes
from apportion_pricing.flags import FLAGS
from apportion_pricing.rpc.servicer import PricingServicer
from apportion_pricing.settings import Settings
from apportion_pricing.store.catalog import CatalogTables
from apportion_pricing.store.charge_queries import ChargeQueries
from apportion_pricing.store.charges import Charges
from apportion_pricing.store.entitlements import EntitlementTables
from apportion_pricing.store.orgs_client import OrgsClient
from apportion_pricing.store.positions import Positions
from apportion_pricing.store.tables import shared
from apportion_pricing.store.terms import Terms

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["PricingService"].full_name


class Parts:
    """The service's parts on a database and an orgs service, joined."""

    def __init__(self, database: Database, clock: Clock, orgs: OrgsGateway, gate_override: str | None) -> None:
        """Make everything that neither listens nor runs; `gate_override` is the setting PRICING_GATE_OVERRIDE."""
        catalog, entitlements = CatalogTables(), EntitlementTables()
        cache, accounts = CatalogCache(Terms()), OrgsAccounts(orgs)
        self.rater = Rater(cache, accounts, Positions(), Charges())
        self.servicer = PricingServicer(
            database,
            clock,
            catalog=CatalogUseCases(catalog),
            plans=PlanUseCases(catalog),
            entitlements=EntitlementUseCases(catalog, entitlements, cache, accounts),
            modes=EngineModeUseCases(entitlements, gate_override),
            charges=ChargeQueries(database),
            audit=AuditTrail(database, shared),
        )


async def build(runtime: Runtime) -> None:
    """Give the runtime what pricing serves and what it runs beside."""
    settings: Settings = runtime.settings
    orgs = OrgsClient(runtime.channels.channel(settings.address_of("orgs")))
    parts = Parts(runtime.database, runtime.clock, orgs, settings.pricing_gate_override)
    await ensure_streams(runtime.js)

    def register(server: grpc.aio.Server) -> None:
        add_PricingServiceServicer_to_server(parts.servicer, server)

    runtime.serve(register, SERVICE_NAME)
    runtime.behind(FLAGS)
    runtime.background("relay", OutboxRelay(runtime.database, runtime.nats).run)
    lanes = rater_lanes(
        runtime.database,
        runtime.nats,
        parts.rater,
        worker_id=settings.worker_id,
        lease_s=settings.lane_lease_s,
        paused=runtime.flags.paused(FLAGS, ROLE),
    )
    runtime.background(ROLE, lanes.run)
