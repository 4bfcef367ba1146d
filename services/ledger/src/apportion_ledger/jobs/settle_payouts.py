"""Bring pending payouts to their end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from apportion_common.faults import classify
from apportion_common.logs import get_logger

from apportion_ledger.app.payouts import Payouts
from apportion_ledger.limits import PAYOUT_POLL_MS, PAYOUT_RETRY_S

log = get_logger(__name__)


class PayoutJob:
    """Settles what is pending, forever."""

    def __init__(self, payouts: Payouts, paused: Callable[[], bool]) -> None:
        """Settle, except while `paused()` is true."""
        self._payouts = payouts
        self._paused = paused

    async def run(self, stop: asyncio.Event) -> None:
        """Settle until `stop` is set. Failures of the surroundings are waited out; another error ends the task."""
        while not stop.is_set():
            pause_ms = PAYOUT_POLL_MS
            try:
                paid_count = 0 if self._paused() else await self._payouts.settle_pending()
                if paid_count:
                    log.info("payouts.settled", count=paid_count)
            except Exception as error:
                if classify(error) != "infrastructure":
                    raise
                log.warning("payouts.retry", error=type(error).__name__)
                pause_ms = PAYOUT_RETRY_S * 1_000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_ms / 1_000)
