"""The built-in payout provider: the list that finance pays from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from apportion_common.db.scaled import amount_of_scaled
from apportion_common.db.unit_of_work import Database
from sqlalchemy.dialects.postgresql import insert as pg_insert

from apportion_ledger.domain.settlements import PayoutAnswer, PendingPayout
from apportion_ledger.store.tables import payout_instruction


class PayoutInstructions:
    """A payout gateway that writes one row a settlement, in transactions of its own as any provider would."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pay(self, payouts: Sequence[PendingPayout]) -> Mapping[UUID, PayoutAnswer]:
        """Instruct the payouts; what was instructed before stays as it is."""
        async with self._database.transaction() as tx:
            await tx.execute(
                pg_insert(payout_instruction).on_conflict_do_nothing(),
                [
                    {
                        "settlement_id": payout.settlement_id,
                        "partner_id": payout.partner_id,
                        "currency": payout.currency,
                        "amount": amount_of_scaled(payout.amount),
                    }
                    for payout in payouts
                ],
            )
        return {payout.settlement_id: PayoutAnswer.ACCEPTED for payout in payouts}
