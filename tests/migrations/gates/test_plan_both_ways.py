"""The whole plan, there and back and there again, with a database for each service and with a schema for each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import psycopg
import pytest
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate import conductor
from apportion_migrate.lint import lint
from apportion_migrate.plan import BASE, PLAN_FILE, Plan, PlanError, load_plan
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


@pytest.fixture
def checkout(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A copy of everything that a revision is made of."""
    (tmp_path / PLAN_FILE.parent).mkdir()
    shutil.copy(plan.root / PLAN_FILE, tmp_path / PLAN_FILE)
    for service in plan.services:
        folder = Path("services") / service
        shutil.copytree(plan.root / folder / "migrations", tmp_path / folder / "migrations")
        shutil.copy(plan.root / folder / "alembic.ini", tmp_path / folder / "alembic.ini")
    monkeypatch.syspath_prepend(str(plan.root / "scripts"))
    return load_plan(tmp_path)


def test_a_new_revision_has_its_place_and_is_refused_until_it_is_filled_in(checkout: Plan) -> None:
    from new_revision import new_revision

    made = new_revision(checkout, "orgs", "add_region", "20261122")
    grown = load_plan(checkout.root)
    grown.check()
    assert made.name == "20261122_06_add_region.py"
    assert grown.steps[-1].revision == "20261122_06_add_region"
    found = [complaint for complaint in lint(grown) if complaint.revision == grown.steps[-1].revision]
    assert [complaint.message for complaint in found] == ["The scaffold's gaps are still to be filled."]
    sys.modules.pop("new_revision")


@pytest.mark.parametrize(("service", "name"), [("billing", "add_region"), ("orgs", "Add Region"), ("orgs", "x")])
def test_a_new_revision_of_no_service_or_no_name_is_refused(checkout: Plan, service: str, name: str) -> None:
    from new_revision import new_revision

    with pytest.raises(PlanError):
        new_revision(checkout, service, name, "20261122")
    assert len(load_plan(checkout.root).steps) == len(checkout.steps)
    sys.modules.pop("new_revision")
