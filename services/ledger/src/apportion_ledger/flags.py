"""What of the ledger is behind which feature flag; docs/flags.md shows all services' tables."""

from __future__ import annotations

from typing import Final

from apportion_common.flags import FlagScope, FlagTable

FLAGS: Final = FlagTable(
    "apportion.ledger.v1.LedgerService",
    (
        FlagScope(
            flag="por_ledger",
            rpcs=(
                "CreatePartner",
                "LookupPartners",
                "GetPartner",
                "ListPartners",
                "ListPartnerTiers",
                "SetPartnerTier",
                "SetCommissionRate",
                "ListCommissionRates",
                "AssignPartnerOfRecord",
                "EndPartnerOfRecord",
                "ResolvePartnerOfRecord",
                "ListPartnersOfRecord",
                "ListLines",
                "RunSweep",
                "ListSettlements",
                "GetPartnerStatement",
                "GetTrialBalance",
                "GetDigest",
                "ListLineDigests",
                "DiffDigest",
                "CheckLedger",
                "FixWatermark",
                "SummarizeLines",
                "AppendCharges",
                "ReverseLine",
                "OpenDispute",
                "ResolveDispute",
                "VerifyChain",
                "WatchLines",
            ),
            consumers=("ledger_poster", "payouts"),
            seeds=("rates.toml",),
        ),
    ),
    always=("ListAudit",),
)
