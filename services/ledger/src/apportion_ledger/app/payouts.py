"""Bring payouts to their end: provider first, then the state (spec 02 rule 3)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion_common import failpoints
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.metrics import counter

from apportion_ledger.app.edges import PayoutGateway
from apportion_ledger.domain.settlements import PayoutAnswer, PendingPayout
from apportion_ledger.limits import PAYOUT_BATCH_SETTLEMENTS, PAYOUT_REJECTIONS_MAX, PAYOUT_RETRY_S
from apportion_ledger.store.settlements import SettlementStore

AFTER_INSTRUCTION: Final = failpoints.register("ledger_payouts.after_instruction")
"""The provider has been told; the settlements are still pending."""

PAID = counter("apportion_ledger_payouts_total", "Payouts that a provider accepted.")
REJECTED = counter("apportion_ledger_payouts_refused_total", "Rejections of payouts.")


class Payouts:
    """Settles pending payouts; several processes may do so at once.

    A process that ends between the provider's call and the state leaves the settlement pending: the call is repeated
    under the same key, and the provider knows it. So does an error of the provider, whose outcome is unknown.
    """

    def __init__(self, database: Database, settlements: SettlementStore, gateway: PayoutGateway) -> None:
        self._database = database
        self._settlements = settlements
        self._gateway = gateway

    async def settle_pending(self) -> int:
        """Hand every pending payout to the provider once and record its answers; return how many were paid."""
        paid_count, after = 0, None
        while True:
            async with self._database.read() as connection:
                pending = await self._settlements.pending(connection, after, PAYOUT_BATCH_SETTLEMENTS, PAYOUT_RETRY_S)
            if not pending:
                return paid_count
            after = pending[-1].settlement_id
            paid_count += await self._settle(pending)

    async def _settle(self, pending: list[PendingPayout]) -> int:
        answers = await self._gateway.pay(pending)
        failpoints.hit(AFTER_INSTRUCTION, settlements=len(pending))
        accepted = [key for key, answer in answers.items() if answer is PayoutAnswer.ACCEPTED]
        rejected = [key for key, answer in answers.items() if answer is PayoutAnswer.REJECTED]

        async def mark_paid(tx: Transaction) -> list[UUID]:
            marked = await self._settlements.mark_paid(tx, accepted)
            if marked:
                await tx.audit("settlement.paid", "settlement", after={"settlement_ids": [str(key) for key in marked]})
            return marked

        marked = await self._database.run(mark_paid) if accepted else []
        for settlement_id in rejected:
            await self._reject(settlement_id)
        PAID.inc(len(marked))
        REJECTED.inc(len(rejected))
        return len(marked)

    async def _reject(self, settlement_id: UUID) -> None:
        """Count a rejection; after the last one the amount is back in the balance, for the next sweep."""

        async def mark_rejected(tx: Transaction) -> None:
            if await self._settlements.mark_rejected(tx, settlement_id, PAYOUT_REJECTIONS_MAX):
                await tx.audit(
                    "settlement.void", f"settlement/{settlement_id}", after={"reason": "REFUSED_BY_PROVIDER"}
                )

        await self._database.run(mark_rejected)
