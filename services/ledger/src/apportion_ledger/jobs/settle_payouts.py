"""Bring pending payouts to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apportion_common.logs import get_logger
from apportion_common.periodic import run_periodically

from apportion_ledger.app.payouts import Payouts
from apportion_ledger.limits import PAYOUT_IDLE_POLL_MS, PAYOUT_POLL_MS, PAYOUT_RETRY_S

log = get_logger(__name__)


class PayoutJob:
    """Settles what is pending, forever."""

    def __init__(self, payouts: Payouts, paused: Callable[[], bool]) -> None:
        """Settle, except while `paused()` is true."""
        self._payouts = payouts
        self._paused = paused

    async def run(self, stop: asyncio.Event) -> None:
        """Settle until `stop` is set. Infrastructure failures are waited out; another error ends the task."""
        await run_periodically(
            self.round,
            PAYOUT_POLL_MS / 1_000,
            stop,
            idle_s=PAYOUT_IDLE_POLL_MS / 1_000,
            retry_s=PAYOUT_RETRY_S,
            on_failure=lambda error: log.warning("payouts.retry", error=type(error).__name__),
        )

    async def round(self) -> int:
        """Settle what is pending; return how many payouts."""
        if self._paused():
            return 0
        paid_count = await self._payouts.settle_pending()
        if paid_count:
            log.info("payouts.settled", count=paid_count)
        return paid_count
