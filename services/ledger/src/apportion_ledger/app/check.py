"""Run every invariant of the ledger and name what breaks one (spec 02 rule 8)."""

from __future__ import annotations

from apportion_common.db.unit_of_work import Database
from apportion_common.metrics import gauge

from apportion_ledger.app.ports import InvariantChecks, InvariantOutcome
from apportion_ledger.limits import CHECK_EXAMPLES_MAX

VIOLATIONS = gauge(
    "apportion_ledger_violations", "What breaks an invariant, as of its last check; 0 is sound.", ["name"]
)


class LedgerCheck:
    """Runs the invariants."""

    def __init__(self, database: Database, checks: InvariantChecks) -> None:
        self._database = database
        self._checks = checks

    async def run(self) -> list[InvariantOutcome]:
        """All invariants against one snapshot."""
        async with self._database.read(snapshot=True) as connection:
            outcomes = await self._checks.run(connection, CHECK_EXAMPLES_MAX)
        for outcome in outcomes:
            VIOLATIONS.labels(outcome.name).set(outcome.violation_count)
        return outcomes
