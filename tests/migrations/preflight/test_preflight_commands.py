"""`apportion-migrate preflight` and `resolve` as an operator meets them: exit codes, JSON lines, the table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate.command import preflight_commands
from apportion_migrate.command.main import app
from apportion_migrate.plan import load_plan
from apportion_migrate.preflight import preflight
from legacy_worlds import CONFLICTS, LegacyWorld, legacy_world, named
from rich.console import Console
from typer.testing import CliRunner

STEPS = len(load_plan().steps)
TABLE_WIDTH = 200
TERMINAL_WIDTH = 160
PATIENCE_S = 120
NOBODY_THERE = "postgresql://nobody@127.0.0.1:1/nothing"
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


def at_a_terminal(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command and what a person sees of it, without colours."""
    ours, theirs = os.openpty()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEATURE_")}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "apportion_migrate.command", *arguments],
            env=clean | {"COLUMNS": str(TERMINAL_WIDTH), "TERM": "xterm"} | dict(environ),
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        # The screen of a process that has ended cannot be read: that is how it ends.
        with suppress(OSError):
            while part := screen.read(4096):
                seen += part
        code = process.wait(timeout=PATIENCE_S)
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()).replace("\r\n", "\n")


def test_a_person_is_told_the_command_that_mends_and_that_all_is_done_and_what_is_left_to_run(
    database_factory: DatabaseFactory,
) -> None:
    (conflict,) = (found for found in PLANTED if found.check == "duplicate_domains")
    world = legacy_world(database_factory, conflicts=[conflict])
    code, seen = at_a_terminal(world.environ, "up")
    assert code == 3
    assert "apportion-migrate resolve duplicate-domains" in seen
    code, seen = at_a_terminal(world.environ, "preflight")
    assert code == 3
    assert named("claim4") in seen, "An id that is cut is of no use."
    code, seen = at_a_terminal(world.environ, "resolve", "duplicate-domains")
    assert (code, seen.splitlines()[-1]) == (
        0,
        "3 rows would change; nothing did. Do it with --apply --expect 3.",
    )
    code, seen = at_a_terminal(world.environ, "resolve", "malformed-domains", "--apply")
    assert (code, seen.splitlines()[-1]) == (0, "1 row changed, each with its audit entry.")
    code, seen = at_a_terminal(world.environ, "resolve", "malformed-domains", "--apply")
    assert (code, seen.splitlines()[-1]) == (0, "Nothing was to be changed.")
    assert at_a_terminal(world.environ, "resolve", "duplicate-domains", "--apply", "--expect", "3")[0] == 0
    code, seen = at_a_terminal(world.environ, "status")
    assert (code, seen.splitlines()[-1]) == (0, f"{len(SERVICES)} of {STEPS} steps done, 0 amiss")
    waiting = (
        "rows to be brought along yet: invitation_addresses, plan_defaults, event_keys, org_roots"
        "  (apportion-migrate data run)"
    )
    code, seen = at_a_terminal(world.environ, "up")
    assert (code, seen.splitlines()[-2:]) == (0, [f"done: {STEPS} of {STEPS} steps, and all is sound", waiting])
    code, seen = at_a_terminal(world.environ, "status")
    assert (code, seen.splitlines()[-2:]) == (0, [f"{STEPS} of {STEPS} steps done, 0 amiss", waiting])
    code, lines = run(world, "status")
    assert lines[-1]["data_waiting"] == ["invitation_addresses", "plan_defaults", "event_keys", "org_roots"]
    assert run(world, "data", "run", "event_keys", "--pause-ms", "0")[0] == 0
    code, lines = run(world, "status")
    assert lines[-1]["data_waiting"] == ["invitation_addresses", "plan_defaults", "org_roots"]
    world.drop(database_factory)


def test_an_id_to_keep_that_the_fix_would_not_change_is_refused(database_factory: DatabaseFactory) -> None:
    (conflict,) = (found for found in PLANTED if found.check == "duplicate_domains")
    world = legacy_world(database_factory, ("identity",), [conflict])
    before = world.contents("identity")
    for apply in ((), ("--apply",)):
        code, lines = run(world, "resolve", "duplicate-domains", "--keep", named("nobody"), *apply)
        assert (code, [line["event"] for line in lines]) == (1, ["failed"])
        assert named("nobody") in lines[0]["error"]
        code, lines = run(world, "resolve", "malformed-domains", "--keep", named("claim4"), *apply)
        assert (code, lines[0]["error"]) == (1, "malformed-domains has nothing to choose, so nothing to keep.")
    assert world.contents("identity") == before
    wanted = ("resolve", "duplicate-domains", "--apply", "--keep", named("third"))
    assert run(world, *wanted)[0] == 0
    assert run(world, *wanted)[0] == 0, "Done again, there is nothing to choose any more."
    assert world.rows("identity", f"SELECT status FROM domain_claim WHERE claim_id = '{named('third')}'") == [
        ("verified",)
    ]
    world.drop(database_factory)


@pytest.mark.parametrize(
    "arguments", [("preflight",), ("up",), ("status",), ("down", "--to", "base")], ids=lambda found: found[0]
)
def test_every_url_that_is_missing_is_named_at_once(arguments: tuple[str, ...]) -> None:
    missing = {f"{service.upper()}_MIGRATION_DATABASE_URL": "" for service in ("pricing", "orgs")}
    given = {
        f"{service.upper()}_MIGRATION_DATABASE_URL": NOBODY_THERE for service in ("identity", "ledger", "metering")
    }
    done = CliRunner().invoke(app, list(arguments), env=missing | given)
    assert done.exit_code == 1
    assert "PRICING_MIGRATION_DATABASE_URL, ORGS_MIGRATION_DATABASE_URL" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    "arguments", [("preflight",), ("up",), ("resolve", "duplicate-domains")], ids=lambda found: found[0]
)
def test_a_database_that_does_not_answer_is_a_failure_in_words(arguments: tuple[str, ...]) -> None:
    given = {
        f"{service.upper()}_MIGRATION_DATABASE_URL": NOBODY_THERE
        for service in ("identity", "ledger", "pricing", "metering", "orgs")
    }
    done = CliRunner().invoke(app, list(arguments), env=given)
    assert done.exit_code == 1
    (line,) = (json.loads(line) for line in done.stdout.splitlines())
    assert line["event"] == "failed"
    assert "Connection refused" in line["error"]


def test_seeds_that_cannot_be_loaded_say_so_where_errors_are_said(world: LegacyWorld) -> None:
    code, seen = at_a_terminal(world.environ | {"FEATURE_DOMAIN_CLAIMS": "maybe"}, "seed")
    assert (code, seen.splitlines()[-1]) == (1, "failed: FEATURE_DOMAIN_CLAIMS is neither on nor off.")


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
