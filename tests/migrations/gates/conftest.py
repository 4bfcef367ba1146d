"""Databases at the predecessor of each revision of the plan, empty or with rows that came the same way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_migrate.plan import Plan, Step, load_plan

PLAN = load_plan()

Fill = Callable[[ServiceDatabase, str], None]
"""Puts rows into a database that stands at a revision."""


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
def before(database_factory: DatabaseFactory, plan: Plan, step: Step) -> Callable[[Fill | None], ServiceDatabase]:
    """Return databases at the step's predecessor, each a copy of the first.

    The first goes there revision by revision; what it is called with may put rows in at each, which the later ones
    then find: so rows have the shape that their table has at the step.
    """
    made: list[ServiceDatabase] = []

    def new(fill: Fill | None = None) -> ServiceDatabase:
        if not made:
            template = database_factory.blank(step.service)
            for earlier in plan.steps_of(step.service):
                if earlier == step:
                    break
                command.upgrade(database_factory.alembic_config(template), earlier.revision)
                if fill is not None:
                    fill(template, earlier.revision)
            made.append(template)
        return database_factory.copy(made[0])

    return new
