"""Announces overdue conflicts again, until somebody settles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apportion_common.db.unit_of_work import Database
from apportion_common.logs import get_logger

from apportion_identity.app.conflicts import Conflicts
from apportion_identity.jobs.rounds import in_rounds
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
        await in_rounds(
            stop,
            self.round,
            full=OVERDUE_PER_ROUND_MAX,
            every_s=ESCALATION_EVERY_S,
            on_failure=lambda error: log.warning("conflicts.escalation_retry", error=type(error).__name__),
        )

    async def round(self) -> int:
        """Escalate what is overdue; gives how many there were."""
        if self._paused():
            return 0
        escalated = await self._conflicts.escalate_overdue(self._database)
        if escalated:
            log.warning("conflicts.overdue", count=escalated)
        return escalated
