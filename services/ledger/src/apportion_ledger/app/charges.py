"""Write charges as lines, with their payouts and balances (spec 02 rules 1-3 and 7).

The hot path. One batch is a handful of statements whatever its size: probe the keys, COPY keys and lines, lock the
partners' balances, write payouts and balances. The balances are locked last and in the order of their keys, so that
lanes which share a partner wait for each other's commit only, and never in a circle; a batch that is taken apart locks
those of all its parts first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from apportion_common.db.unit_of_work import Database, Transaction

from apportion_ledger import errors
from apportion_ledger.app.terms import TermsCache
from apportion_ledger.domain.charges import Charge, ChargeBatch, Origin
from apportion_ledger.domain.posting import (
    BatchOutcome,
    Conflict,
    PartnerLine,
    Posting,
    balance_keys,
    difference,
    movable_keys,
    pay,
    post,
)
from apportion_ledger.domain.terms import CommissionTerms
from apportion_ledger.limits import APPEND_ATTEMPTS_MAX
from apportion_ledger.store.balances import BalanceStore
from apportion_ledger.store.lines import LineStore

OUTSIDE: Final = Origin(None, None, 0, 0)
"""The origin of charges that come by AppendCharges."""


class Charges:
    """Appends charges: those of the lanes in the lane's transaction, others in one of their own."""

    def __init__(
        self,
        database: Database,
        terms: TermsCache,
        lines: LineStore,
        balances: BalanceStore,
        thresholds: Mapping[str, int],
    ) -> None:
        """`thresholds`: least gross of a real-time payout by currency, scaled by 9 places."""
        self._database = database
        self._terms = terms
        self._lines = lines
        self._balances = balances
        self._thresholds = dict(thresholds)

    async def append(self, charges: Sequence[Charge]) -> BatchOutcome:
        """Write the charges that are not written yet; all or none. Raises Unavailable CHARGES_CONTENDED."""

        async def work(tx: Transaction) -> BatchOutcome:
            terms = await self._terms.current(tx)
            return (await self.post(tx, [ChargeBatch(OUTSIDE, charges)], terms))[0]

        return await self._database.run(work)

    async def post(
        self, tx: Transaction, batches: Sequence[ChargeBatch], terms: CommissionTerms
    ) -> Sequence[BatchOutcome]:
        """Write the batches under `terms`, whose revision the lane's transaction holds; return one outcome a batch.

        Raises Unavailable CHARGES_CONTENDED when other transactions keep writing the same charges.
        """
        posting = await self._write(tx, batches, terms)
        if posting.partnered:
            await self._pay(tx, posting.partnered, terms)
        if posting.contested:
            await self._explain(tx, posting.contested)
        return posting.outcomes

    async def hold_balances(self, tx: Transaction, charges: Sequence[Charge], terms: CommissionTerms) -> None:
        """Lock every balance that the charges may move; who posts them in parts does so first.

        Each part locks its own balances, which one after the other are in no order.
        """
        keys = movable_keys(charges, terms)
        if keys:
            await self._balances.lock(tx, keys)

    async def _write(self, tx: Transaction, batches: Sequence[ChargeBatch], terms: CommissionTerms) -> Posting:
        charge_ids = [charge.charge_id for batch in batches for charge in batch.charges]
        if not charge_ids:
            return post(batches, terms, {})
        for _ in range(APPEND_ATTEMPTS_MAX):
            posting = post(batches, terms, await self._lines.known(tx, charge_ids))
            if not posting.rows or await self._lines.write(tx, posting.rows, terms.revision):
                return posting
        raise errors.charges_contended()

    async def _pay(self, tx: Transaction, partnered: Sequence[PartnerLine], terms: CommissionTerms) -> None:
        """Lock the partners' balances, decide payouts against them, and write what they come to."""
        balances = await self._balances.lock(tx, balance_keys(partnered))
        days, payouts = pay(partnered, balances, terms, self._thresholds)
        await self._balances.apply(tx, days, payouts)

    async def _explain(self, tx: Transaction, contested: Sequence[tuple[BatchOutcome, Charge]]) -> None:
        stored = await self._lines.stored_charges(tx, [charge.charge_id for _, charge in contested])
        for outcome, charge in contested:
            outcome.conflicts.append(Conflict(charge, difference(stored.get(charge.charge_id), charge)))
