"""`apportion-migrate preflight` and `resolve` as an operator meets them: exit codes, JSON lines, the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from apportion_cli.migrate import preflight_commands
from apportion_cli.migrate.main import app
from apportion_common.migrations.preflight import preflight
from apportion_common.testing.databases import DatabaseFactory
from legacy_worlds import CONFLICTS, LegacyWorld, legacy_world, named
from rich.console import Console
from typer.testing import CliRunner

TABLE_WIDTH = 200
PLANTED = tuple(
    found for found in CONFLICTS if found.check in {"duplicate_domains", "overlapping_por", "closure_drift"}
)


@pytest.fixture(scope="module")
def world(database_factory: DatabaseFactory) -> Iterator[LegacyWorld]:
    made = legacy_world(database_factory, conflicts=PLANTED)
    yield made
    made.drop(database_factory)


def run(world: LegacyWorld, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of a command and the objects that it wrote."""
    done = CliRunner().invoke(app, list(arguments), env=world.environ)
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def test_an_environment_in_conflict_is_stopped_with_3_mended_by_commands_and_brought_to_head(
    world: LegacyWorld,
) -> None:
    code, lines = run(world, "preflight")
    conflicts = {line["check"]: line for line in lines if line["event"] == "conflict"}
    assert code == 3
    # The second spelling of the domain is a conflict of its own.
    assert set(conflicts) == {found.check for found in PLANTED} | {"malformed_domains"}
    assert conflicts["duplicate_domains"]["conflicts"][0]["ids"][0] == named("claim4")
    assert {line["event"] for line in lines} == {"conflict", "clear", "preflight"}
    assert lines[-1]["clear"] is False
    assert lines[-1]["checks"] == len(lines) - 1

    code, lines = run(world, "up")
    assert code == 3
    assert {line["check"] for line in lines if line["event"] == "conflict"} == set(conflicts)
    assert world.versions() == {service: f"{service}_baseline" for service in world.databases}

    for conflict in conflicts.values():
        fix = str(conflict["resolve"])
        code, shown = run(world, "resolve", fix)
        assert (code, shown[-1]["event"]) == (0, "dry_run")
        count = str(shown[-1]["changes"])
        code, changed = run(world, "resolve", fix, "--apply", "--expect", count, "--actor", "ann")
        assert (code, changed[-1]["event"]) == (0, "resolved")
        assert [line.get("resource") for line in changed] == [line.get("resource") for line in shown]

    assert run(world, "preflight")[0] == 0
    assert run(world, "up")[0] == 0
    code, lines = run(world, "status")
    assert (code, lines[-1]["complete"]) == (0, True)
    code, lines = run(world, "preflight")
    assert (code, lines) == (0, [lines[-1]])
    audited = world.rows("identity", "SELECT DISTINCT actor, action FROM audit_entry ORDER BY action")
    assert audited == [
        ("operator:ann", "migration.resolve.duplicate-domains"),
        ("operator:ann", "migration.resolve.malformed-domains"),
    ]


def test_a_fix_that_leaves_something_ends_with_3(database_factory: DatabaseFactory) -> None:
    world = legacy_world(database_factory)
    tiers = '[{"threshold": "10", "price": "1"}, {"threshold": "10", "price": "2"}]'
    world.execute("pricing", f"UPDATE plan_sku SET tiers = '{tiers}' WHERE sku = 'SKU-4'")
    code, lines = run(world, "resolve", "unsorted-tiers", "--apply")
    assert code == 3
    assert [line["event"] for line in lines] == ["conflict", "resolved"]
    assert lines[-1]["changes"] == 0
    world.drop(database_factory)


def test_the_fixes_are_listed_and_an_unknown_one_is_a_failure(world: LegacyWorld) -> None:
    code, lines = run(world, "resolve")
    assert code == 0
    assert {line["name"] for line in lines} >= {found.fix for found in CONFLICTS}
    assert run(world, "resolve", "everything")[0] == 1


def test_the_table_for_a_person_names_groups_ids_and_the_command(database_factory: DatabaseFactory) -> None:
    world = legacy_world(database_factory, ("ledger",), [found for found in PLANTED if found.service == "ledger"])
    console = Console(width=TABLE_WIDTH, file=StringIO())
    with console.capture() as shown:
        console.print(preflight_commands.conflicts_table(preflight(world.plan, world.environ).findings))
    text = shown.get()
    assert named("inside") in text
    assert "apportion-migrate resolve overlapping-por" in text
    world.drop(database_factory)
