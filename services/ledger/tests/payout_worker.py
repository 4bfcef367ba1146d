"""A payout job in a process of its own that is killed between provider and state; started by a test."""

from __future__ import annotations

import asyncio
import os

from apportion_common import failpoints
from apportion_common.clock import SystemClock
from apportion_common.db.engine import make_engine
from apportion_common.db.unit_of_work import Database
from apportion_ledger.app.payouts import AFTER_INSTRUCTION, Payouts
from apportion_ledger.store.payout_instructions import PayoutInstructions
from apportion_ledger.store.settlements import SettlementStore


async def main() -> None:
    """Settle what is pending; the armed fail point kills the process on the way."""
    failpoints.arm(AFTER_INSTRUCTION, "test")
    engine = make_engine(os.environ["LEDGER_TEST_URL"], "payout job", 2)
    database = Database(engine, "ledger", SystemClock())
    await Payouts(database, SettlementStore(), PayoutInstructions(database)).settle_pending()


if __name__ == "__main__":
    asyncio.run(main())
