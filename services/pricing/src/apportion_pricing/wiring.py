"""The only place where the service's parts are made and joined."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import add_PricingServiceServicer_to_server
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.rights import RIGHTS
from apportion_common.clock import Clock
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.unit_of_work import Database
from apportion_common.run import Runtime
from apportion_common.topology import RATER_ROLE

from apportion_pricing.adapters.grpc_orgs import GrpcOrgs
from apportion_pricing.app.account_resolver import AccountResolver
from apportion_pricing.app.catalog_cache import CatalogCache
from apportion_pricing.app.charges import Charges
from apportion_pricing.app.edges import OrgsClient
from apportion_pricing.app.engine_modes import EngineModes
from apportion_pricing.app.entitlements import Entitlements
from apportion_pricing.app.plans import Plans
from apportion_pricing.app.segment_resolver import SegmentResolver
from apportion_pricing.app.skus import Skus
from apportion_pricing.app.term_lists import TermLists
from apportion_pricing.consumers.rater import Rater, rater_lanes
from apportion_pricing.flags import FLAGS
from apportion_pricing.rpc.servicer import PricingServicer
from apportion_pricing.settings import Settings
from apportion_pricing.store.charges import ChargeStore
from apportion_pricing.store.engine_modes import EngineModeStore
from apportion_pricing.store.entitlements import EntitlementStore
from apportion_pricing.store.period_closes import PeriodCloseStore
from apportion_pricing.store.plans import PlanStore
from apportion_pricing.store.positions import PositionStore
from apportion_pricing.store.rejections import RejectionStore
from apportion_pricing.store.skus import SkuStore
from apportion_pricing.store.tables import shared
from apportion_pricing.store.term_lists import TermListStore
from apportion_pricing.store.terms import TermsStore

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["PricingService"].full_name


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service serves and runs."""

    servicer: PricingServicer
    rater: Rater


def make_parts(
    database: Database, clock: Clock, orgs: OrgsClient, gate_override: str | None, *, packed: bool = True
) -> Parts:
    """Join everything that neither listens nor runs; `gate_override` is the setting PRICING_GATE_OVERRIDE.

    Lanes carry records where it is `packed`.
    """
    skus, plans, charges, positions = SkuStore(), PlanStore(), ChargeStore(), PositionStore()
    catalog, accounts = CatalogCache(TermsStore()), AccountResolver(orgs)
    servicer = PricingServicer(
        clock=clock,
        skus=Skus(database, skus),
        plans=Plans(database, plans, skus),
        term_lists=TermLists(database, TermListStore()),
        entitlements=Entitlements(database, plans, EntitlementStore(), positions, catalog, accounts),
        engine_modes=EngineModes(database, EngineModeStore(), gate_override),
        charges=Charges(database, charges),
        audit=AuditTrail(database, shared),
    )
    segments = SegmentResolver(catalog, accounts, charges)
    rater = Rater(segments, positions, charges, RejectionStore(), PeriodCloseStore(), packed=packed)
    return Parts(servicer, rater)


async def build(runtime: Runtime) -> None:
    """Hand the runtime what pricing serves and what it runs beside."""
    settings: Settings = runtime.settings
    orgs = GrpcOrgs(runtime.channels.channel(settings.address_of("orgs")))
    gate_override, packed = settings.pricing_gate_override, settings.lane_records
    parts = make_parts(runtime.database, runtime.clock, orgs, gate_override, packed=packed)
    runtime.needs_streams(RIGHTS["pricing"])

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
        paused=runtime.flags.paused(FLAGS, RATER_ROLE),
    )
    runtime.background(RATER_ROLE, lanes.run)
