"""What of orgs is behind which feature flag; docs/flags.md shows all services' tables."""

from __future__ import annotations

from typing import Final

from apportion_common.flags import FlagScope, FlagTable

FLAGS: Final = FlagTable(
    "apportion.orgs.v1.OrgsService",
    (
        FlagScope(
            flag="org_hierarchy",
            rpcs=(
                "AddChild",
                "MoveOrg",
                "ListDescendants",
                "ListAncestors",
                "GetTree",
                "CheckHierarchy",
                "GrantGroupRole",
                "RevokeGroupRole",
                "CheckAccess",
                "StartAssist",
                "EndAssist",
            ),
            fields=("CreateOrg.parent_org_id",),
        ),
        FlagScope(
            flag="group_billing",
            rpcs=(
                "CreateBillingAccount",
                "GetBillingAccount",
                "LookupBillingAccounts",
                "ListBillingAccounts",
                "MapOrg",
                "ListMappings",
                "CreateCostCenter",
                "CreateProject",
                "GenerateInvoice",
                "FinalizeInvoice",
                "ReopenPeriod",
                "GetInvoice",
                "ListInvoices",
                "ListInvoiceParts",
                "ListInvoiceDocuments",
                "ListInvoiceLines",
                "VoidInvoice",
                "MarkInvoicePaid",
                "ExportInvoice",
            ),
        ),
    ),
    always=(
        "CreateOrg",
        "GetOrg",
        "LookupOrgs",
        "ListOrgs",
        "ResolveBillingAccounts",
        "ListAudit",
    ),
)
"""Organisations existed before these features; and each has its default account, which rating asks for."""
