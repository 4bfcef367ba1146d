"""Announces overdue conflicts again, until somebody settles them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from apportion_common.db.faults import classify
from apportion_common.db.unit_of_work import Database
from apportion_common.logs import get_logger

from apportion_identity.app.conflicts import Conflicts
from apportion_identity.limits import ESCALATION_EVERY_S, OVERDUE_PER_ROUND_MAX

log = get_logger(__name__)


class EscalateConflicts:
    """Looks for overdue conflicts, for ever; several processes may, for what one holds the others leave out."""

    def __init__(self, database: Database, conflicts: Conflicts, paused: Callable[[], bool]) -> None:
        """Work on these, except while `paused()` is true."""
        self._database = database
        self._conflicts = conflicts
        self._paused = paused

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Failures of the surroundings are waited out; another error ends the task."""
        while not stop.is_set():
            pause_s = ESCALATION_EVERY_S
            try:
                if await self.round() == OVERDUE_PER_ROUND_MAX:
                    pause_s = 0
            except Exception as error:
                if classify(error) != "infrastructure":
                    raise
                log.warning("conflicts.escalation_retry", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    async def round(self) -> int:
        """Escalate what is overdue; gives how many there were."""
        if self._paused():
            return 0
        escalated = await self._conflicts.escalate_overdue(self._database)
        if escalated:
            log.warning("conflicts.overdue", count=escalated)
        return escalated
