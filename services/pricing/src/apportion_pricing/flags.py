"""What of pricing stands behind which feature flag; docs/flags.md shows all services' tables."""

from __future__ import annotations

from typing import Final

from apportion_common.flags import FlagScope, FlagTable

FLAGS: Final = FlagTable(
    "apportion.pricing.v1.PricingService",
    (
        FlagScope(
            flag="entitlements",
            rpcs=(
                "CreateSku",
                "ListSkus",
                "CreatePlan",
                "GetPlan",
                "LookupPlans",
                "ListPlans",
                "ListPlanRows",
                "SetPlanSku",
                "AssignPlan",
                "ListAssignments",
                "SetEntitlement",
                "GetEffectiveEntitlements",
                "PreviewAssignment",
                "SetTaxRate",
            ),
            seeds=("catalog.toml",),
        ),
        FlagScope(
            flag="pricing_engine",
            rpcs=(
                "SetEngineMode",
                "ListEngineModes",
                "ListCharges",
                "PublishCatalog",
                "RunParity",
                "GetParityRun",
                "ReleaseHeldCharges",
            ),
            consumers=("pricing_rater",),
        ),
        FlagScope(
            flag="estimator",
            rpcs=("Estimate", "EstimateStream"),
        ),
        FlagScope(
            flag="budgets_caps",
            rpcs=("SetBudget", "GetBudget", "AuthorizeSpend"),
        ),
    ),
    always=("ListAudit",),
)
