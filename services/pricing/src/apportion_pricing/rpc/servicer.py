"""PricingService: the RPCs of all subjects, joined. What is not here answers UNIMPLEMENTED."""

from __future__ import annotations

from typing import Any

from apportion_common.clock import Clock
from apportion_common.db.audit_query import AuditTrail
from grpc.aio import ServicerContext

from apportion_pricing.app.charges import Charges
from apportion_pricing.app.engine_modes import EngineModes
from apportion_pricing.app.entitlements import Entitlements
from apportion_pricing.app.plans import Plans
from apportion_pricing.app.skus import Skus
from apportion_pricing.app.term_lists import TermLists
from apportion_pricing.rpc.audit import AuditRpcs
from apportion_pricing.rpc.charges import ChargeRpcs
from apportion_pricing.rpc.engine_modes import EngineModeRpcs
from apportion_pricing.rpc.entitlements import EntitlementRpcs
from apportion_pricing.rpc.plans import PlanRpcs
from apportion_pricing.rpc.skus import SkuRpcs
from apportion_pricing.rpc.term_lists import TermListRpcs

Context = ServicerContext[Any, Any]


class PricingServicer(SkuRpcs, PlanRpcs, TermListRpcs, EntitlementRpcs, EngineModeRpcs, ChargeRpcs, AuditRpcs):
    """The RPCs of pricing that are built."""

    def __init__(
        self,
        *,
        clock: Clock,
        skus: Skus,
        plans: Plans,
        term_lists: TermLists,
        entitlements: Entitlements,
        engine_modes: EngineModes,
        charges: Charges,
        audit: AuditTrail,
    ) -> None:
        """Answer by these use cases."""
        self.clock = clock
        self.skus = skus
        self.plans = plans
        self.term_lists = term_lists
        self.entitlements = entitlements
        self.engine_modes = engine_modes
        self.charges = charges
        self.audit = audit
