"""The rating engine's mode: off, shadow or live, per organisation with a default (spec 03, "Engine modes")."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class EngineMode(StrEnum):
    """What becomes of a charge: it is not made, stored only, or stored and published."""

    OFF = "off"
    SHADOW = "shadow"
    LIVE = "live"


DEFAULT_MODE: Final = EngineMode.SHADOW
"""The engine's mode until one is set."""


class EngineModeRow(NamedTuple):
    """A mode that was set for an organisation, or for all (None)."""

    org_id: bytes | None
    mode: EngineMode
    revision: int
