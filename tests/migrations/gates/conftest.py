"""Databases at the predecessor of each revision of the plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_migrate.plan import Plan, Step, find_root, load_plan

PLAN = load_plan(find_root({}))


@pytest.fixture(scope="session")
def plan() -> Plan:
    return PLAN


@pytest.fixture(params=PLAN.steps, ids=lambda step: step.revision)
def step(request: pytest.FixtureRequest) -> Step:
    """Each revision of the plan."""
    found = request.param
    assert isinstance(found, Step)
    return found


@pytest.fixture
def before(
    database_factory: DatabaseFactory, plan: Plan, step: Step
) -> Callable[[Callable[[ServiceDatabase], None] | None], ServiceDatabase]:
    """Gives databases at the step's predecessor, each a copy of the first; the argument fills the first."""
    made: list[ServiceDatabase] = []

    def new(fill: Callable[[ServiceDatabase], None] | None = None) -> ServiceDatabase:
        if not made:
            template = database_factory.blank(step.service)
            previous = plan.revision_of(step).down_revision
            if previous is not None:
                command.upgrade(database_factory.alembic_config(template), str(previous))
            if fill is not None:
                fill(template)
            made.append(template)
        return database_factory.copy(made[0])

    return new
