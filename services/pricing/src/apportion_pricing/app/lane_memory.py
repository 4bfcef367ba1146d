"""What a lane remembers of the stretches that its events fell in, and of the positions that they count in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apportion_pricing import limits
from apportion_pricing.app.batches import Usage
from apportion_pricing.app.catalog_cache import LIVE, OFF
from apportion_pricing.app.effective import Effective, Position
from apportion_pricing.app.ports import PositionKey
from apportion_pricing.domain.rating import Ladder

_NO_LADDER: Final = Ladder(0, 0, (), (0,), (0,))


class Stretch:
    """An `Effective` made ready for the loop: where its usage counts, what its charges have in common."""

    __slots__ = ("closed", "constants", "effective", "end_us", "ladder", "live", "position", "start_us", "stored")

    def __init__(self, effective: Effective, position: Position, mode: str, constants: bytes) -> None:
        self.effective = effective
        self.start_us = effective.start_us
        self.end_us = effective.end_us
        self.ladder = effective.terms.ladder if effective.terms is not None else _NO_LADDER
        self.position = position
        self.live = mode == LIVE
        self.stored = mode != OFF
        self.constants = constants
        self.closed = False


class LaneMemory:
    """What a lane knows between batches; all of it can be read or resolved again."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.catalog_revision = -1
        self.orgs_revision = -1
        self.positions: dict[PositionKey, Position] = {}
        self.closed: set[tuple[str, bytes | None]] | None = None
        self.latest: dict[tuple[bytes, str], Stretch] = {}
        self.stretches: dict[tuple[bytes, str], list[Stretch]] = {}
        self.stretch_count = 0

    def start(self, catalog_revision: int, orgs_revision: int) -> None:
        """Drop the stretches of other revisions, and everything when there is too much of it."""
        if len(self.positions) > limits.CACHED_POSITIONS_PER_LANE:
            self.positions = {}
            self.catalog_revision = -1
        too_many = self.stretch_count > limits.CACHED_SEGMENTS_PER_LANE
        if too_many or (self.catalog_revision, self.orgs_revision) != (catalog_revision, orgs_revision):
            self.latest = {}
            self.stretches = {}
            self.stretch_count = 0
            self.catalog_revision = catalog_revision
            self.orgs_revision = orgs_revision

    def match(self, usages: Sequence[Usage]) -> tuple[list[Stretch | None], Sequence[Usage]]:
        """The known stretch of each event or None, and the events that have none."""
        latest, found, missed = self.latest, [], []
        for usage in usages:
            at_us = usage[6]
            stretch = latest.get((usage[2], usage[4]))
            if stretch is None or not stretch.start_us <= at_us < stretch.end_us:
                stretch = self.find(usage[2], usage[4], at_us)
                if stretch is None:
                    missed.append(usage)
            found.append(stretch)
        return found, missed

    def find(self, org_id: bytes, sku: str, at_us: int) -> Stretch | None:
        """The known stretch that an event falls in, which becomes the first to be looked at."""
        for stretch in self.stretches.get((org_id, sku), ()):
            if stretch.start_us <= at_us < stretch.end_us:
                self.latest[org_id, sku] = stretch
                return stretch
        return None

    def add(self, org_id: bytes, sku: str, stretch: Stretch) -> None:
        """Remember a stretch."""
        self.stretches.setdefault((org_id, sku), []).append(stretch)
        self.latest[org_id, sku] = stretch
        self.stretch_count += 1

    def position(self, key: PositionKey) -> Position:
        """The position of a key, read or not."""
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(key)
        return position

    def close(self, period: str, org_id: bytes | None) -> None:
        """Close a period, of one organisation or all."""
        assert self.closed is not None
        self.closed.add((period, org_id))
        for (of_org, _), stretches in self.stretches.items():
            if org_id is None or org_id == of_org:
                for stretch in stretches:
                    if stretch.effective.period == period:
                        stretch.closed = True

    def is_closed(self, period: str, org_id: bytes) -> bool:
        """Whether an organisation's period is closed."""
        return self.closed is not None and ((period, None) in self.closed or (period, org_id) in self.closed)
