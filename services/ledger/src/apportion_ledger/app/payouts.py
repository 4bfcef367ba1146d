"""Bring payouts to their end: provider first, then the state (spec 02 rule 3)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion_common import failpoints
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.metrics import counter

from apportion_ledger.app.ports import PayoutAnswer, PayoutProvider, PendingPayout, SettlementQueue
from apportion_ledger.limits import PAYOUT_BATCH, PAYOUT_REFUSALS_MAX, PAYOUT_RETRY_S

AFTER_INSTRUCTION: Final = failpoints.register("ledger_payouts.after_instruction")
"""The provider has been told; the settlements are still pending."""

PAID = counter("apportion_ledger_payouts_total", "Payouts that a provider accepted.")
REFUSED = counter("apportion_ledger_payouts_refused_total", "Refusals of payouts.")


class Payouts:
    """One pass of the payout worker at a time; several workers may run.

    A process that ends between the provider's call and the state leaves the settlement pending: the call is repeated
    under the same key, and the provider knows it. So does an error of the provider, whose outcome is unknown.
    """

    def __init__(self, database: Database, queue: SettlementQueue, provider: PayoutProvider) -> None:
        self._database = database
        self._queue = queue
        self._provider = provider

    async def settle_pending(self) -> int:
        """Hand every pending payout to the provider once and record its answers; how many were paid."""
        paid_count, after = 0, None
        while True:
            async with self._database.read() as connection:
                pending = await self._queue.pending(connection, after, PAYOUT_BATCH, PAYOUT_RETRY_S)
            if not pending:
                return paid_count
            after = pending[-1].settlement_id
            paid_count += await self._settle(pending)

    async def _settle(self, pending: list[PendingPayout]) -> int:
        answers = await self._provider.pay(pending)
        failpoints.hit(AFTER_INSTRUCTION, settlements=len(pending))
        accepted = [key for key, answer in answers.items() if answer is PayoutAnswer.ACCEPTED]
        refused = [key for key, answer in answers.items() if answer is PayoutAnswer.REFUSED]

        async def mark_paid(tx: Transaction) -> list[UUID]:
            marked = await self._queue.mark_paid(tx, accepted)
            if marked:
                await tx.audit("settlement.paid", "settlement", after={"settlement_ids": [str(key) for key in marked]})
            return marked

        marked = await self._database.run(mark_paid) if accepted else []
        for settlement_id in refused:
            await self._refuse(settlement_id)
        PAID.inc(len(marked))
        REFUSED.inc(len(refused))
        return len(marked)

    async def _refuse(self, settlement_id: UUID) -> None:
        """Count a refusal; after the last one the amount is back in the balance, for the next sweep."""

        async def mark_refused(tx: Transaction) -> None:
            if await self._queue.mark_refused(tx, settlement_id, PAYOUT_REFUSALS_MAX):
                await tx.audit(
                    "settlement.void", f"settlement/{settlement_id}", after={"reason": "REFUSED_BY_PROVIDER"}
                )

        await self._database.run(mark_refused)
