"""The texts of page tokens, as the use cases take them."""

from __future__ import annotations

from datetime import datetime

from apportion_common.ids import parse_uuid

from apportion_identity.domain.paging import PageCursor


def cursor_of(at: str, row_id: str) -> PageCursor:
    """Return the cursor of a page token's texts. Raises ValueError or ApportionError."""
    instant = datetime.fromisoformat(at)
    if instant.tzinfo is None:
        raise ValueError("The instant has no zone.")
    return instant, parse_uuid(row_id)
