"""Ends claims that nothing proved in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apportion_common.db.unit_of_work import Database
from apportion_common.logs import get_logger

from apportion_identity.app.claims import Claims
from apportion_identity.app.conflicts import read_terms
from apportion_identity.app.ports.settings import RuntimeSettings
from apportion_identity.jobs.rounds import in_rounds
from apportion_identity.limits import EXPIRED_CLAIMS_PER_ROUND_MAX, EXPIRY_EVERY_S

log = get_logger(__name__)


class ExpireClaims:
    """Looks for ended claims, for ever; several processes may, for each claim is looked at again under its lock."""

    def __init__(
        self, database: Database, claims: Claims, settings: RuntimeSettings, paused: Callable[[], bool]
    ) -> None:
        """Work on these, except while `paused()` is true."""
        self._database = database
        self._claims = claims
        self._settings = settings
        self._paused = paused

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Failures of the surroundings are waited out; another error ends the task."""
        await in_rounds(
            stop,
            self.round,
            full=EXPIRED_CLAIMS_PER_ROUND_MAX,
            every_s=EXPIRY_EVERY_S,
            on_failure=lambda error: log.warning("claims.expiry_retry", error=type(error).__name__),
        )

    async def round(self) -> int:
        """End the claims that are due; gives how many."""
        if self._paused():
            return 0
        ended = await self._claims.expire(self._database, await read_terms(self._settings))
        if ended:
            log.info("claims.expired", count=ended)
        return ended
