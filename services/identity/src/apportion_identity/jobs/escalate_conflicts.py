"""Publishes overdue conflicts again, until somebody settles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apportion_common.logs import get_logger
from apportion_common.periodic import run_periodically

from apportion_identity.app.conflicts import Conflicts
from apportion_identity.limits import ESCALATION_EVERY_S, OVERDUE_CONFLICTS_PER_ROUND_MAX

log = get_logger(__name__)


class ConflictEscalationJob:
    """Looks for overdue conflicts; several processes may, for what one has locked the others skip."""

    def __init__(self, conflicts: Conflicts, paused: Callable[[], bool]) -> None:
        """Work on these, except while `paused()` is true."""
        self._conflicts = conflicts
        self._paused = paused

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Infrastructure failures are waited out; another error ends the task."""
        await run_periodically(
            self.round,
            ESCALATION_EVERY_S,
            stop,
            full=OVERDUE_CONFLICTS_PER_ROUND_MAX,
            on_failure=lambda error: log.warning("conflicts.escalation_retry", error=type(error).__name__),
        )

    async def round(self) -> int:
        """Escalate what is overdue; return how many conflicts there were."""
        if self._paused():
            return 0
        escalated = await self._conflicts.escalate_overdue()
        if escalated:
            log.warning("conflicts.overdue", count=escalated)
        return escalated
