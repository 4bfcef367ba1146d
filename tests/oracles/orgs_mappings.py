"""Which billing account an org maps to at an instant, answered from memory: a second opinion on what SQL answers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from apportion_orgs.domain.mappings import MappingRow


class MappingIndex:
    """The mappings that are known under a revision."""

    def __init__(self, rows: Sequence[MappingRow], known_revision: int | None = None) -> None:
        known = [row for row in rows if known_revision is None or row.revision <= known_revision]
        self._rows: dict[bytes, list[MappingRow]] = {}
        for row in sorted(known, key=lambda row: (row.effective_at_us, row.revision)):
            self._rows.setdefault(row.org_id, []).append(row)
        self._instants = {org: [row.effective_at_us for row in rows] for org, rows in self._rows.items()}

    def in_force(self, org_id: bytes, at_us: int) -> MappingRow | None:
        """Return the org's mapping at an instant; a row holds at its own. None before any."""
        instants = self._instants.get(org_id)
        if instants is None:
            return None
        index = bisect_right(instants, at_us)
        return self._rows[org_id][index - 1] if index else None
