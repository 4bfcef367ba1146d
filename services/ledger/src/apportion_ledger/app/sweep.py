"""The weekly sweep: each partner and currency gets what is payable of closed weeks (spec 02 rule 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from apportion_common import failpoints
from apportion_common.db.unit_of_work import Transaction
from apportion_common.ids import uuid5_bytes
from apportion_common.metrics import counter

from apportion_ledger import errors
from apportion_ledger.app.ports import SweepBalance, SweepOutcome, SweepStore
from apportion_ledger.domain.payouts import PayoutState, sweep_payout
from apportion_ledger.domain.weeks import Week, parse_week

CARRIED: Final = {
    PayoutState.PAID: "",
    PayoutState.OTHER_CURRENCY: "NOT_PAYOUT_CURRENCY",
    PayoutState.HELD: "HELD",
    PayoutState.NEGATIVE_BALANCE: "NEGATIVE",
    PayoutState.ROUNDS_TO_ZERO: "BELOW_MINOR_UNIT",
    PayoutState.BELOW_MINIMUM: "BELOW_MINIMUM",
}
"""Why a balance is carried, as the contract says it."""

AFTER_EXECUTE: Final = failpoints.register("ledger_sweep.after_execute")
"""All of a sweep's statements are done; none of them is committed."""

SWEPT = counter("apportion_ledger_swept_total", "Payouts that sweeps decided.")


class Sweeps:
    """Runs sweeps: all of a week in one transaction, so that a killed one never was."""

    def __init__(self, store: SweepStore, minimums: Mapping[str, int]) -> None:
        """`minimums`: least payout by currency, scaled by 9 places; none where a currency is absent."""
        self._store = store
        self._minimums = minimums

    async def run(self, tx: Transaction, week_key: str) -> list[SweepOutcome]:
        """Sweep a week inside a caller's transaction; what was done, also when it was done before.

        Sweeps take turns, and a week that was swept is only told again: it pays nothing more. Raises InvalidArgument
        WEEK_MALFORMED, FailedPrecondition WEEK_NOT_CLOSED.
        """
        week = parse_week(week_key)
        if not await self._store.is_over(tx, week):
            raise errors.week_not_closed(week.key)
        if await self._store.enter(tx, week):
            return await self._store.outcomes(tx, week)
        outcomes = [self._decide(week, balance) for balance in await self._store.lock_balances(tx, week)]
        await self._store.pay(tx, week, outcomes)
        await self._store.finish(tx, week)
        paid_count = sum(outcome.settlement_id is not None for outcome in outcomes)
        await tx.audit(
            "sweep.run", f"sweep/{week.key}", after={"balance_count": len(outcomes), "payout_count": paid_count}
        )
        failpoints.hit(AFTER_EXECUTE, week=week.key, payouts=paid_count)
        SWEPT.inc(paid_count)
        return outcomes

    def _decide(self, week: Week, found: SweepBalance) -> SweepOutcome:
        payout = sweep_payout(
            currency=found.currency,
            balance=found.balance,
            payout_currency=found.payout_currency,
            held=found.held,
            minimum=self._minimums.get(found.currency, 0),
        )
        settlement_id = None
        if payout.amount:
            name = f"sweep:{week.key}:{found.currency}".encode()
            settlement_id = UUID(bytes=uuid5_bytes(found.partner_id.bytes, name))
        carried_reason = CARRIED[payout.state] if found.balance else ""
        return SweepOutcome(
            found.partner_id, found.currency, found.balance, payout.amount, settlement_id, carried_reason
        )
