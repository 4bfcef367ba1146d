"""No revision keeps writers of a table with rows waiting, writes a table anew, or locks more than it says."""

from __future__ import annotations

from collections.abc import Callable

from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_dev.testing.migration_gates import Trace, shortest, trace_locks
from apportion_migrate.plan import Plan, Step
from apportion_migrate.revision import notes_of
from seeded import seed

ATTEMPTS = 6
"""Of a few runs the shortest time of each table counts; one is enough where nothing else keeps the machine busy."""


def test_locks_are_short_and_no_more_than_declared(
    database_factory: DatabaseFactory,
    plan: Plan,
    step: Step,
    before: Callable[[Callable[[ServiceDatabase, str], None]], ServiceDatabase],
) -> None:
    notes = notes_of(plan.revision_of(step))
    assert notes is not None
    traces: list[Trace] = []
    problems: list[str] = []
    for _ in range(ATTEMPTS):
        database = before(seed)
        traces.append(trace_locks(database, database_factory.alembic_config(database), step.revision))
        database_factory.drop(database.name)
        problems = shortest(traces).problems(notes.lock_class)
        if not problems:
            break
    for held in shortest(traces).held:
        print(f"{held.table}: {held.mode}, strong for {held.strong_ms} ms")
    assert problems == []
