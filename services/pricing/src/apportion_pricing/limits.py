"""The service's limits, each with its unit."""

from __future__ import annotations

from typing import Final

BATCH_ENTRIES: Final = 2_000
"""Entries that one rating transaction takes; a batch of metering's has at most 1,000."""

CACHED_ORGS: Final = 100_000
"""Organisations whose billing accounts are kept in memory; when there are more, the cache starts anew."""

CACHED_POSITIONS_PER_LANE: Final = 100_000
"""Positions that a lane keeps in memory; when there are more, they are read again."""

CACHED_SEGMENTS_PER_LANE: Final = 100_000
"""Resolved stretches of terms that a lane keeps in memory."""

RESOLVE_ITEMS: Final = 1_000
"""Items of one call to orgs, as its contract allows."""

RESOLVE_ROUNDS: Final = 200
"""Calls to orgs that one batch may need: each brings at least one interval of each organisation asked for."""

RESOLVE_TIMEOUT_MS: Final = 2_000
"""Wait for orgs within an open transaction, well below the database's limit on idle ones."""

REVISION_CHANGES: Final = 10
"""Times that the catalog or orgs may change under one attempt at a batch before the lane tries again."""

PAGE_SIZE_DEFAULT: Final = 100
"""Items a page."""

REFUSAL_DETAIL_CHARS: Final = 500
"""Longest detail of a refusal, as the contract allows."""

PLAN_ROWS: Final = 1_000
"""Rows of one plan."""
