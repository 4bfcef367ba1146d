"""The weekly sweep: each partner and currency gets what is payable of closed weeks (spec 02 rule 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from apportion_common import failpoints
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.metrics import counter
from google.protobuf.message import Message

from apportion_ledger import errors
from apportion_ledger.domain.sweeps import SweepOutcome, sweep_balance
from apportion_ledger.domain.weeks import parse_week
from apportion_ledger.store.sweeps import SweepStore

AFTER_EXECUTE: Final = failpoints.register("ledger_sweep.after_execute")
"""All of a sweep's statements are done; none of them is committed."""

SWEPT = counter("apportion_ledger_swept_total", "Payouts that sweeps decided.")

Answer = TypeVar("Answer", bound=Message)


class Sweeps:
    """Runs sweeps: all of a week in one transaction, so that a killed one never was."""

    def __init__(self, database: Database, sweeps: SweepStore, minimums: Mapping[str, int]) -> None:
        """`minimums`: least payout by currency, scaled by 9 places; none where a currency is absent."""
        self._database = database
        self._sweeps = sweeps
        self._minimums = minimums

    async def run(self, mutation: Mutation[Sequence[SweepOutcome], Answer], week_key: str) -> Answer:
        """Sweep a week; the outcomes are what was done, also when it was done before.

        Sweeps take turns, and a week that was swept pays nothing more. Raises InvalidArgument WEEK_MALFORMED,
        FailedPrecondition WEEK_NOT_CLOSED.
        """

        async def work(tx: Transaction) -> Sequence[SweepOutcome]:
            week = parse_week(week_key)
            if not await self._sweeps.is_over(tx, week):
                raise errors.week_not_closed(week.key)
            if await self._sweeps.enter(tx, week):
                return await self._sweeps.outcomes(tx, week)
            found = await self._sweeps.lock_balances(tx, week)
            outcomes = [sweep_balance(week, balance, self._minimums) for balance in found]
            await self._sweeps.pay(tx, week, outcomes)
            await self._sweeps.finish(tx, week)
            paid_count = sum(outcome.settlement_id is not None for outcome in outcomes)
            await tx.audit(
                "sweep.run", f"sweep/{week.key}", after={"balance_count": len(outcomes), "payout_count": paid_count}
            )
            failpoints.hit(AFTER_EXECUTE, week=week.key, payouts=paid_count)
            SWEPT.inc(paid_count)
            return outcomes

        return await run_mutation(self._database, mutation, work)
