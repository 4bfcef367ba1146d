"""Check every invariant of the ledger and name what breaks one (spec 02 rule 8)."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.unit_of_work import Database
from apportion_common.metrics import gauge

from apportion_ledger.domain.invariants import InvariantOutcome
from apportion_ledger.limits import CHECK_EXAMPLES_MAX
from apportion_ledger.store.invariants import InvariantStore

VIOLATIONS = gauge(
    "apportion_ledger_violations", "What breaks an invariant, as of its last check; 0 is sound.", ["name"]
)


class Invariants:
    """Checks the invariants."""

    def __init__(self, database: Database, invariants: InvariantStore) -> None:
        self._database = database
        self._invariants = invariants

    async def check(self) -> Sequence[InvariantOutcome]:
        """Check all invariants against one snapshot."""
        async with self._database.read(snapshot=True) as connection:
            outcomes = await self._invariants.violations(connection, CHECK_EXAMPLES_MAX)
        for outcome in outcomes:
            VIOLATIONS.labels(outcome.name).set(outcome.violation_count)
        return outcomes
