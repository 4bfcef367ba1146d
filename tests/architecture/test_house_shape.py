"""Five services of one shape: who knows one knows all."""

from __future__ import annotations

import tomllib

import pytest
from apportion_common.settings import SERVICES
from house import ROOT, expect_none, package

ALWAYS = (
    "README.md",
    "alembic.ini",
    "pyproject.toml",
    "migrations/env.py",
    "migrations/script.py.mako",
    "migrations/versions/0001_baseline.py",
    "tests",
    "src/{package}/__init__.py",
    "src/{package}/__main__.py",
    "src/{package}/wiring.py",
    "src/{package}/settings.py",
    "src/{package}/limits.py",
    "src/{package}/flags.py",
    "src/{package}/domain/__init__.py",
    "src/{package}/app/__init__.py",
    "src/{package}/store/__init__.py",
    "src/{package}/store/tables.py",
    "src/{package}/rpc/__init__.py",
    "src/{package}/rpc/servicer.py",
    "src/{package}/consumers/__init__.py",
    "src/{package}/jobs/__init__.py",
)
SOMETIMES = {"adapters", "errors.py", "py.typed"}
"""A service that reaches nothing outside needs no adapters, one without errors of its own no errors.py."""
IGNORED = {"__pycache__"}


def revisions() -> dict[str, str]:
    """The plan's revision of each service."""
    plan = tomllib.loads((ROOT / "deploy" / "migration-plan.toml").read_text(encoding="utf-8"))
    return {step["service"]: step["revision"] for step in plan["step"]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_every_common_file(service: str) -> None:
    names = (name.format(package=f"apportion_{service}") for name in ALWAYS)
    expect_none(f"services/{service}/{name}" for name in names if not (ROOT / "services" / service / name).exists())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_ports_in_one_module_or_in_one_package_by_subject(service: str) -> None:
    places = (package(service) / "app" / name for name in ("ports.py", "ports/__init__.py"))
    assert sum(place.exists() for place in places) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_nothing_else_at_the_top_of_its_package(service: str) -> None:
    common = {name.split("/")[2] for name in ALWAYS if name.startswith("src/")}
    present = {entry.name for entry in package(service).iterdir()} - IGNORED
    expect_none(present - common - SOMETIMES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_baseline_and_the_plans_revision_and_no_other(service: str) -> None:
    versions = ROOT / "services" / service / "migrations" / "versions"
    assert sorted(file.stem for file in versions.glob("*.py")) == ["0001_baseline", revisions()[service]]


def test_the_five_project_files_differ_by_their_names_and_dependencies_only() -> None:
    texts = set()
    for service in SERVICES:
        project = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text(encoding="utf-8"))
        assert project["project"].pop("name") == f"apportion-{service}"
        project["project"].pop("description")
        project["project"].pop("dependencies")
        project.get("tool", {}).get("uv", {}).pop("sources", None)
        texts.add(repr(project))
    assert len(texts) == 1, "\n".join(sorted(texts))


@pytest.mark.parametrize("service", SERVICES)
def test_tests_lie_beside_their_service_under_names_that_say_whose_they_are(service: str) -> None:
    """pytest wants one name for one file in the whole workspace."""
    files = (ROOT / "services" / service / "tests").rglob("test_*.py")
    expect_none(str(file.relative_to(ROOT)) for file in files if not file.stem.startswith(f"test_{service}_"))
