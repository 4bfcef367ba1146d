"""Where the next page of a list goes on."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

PageCursor: TypeAlias = tuple[datetime, UUID]
"""Time and id of the last row of a page, in a list that is ordered by them."""
