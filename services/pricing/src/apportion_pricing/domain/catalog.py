"""All terms of one revision, answered from memory."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_pricing.domain.engine_mode import DEFAULT_MODE, EngineMode, EngineModeRow
from apportion_pricing.domain.terms import TermsRows
from apportion_pricing.domain.terms_index import TermsIndex


class Catalog:
    """All terms of one revision. Immutable: a new revision is a new catalog."""

    def __init__(self, revision: int, rows: TermsRows, modes: Sequence[EngineModeRow], index: TermsIndex) -> None:
        """Join rows, modes and the index of the rows."""
        self.revision = revision
        self.rows = rows
        self.modes = modes
        self.index = index
        self._modes = {row.org_id: row.mode for row in sorted(modes, key=lambda row: row.revision)}

    def mode_of(self, org_id: bytes) -> EngineMode:
        """Return the engine's mode for an organisation: its own, else the default, else shadow."""
        return self._modes.get(org_id) or self._modes.get(None) or DEFAULT_MODE
