"""What revisions build: the same offline and online, nothing left on the way back, and what Alembic's users expect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_dev.testing.migration_gates import left_by_downgrade, offline_differences
from apportion_migrate import conductor
from apportion_migrate.plan import Plan, Step
from pytest_alembic import runner, tests
from pytest_alembic.config import Config
from sqlalchemy import Engine

ALEMBIC_TESTS = (
    tests.test_single_head_revision,
    tests.test_upgrade,
    tests.test_up_down_consistency,
)


@pytest.fixture(scope="module")
def offline_sql(plan: Plan) -> dict[str, str]:
    texts: dict[str, str] = dict.fromkeys(SERVICES, "")
    for step, text in conductor.sql(plan):
        texts[step.service] += text
    return texts


@pytest.mark.parametrize("service", SERVICES)
def test_the_sql_as_text_builds_what_the_migrations_build(
    database_factory: DatabaseFactory, offline_sql: dict[str, str], service: str
) -> None:
    online, offline = database_factory.service(service), database_factory.blank(service)
    assert offline_differences(online, offline, offline_sql[service]) == []


def test_the_way_back_leaves_no_trace(
    database_factory: DatabaseFactory, step: Step, before: Callable[[], ServiceDatabase]
) -> None:
    database = before()
    assert left_by_downgrade(database, lambda: database_factory.alembic_config(database), step.revision) == []


@pytest.mark.parametrize("check", ALEMBIC_TESTS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("service", SERVICES)
def test_what_every_alembic_environment_should_stand(
    database_factory: DatabaseFactory, service: str, check: Callable[..., None]
) -> None:
    config = database_factory.alembic_config(database_factory.blank(service))
    engine = config.attributes["connection"]
    assert isinstance(engine, Engine)
    with runner(config=Config(alembic_config=config), engine=engine) as alembic:
        check(alembic)


@pytest.mark.parametrize("service", SERVICES)
def test_alembic_would_generate_nothing_more_from_the_models(database_factory: DatabaseFactory, service: str) -> None:
    config = database_factory.alembic_config(database_factory.blank(service))
    engine = config.attributes["connection"]
    with runner(config=Config(alembic_config=config), engine=engine) as alembic:
        tests.test_model_definitions_match_ddl(alembic)
