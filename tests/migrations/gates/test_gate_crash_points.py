"""A run that is cut at any point is taken up by the next one, and leads to the same schema."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_dev.testing.migration_gates import crash_sweep
from apportion_migrate.plan import Step

New = Callable[[], ServiceDatabase]


def test_a_crash_wherever_the_database_can_differ_is_recovered_from(
    database_factory: DatabaseFactory, step: Step, before: New, record_property: Callable[[str, object], None]
) -> None:
    made: list[ServiceDatabase] = []

    def new() -> ServiceDatabase:
        made.append(before())
        return made[-1]

    sweep = crash_sweep(new, lambda: database_factory.alembic_config(made[-1]), step.revision)
    figures = f"{sweep.points} points, {sweep.states} states, {sweep.crashes} crashes"
    record_property("figures", f"crashes in {step.revision}: {figures}")
    assert sweep.problems == []
    assert sweep.points >= sweep.crashes > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_crash_before_every_single_statement_is_recovered_from(
    database_factory: DatabaseFactory, step: Step, before: New, record_property: Callable[[str, object], None]
) -> None:
    made: list[ServiceDatabase] = []

    def new() -> ServiceDatabase:
        if len(made) > 1:
            database_factory.drop(made.pop().name)
        made.append(before())
        return made[-1]

    sweep = crash_sweep(new, lambda: database_factory.alembic_config(made[-1]), step.revision, exhaustive=True)
    figures = f"{sweep.points} points, {sweep.crashes} crashes, each run to the end"
    record_property("figures", f"crashes in {step.revision}: {figures}")
    assert sweep.problems == []
    assert sweep.crashes == sweep.points
