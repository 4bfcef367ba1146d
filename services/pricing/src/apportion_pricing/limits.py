"""The service's limits, each with its unit."""

from __future__ import annotations

from typing import Final

BATCH_ENTRIES_MAX: Final = 2_000
"""Entries that one rating transaction takes; a batch of metering's has at most 1,000."""

CACHED_ORGS_MAX: Final = 100_000
"""Organisations whose billing accounts are kept in memory; when there are more, they are asked for again."""

CACHED_TIMELINES_MAX: Final = 200_000
"""Timelines of terms that one catalog keeps; when there are more, they are made again."""

LANE_POSITIONS_MAX: Final = 100_000
"""Positions that a lane keeps in memory; when there are more, they are read again."""

LANE_SEGMENTS_MAX: Final = 100_000
"""Resolved segments of terms that a lane keeps in memory."""

PACKED_QUANTITIES_MAX: Final = 4_096
"""Packed quantities that are kept: producers send the same few again and again."""

POSITION_QUANTITY_MAX: Final = 10**38 - 1
"""Usage of an organisation and SKU in a period, scaled by 9 places: what any number of events adds up to."""

RESOLVE_ITEMS_MAX: Final = 1_000
"""Items of one call to orgs, as its contract allows."""

RESOLVE_ROUNDS_MAX: Final = 200
"""Calls to orgs that one batch may need: each brings at least one interval of each organisation asked for."""

RESOLVE_TIMEOUT_MS: Final = 2_000
"""Wait for orgs within an open transaction, well below the database's limit on idle ones."""

REVISION_CHANGES_MAX: Final = 10
"""Times that the catalog or orgs may change under one attempt at a batch before the lane tries again."""

DETAIL_CHARS_MAX: Final = 500
"""Characters of a rejection's detail, as the contract allows."""

TIERS_MAX: Final = 100
"""Thresholds of one row, as the contract allows."""

GATE_OVERRIDE_CHARS_MAX: Final = 100
"""Characters of the name of a profile that overrides the gate."""
