"""The terms that lines are decided under, read once per revision."""

from __future__ import annotations

import asyncio

from apportion_common.db.head import held_revision
from apportion_common.db.unit_of_work import Transaction

from apportion_ledger.domain.terms import CommissionTerms
from apportion_ledger.store.terms import TermsStore


class TermsCache:
    """The newest terms in memory, shared by all lanes of the process."""

    def __init__(self, store: TermsStore) -> None:
        self._store = store
        self._terms: CommissionTerms | None = None
        self._loading = asyncio.Lock()

    async def current(self, tx: Transaction) -> CommissionTerms:
        """Return the terms in force, which stay so until the transaction ends.

        Holds the configuration's head FOR SHARE: a change of terms waits for the lines in flight, and sees them.
        """
        revision = await held_revision(tx)
        terms = self._terms
        if terms is not None and terms.revision == revision:
            return terms
        async with self._loading:
            if self._terms is None or self._terms.revision != revision:
                self._terms = await self._store.load(tx.connection, revision)
            return self._terms
