"""Five services of one shape, down to the last room: docs/trees.md shows them side by side."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from apportion_common.settings import SERVICES
from apportion_migrate.plan import load_plan
from house import ROOT, Source, dotted, expect_none, package, sources

from scripts import trees

ALWAYS: Final = (
    "README.md",
    "alembic.ini",
    "pyproject.toml",
    "tests",
    "tests/{service}_harness.py",
    "src/{package}/__init__.py",
    "src/{package}/__main__.py",
    "src/{package}/wiring.py",
    "src/{package}/settings.py",
    "src/{package}/limits.py",
    "src/{package}/errors.py",
    "src/{package}/flags.py",
    "src/{package}/domain/__init__.py",
    "src/{package}/app/__init__.py",
    "src/{package}/store/__init__.py",
    "src/{package}/store/tables.py",
    "src/{package}/rpc/__init__.py",
    "src/{package}/rpc/audit.py",
    "src/{package}/rpc/messages.py",
    "src/{package}/rpc/servicer.py",
    "src/{package}/migrations/env.py",
    "src/{package}/migrations/preflight.py",
    "src/{package}/migrations/versions/0001_baseline.py",
)
PROTOCOL_PLACES: Final = (
    "app/edges.py",
    "domain/charge_models/model.py",  # the rule of which there are several
    "domain/domain_names.py",  # the list of public suffixes, which a package brings
    "smtp/mail.py",  # what the gateway hands a mail to; its tests have another
)
"""Where a Protocol may stand: at an edge that has a second implementation, and where a rule has several."""
WHERE_NEEDED: Final = {"adapters", "consumers", "jobs", "smtp", "seeds"}
"""Rooms that a service has only where something lives in them."""
IGNORED: Final = {"__pycache__"}
OPENS_TRANSACTIONS: Final = re.compile(r"\b(?:database|_database)\.(?:transaction|read|run)$")
PROTOBUF_IN_APP: Final = ("app/events.py",)
"""Payloads of published events and of audit rows are messages; use cases take and return values."""
SQL: Final = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+\S")
VERB_NOUN: Final = re.compile(r"[a-z]+(?:_[a-z]+)+")
OWN_GATEWAY: Final = {"PayoutInstructions"}
OWN_GATEWAY_FILE: Final = "store/payout_instructions.py"
"""The payout provider that is built in: as one outside would, it has transactions of its own, in a table of ours."""


def modules(service: str, room: str) -> Iterator[Source]:
    """The modules of a room, without the packages' own files."""
    folder = package(service) / room
    return (source for source in sources(folder) if source.path.name != "__init__.py") if folder.is_dir() else iter(())


def classes(source: Source) -> list[ast.ClassDef]:
    """The public classes of a module."""
    return [node for node in source.tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def is_value(node: ast.ClassDef) -> bool:
    """Whether a class is a record, an enum, an error or a protocol, and so plays no role of its own."""
    decorated = any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list)
    bases = {dotted(base.value if isinstance(base, ast.Subscript) else base).rpartition(".")[2] for base in node.bases}
    records = {"NamedTuple", "Protocol", "Enum", "StrEnum", "IntEnum", "Exception", "UserDefinedType", "TypedDict"}
    return decorated or bool(bases & records)


def acting(source: Source) -> list[str]:
    """The names of a module's public classes that do something."""
    return [node.name for node in classes(source) if not is_value(node)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_every_common_file(service: str) -> None:
    names = (name.format(package=f"apportion_{service}", service=service) for name in ALWAYS)
    expect_none(f"services/{service}/{name}" for name in names if not (ROOT / "services" / service / name).exists())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_nothing_else_at_the_top_of_its_package(service: str) -> None:
    common = {name.split("/")[2] for name in ALWAYS if name.startswith("src/")}
    present = {entry.name for entry in package(service).iterdir()} - IGNORED
    expect_none(present - common - WHERE_NEEDED)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_exactly_the_plans_revisions_in_their_order(service: str) -> None:
    plan = load_plan()
    walk = reversed(list(plan.script(service).walk_revisions()))
    assert [script.revision for script in walk] == [step.revision for step in plan.steps_of(service)]


@pytest.mark.parametrize("service", SERVICES)
def test_rpcs_stand_by_subject_and_one_servicer_joins_them(service: str) -> None:
    wrong = []
    for source in modules(service, "rpc"):
        found = acting(source)
        if source.path.stem == "servicer":
            wanted = [f"{service.capitalize()}Servicer"]
        else:
            wanted = [name for name in found if name.endswith("Rpcs")][:1]
        if found != wanted:
            wrong.append(f"{source.at(source.tree)} has the classes {found}")
    expect_none(wrong)


@pytest.mark.parametrize("service", SERVICES)
def test_messages_are_made_and_read_by_functions_of_one_form(service: str) -> None:
    form = re.compile(r"_?[a-z0-9_]+_(?:from|to)_messages?")
    files = (source for source in modules(service, "rpc") if source.path.stem == "messages")
    expect_none(
        f"{source.at(node)} {node.name}"
        for source in files
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and form.fullmatch(node.name) is None
    )


@pytest.mark.parametrize("service", SERVICES)
def test_protocols_stand_in_edges_alone(service: str) -> None:
    expect_none(
        f"{source.at(node)} {node.name}"
        for source in sources(package(service))
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(dotted(base.value if isinstance(base, ast.Subscript) else base) == "Protocol" for base in node.bases)
        and source.path.relative_to(package(service)).as_posix() not in PROTOCOL_PLACES
    )


@pytest.mark.parametrize("service", SERVICES)
def test_stores_are_called_stores_and_jobs_jobs(service: str) -> None:
    wrong = []
    for room, suffix in (("store", "Store"), ("jobs", "Job")):
        for source in modules(service, room):
            wrong += [
                f"{source.at(source.tree)} {name} does not end in {suffix}"
                for name in acting(source)
                if not name.endswith(suffix) and name not in OWN_GATEWAY and source.path.stem != "tables"
            ]
    expect_none(wrong)


@pytest.mark.parametrize("service", SERVICES)
def test_a_job_is_named_by_what_it_does_and_knows_no_sql(service: str) -> None:
    wrong = []
    for source in modules(service, "jobs"):
        if VERB_NOUN.fullmatch(source.path.stem) is None:
            wrong.append(f"{source.at(source.tree)} is not a verb and a noun")
        wrong += [
            f"{source.at(node)} is SQL"
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
        ]
    expect_none(wrong)


@pytest.mark.parametrize("service", SERVICES)
def test_transactions_are_opened_by_use_cases_alone(service: str) -> None:
    expect_none(
        f"{source.at(node)} opens a transaction"
        for room in ("rpc", "smtp", "consumers", "jobs", "store")
        for source in modules(service, room)
        if source.path.relative_to(package(service)).as_posix() != OWN_GATEWAY_FILE
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and (OPENS_TRANSACTIONS.search(dotted(node.func)) or dotted(node.func) == "run_mutation")
    )


@pytest.mark.parametrize("service", SERVICES)
def test_use_cases_take_and_return_values_and_no_messages(service: str) -> None:
    expect_none(
        f"{source.at(node)} imports {node.module}"
        for source in modules(service, "app")
        if source.path.relative_to(package(service)).as_posix() not in PROTOBUF_IN_APP
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("apportion.")
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_module_of_a_service_is_longer_than_a_subject(service: str) -> None:
    long = trees.LINES_MAX
    expect_none(
        f"{source.at(source.tree)} has more than {long} lines"
        for source in sources(package(service))
        if "migrations" not in source.path.parts and len(source.path.read_text(encoding="utf-8").splitlines()) > long
    )


def test_the_page_of_the_five_trees_is_fresh() -> None:
    assert trees.PAGE.read_text(encoding="utf-8") == trees.page(), "run `make docs`"


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
    files: Iterator[Path] = (ROOT / "services" / service / "tests").rglob("test_*.py")
    expect_none(str(file.relative_to(ROOT)) for file in files if not file.stem.startswith(f"test_{service}_"))
