"""Ends claims that nothing proved in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apportion_common.logs import get_logger
from apportion_common.periodic import run_periodically

from apportion_identity.app.claims import Claims
from apportion_identity.limits import EXPIRED_CLAIMS_PER_ROUND_MAX, EXPIRY_EVERY_S

log = get_logger(__name__)


class ClaimExpiryJob:
    """Looks for expired claims; several processes may, for each claim is looked at again under its lock."""

    def __init__(self, claims: Claims, paused: Callable[[], bool]) -> None:
        """Work on these, except while `paused()` is true."""
        self._claims = claims
        self._paused = paused

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Infrastructure failures are waited out; another error ends the task."""
        await run_periodically(
            self.round,
            EXPIRY_EVERY_S,
            stop,
            full=EXPIRED_CLAIMS_PER_ROUND_MAX,
            on_failure=lambda error: log.warning("claims.expiry_retry", error=type(error).__name__),
        )

    async def round(self) -> int:
        """End the claims that are due; return how many."""
        if self._paused():
            return 0
        ended = await self._claims.expire()
        if ended:
            log.info("claims.expired", count=ended)
        return ended
