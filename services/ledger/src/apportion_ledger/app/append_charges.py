"""AppendCharges: charges that come outside the lanes, in bulk."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.unit_of_work import Database, Transaction

from apportion_ledger.app.append import BatchOutcome, ChargeAppender, ChargeBatch
from apportion_ledger.app.ports import Charge, Origin
from apportion_ledger.app.terms import TermsCache

OUTSIDE = Origin(None, None, 0, 0)


class AppendCharges:
    """Appends charges in a transaction of their own."""

    def __init__(self, database: Database, terms: TermsCache, appender: ChargeAppender) -> None:
        self._database = database
        self._terms = terms
        self._appender = appender

    async def append(self, charges: Sequence[Charge]) -> BatchOutcome:
        """Write the charges that do not stand yet; all or none. Raises Unavailable CHARGES_CONTENDED."""

        async def work(tx: Transaction) -> BatchOutcome:
            terms = await self._terms.current(tx)
            return (await self._appender.append(tx, [ChargeBatch(OUTSIDE, charges)], terms))[0]

        return await self._database.run(work)
