"""The whole plan, there and back and there again, with a database for each service and with a schema for each."""

from __future__ import annotations

import psycopg
import pytest
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate import conductor
from apportion_migrate.plan import BASE, Plan
from apportion_migrate.statements import revision_statements
from apportion_migrate.steps import Progress

Environ = dict[str, str]


@pytest.fixture(params=["databases", "schemas"])
def environ(request: pytest.FixtureRequest, database_factory: DatabaseFactory) -> Environ:
    """The URLs of empty databases, or of empty schemas in one database."""
    urls = {service: database_factory.blank(service).owner_url for service in SERVICES}
    if request.param == "schemas":
        shared = urls[SERVICES[0]]
        with psycopg.connect(shared, autocommit=True) as connection:
            for service in SERVICES:
                connection.execute(f"CREATE SCHEMA {service}".encode())
        urls = {service: f"{shared}?options=-csearch_path%3D{service}" for service in SERVICES}
    return {f"{service.upper()}_MIGRATION_DATABASE_URL": url for service, url in urls.items()}


def up(plan: Plan, environ: Environ) -> list[Progress]:
    heard: list[Progress] = []
    conductor.up(plan, report=heard.append, environ=environ)
    return heard


def kinds(heard: list[Progress]) -> list[tuple[str, str]]:
    return [
        (progress.kind, progress.step.revision) for progress in heard if progress.kind not in ("applying", "checked")
    ]


def test_the_plan_goes_up_and_down_and_up_again(plan: Plan, environ: Environ) -> None:
    revisions = [step.revision for step in plan.steps]
    assert not conductor.status(plan, environ).complete
    assert kinds(up(plan, environ)) == [("applied", revision) for revision in revisions]
    assert conductor.status(plan, environ).complete
    assert kinds(up(plan, environ)) == [("already", revision) for revision in revisions]
    heard: list[Progress] = []
    conductor.down(plan, to=BASE, report=heard.append, environ=environ)
    assert kinds(heard) == [("undone", revision) for revision in reversed(revisions)]
    assert set(conductor.status(plan, environ).versions.values()) == {None}
    assert kinds(up(plan, environ)) == [("applied", revision) for revision in revisions]


def test_baselines_that_stand_without_a_version_are_adopted(plan: Plan, environ: Environ) -> None:
    baselines = {step.service: step for step in reversed(plan.steps)}
    for service, step in baselines.items():
        script = plan.revision_of(step)
        with psycopg.connect(environ[f"{service.upper()}_MIGRATION_DATABASE_URL"], autocommit=True) as connection:
            for statement in revision_statements(script, service):
                connection.execute(statement.encode())
    heard = up(plan, environ)
    expected = [("adopted" if step in baselines.values() else "applied", step.revision) for step in plan.steps]
    assert kinds(heard) == expected
    assert conductor.status(plan, environ).complete
