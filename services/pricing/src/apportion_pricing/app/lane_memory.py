"""What a lane remembers of the segments that its events fell in, and of the positions that they count in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from apportion_common.period_closes import PeriodChange, PeriodCloses

from apportion_pricing import limits
from apportion_pricing.domain.engine_mode import EngineMode
from apportion_pricing.domain.entries import Usage
from apportion_pricing.domain.segments import Segment, rejection_of
from apportion_pricing.store.charges import ChargeConstants
from apportion_pricing.store.positions import PositionKey


class Position:
    """How far an organisation's period is for a SKU; `state` is its charge model's, and None until it is read.

    `charged` and `shadowed` are the sums of the amounts of its live charges and of the others, scaled by 9 places. Of a
    position from before they were kept they are unknown (`is_summed` False) until a correction needs them.
    """

    __slots__ = ("charged", "is_summed", "key", "shadowed", "state")

    def __init__(self, key: PositionKey) -> None:
        self.key = key
        self.state: Any = None
        self.charged = 0
        self.shadowed = 0
        self.is_summed = False


class LaneSegment:
    """A segment made ready for the loop: where its usage counts, what its charges have in common.

    Account, terms, increment and table are there where events are charged.
    """

    __slots__ = (
        "_segment",
        "account",
        "billed_period",
        "common",
        "constants",
        "end_us",
        "increment",
        "live",
        "period",
        "position",
        "rejection",
        "start_us",
        "stored",
        "table",
        "terms",
    )

    def __init__(
        self,
        segment: Segment,
        position: Position,
        mode: EngineMode,
        common: ChargeConstants | None,
        constants: bytes,
        *,
        closed: bool,
    ) -> None:
        """`constants` is `common` packed; there is none where no event can be charged, whether closed or not."""
        self._segment = segment
        self.billed_period = ""
        self.common = common
        self.start_us = segment.start_us
        self.end_us = segment.end_us
        self.period = segment.period
        if segment.account is not None and segment.terms is not None:
            self.account = segment.account
            self.terms = segment.terms
            self.increment = segment.terms.model.increment
            self.table = segment.terms.table
        self.position = position
        self.rejection = rejection_of(segment, closed)
        self.live = mode is EngineMode.LIVE
        self.stored = mode is not EngineMode.OFF
        self.constants = constants

    def set_closed(self, closed: bool) -> None:
        """Reject from here on because the period is closed, or no more; other reasons stay."""
        self.rejection = rejection_of(self._segment, closed)

    def billed_in(self, period: str, pack: Callable[[ChargeConstants], bytes]) -> LaneSegment:
        """Return this segment as it charges late events, which `period` bills; its own period is closed."""
        assert self.common is not None
        common = replace(self.common, billed_period=period)
        late = LaneSegment(self._segment, self.position, common.mode, common, pack(common), closed=False)
        late.billed_period = period
        return late


class LaneMemory:
    """What a lane knows between batches; all of it can be read or resolved again."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.catalog_revision = -1
        self.orgs_revision = -1
        self.positions: dict[PositionKey, Position] = {}
        self.closes: PeriodCloses | None = None
        self.late: dict[tuple[LaneSegment, str], LaneSegment] = {}
        self.latest: dict[tuple[bytes, str], LaneSegment] = {}
        self.segments: dict[tuple[bytes, str], list[LaneSegment]] = {}
        self.segment_count = 0

    def start(self, catalog_revision: int, orgs_revision: int) -> None:
        """Drop the segments of other revisions, and everything when there is too much of it."""
        if len(self.positions) > limits.LANE_POSITIONS_MAX:
            self.positions = {}
            self.catalog_revision = -1
        too_many = self.segment_count > limits.LANE_SEGMENTS_MAX
        if too_many or (self.catalog_revision, self.orgs_revision) != (catalog_revision, orgs_revision):
            self.latest = {}
            self.segments = {}
            self.late = {}
            self.segment_count = 0
            self.catalog_revision = catalog_revision
            self.orgs_revision = orgs_revision

    def match(self, usages: Sequence[Usage]) -> tuple[list[LaneSegment | None], Sequence[Usage]]:
        """Return the known segment of each event or None, and the events that have none."""
        latest, found, missed = self.latest, [], []
        for usage in usages:
            at_us = usage[6]
            segment = latest.get((usage[2], usage[4]))
            if segment is None or not segment.start_us <= at_us < segment.end_us:
                segment = self.find(usage[2], usage[4], at_us)
                if segment is None:
                    missed.append(usage)
            found.append(segment)
        return found, missed

    def find(self, org_id: bytes, sku: str, at_us: int) -> LaneSegment | None:
        """Return the known segment that an event falls in, which becomes the first to be looked at."""
        for segment in self.segments.get((org_id, sku), ()):
            if segment.start_us <= at_us < segment.end_us:
                self.latest[org_id, sku] = segment
                return segment
        return None

    def add(self, org_id: bytes, sku: str, segment: LaneSegment) -> None:
        """Remember a segment."""
        self.segments.setdefault((org_id, sku), []).append(segment)
        self.latest[org_id, sku] = segment
        self.segment_count += 1

    def position(self, key: PositionKey) -> Position:
        """Return the position of a key, read or not."""
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(key)
        return position

    def change(self, change: PeriodChange) -> bool:
        """Close a period, or open it again; return whether that changes anything."""
        assert self.closes is not None
        changed = self.closes.apply(change)
        if changed:
            for (of_org, _), segments in self.segments.items():
                if change.org_id is None or change.org_id == of_org:
                    for segment in segments:
                        if segment.period == change.period:
                            segment.set_closed(self.closes.is_closed(change.period, of_org))
        return changed

    def is_closed(self, period: str, org_id: bytes) -> bool:
        """Return whether an organisation's period is closed."""
        return self.closes is not None and self.closes.is_closed(period, org_id)

    def late_segment(self, segment: LaneSegment, period: str, pack: Callable[[ChargeConstants], bytes]) -> LaneSegment:
        """Return a closed segment as it charges late events that `period` bills."""
        late = self.late.get((segment, period))
        if late is None:
            late = self.late[segment, period] = segment.billed_in(period, pack)
        return late
