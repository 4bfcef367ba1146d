"""What of metering stands behind which feature flag; docs/flags.md shows all services' tables."""

from __future__ import annotations

from typing import Final

from apportion_common.flags import FlagScope, FlagTable

FLAGS: Final = FlagTable(
    "apportion.metering.v1.MeteringService",
    (
        FlagScope(
            flag="metering",
            rpcs=(
                "IngestEvents",
                "GetEventStatus",
                "StreamEvents",
                "RequeueDeadLetters",
                "DiscardDeadLetters",
                "ClosePeriod",
                "ReopenPeriod",
                "StartReplay",
                "GetReplay",
                "CancelReplay",
                "Reconcile",
                "ReconcileProviderLog",
                "QueryUsage",
            ),
            consumers=("metering_writer", "metering_rated_receipts", "metering_posted_receipts"),
        ),
    ),
    always=(
        "ListAudit",
        "ListDeadLetters",
        "GetPipelineStatus",
    ),
)
"""What waits can be looked at while the feature is closed."""
