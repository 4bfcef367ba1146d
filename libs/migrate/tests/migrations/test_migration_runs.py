"""Ways a run can go: back, half, onto what stands, into rows in the way, behind a pooler, killed, in a crowd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psycopg
import pytest
from apportion_migrate import conductor
from apportion_migrate.errors import (
    ChecksumError,
    ConflictsError,
    IrreversibleError,
    LockBusyError,
    MigrationError,
    PlanMovedError,
    PoolerError,
    VerificationError,
)
from apportion_migrate.locks import lock_key
from apportion_migrate.plan import PlanError
from apportion_migrate.steps import Progress
from migration_toys import Toy, write_revision
from sqlalchemy import make_url
from transaction_pooler import TransactionPooler

ALL_STEPS = ["alpha_1", "beta_1", "alpha_2", "beta_2"]
DEADLINE_S = 60
CHECK = (
    "(Check(name='doubles', asks='Is a step there twice?', sql='SELECT step AS key, array_agg(backend::text) AS ids,"
    " count(*) AS rows FROM step_log GROUP BY 1 HAVING count(*) > 1', suggestion='Keep one.', resolve=None,"
    " tables=('step_log',)),)"
)


def up(toy: Toy, **options: object) -> list[Progress]:
    heard: list[Progress] = []
    conductor.up(toy.plan, report=heard.append, environ=toy.environ, **options)  # type: ignore[arg-type]
    return heard


def down(toy: Toy, to: str, *destroy: str) -> list[Progress]:
    heard: list[Progress] = []
    conductor.down(toy.plan, to=to, destroy=destroy, report=heard.append, environ=toy.environ)
    return heard


def of_kind(heard: list[Progress], kind: str) -> list[str]:
    return [progress.step.revision for progress in heard if progress.kind == kind]


def versions(toy: Toy) -> dict[str, str | None]:
    return conductor.status(toy.plan, toy.environ).versions


def command(toy: Toy, *words: str) -> subprocess.Popen[str]:
    environ = {**os.environ, **toy.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "apportion_migrate.command", *words], env=environ, stdout=subprocess.PIPE, text=True
    )


def lines(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in process.communicate(timeout=120)[0].splitlines()]


# --- how far


def test_up_stops_after_the_revision_that_is_named(toy: Toy) -> None:
    assert of_kind(up(toy, to="alpha_2"), "applied") == ["alpha_1", "beta_1", "alpha_2"]
    assert versions(toy) == {"alpha": "alpha_2", "beta": "beta_1"}
    with pytest.raises(PlanError, match="no revision gamma"):
        up(toy, to="gamma")


def test_down_undoes_in_the_reverse_order_of_the_plan_and_up_comes_back(toy: Toy) -> None:
    up(toy)
    assert of_kind(down(toy, "beta_1"), "undone") == ["beta_2", "alpha_2"]
    assert versions(toy) == {"alpha": "alpha_1", "beta": "beta_1"}
    assert of_kind(down(toy, "base", "beta_1", "alpha_1"), "undone") == ["beta_1", "alpha_1"]
    assert versions(toy) == {"alpha": None, "beta": None}
    assert of_kind(up(toy), "applied") == ALL_STEPS


def test_an_irreversible_revision_is_undone_only_when_it_is_named(toy: Toy) -> None:
    toy.rewrite("alpha", "pass", reversible=False, irreversible_reason="the old names are gone")
    up(toy)
    with pytest.raises(IrreversibleError, match=r'--destroy "alpha_2" \(the old names are gone\)'):
        down(toy, "base")
    with pytest.raises(IrreversibleError, match="alpha_1 would not be undone"):
        down(toy, "alpha_1", "alpha_1")
    assert versions(toy) == {"alpha": "alpha_2", "beta": "beta_2"}
    down(toy, "base", "alpha_2", "alpha_1", "beta_1")
    assert versions(toy) == {"alpha": None, "beta": None}


def test_a_way_back_that_drops_rows_is_gone_only_when_it_is_named(toy: Toy) -> None:
    up(toy)
    with pytest.raises(IrreversibleError, match=r'--destroy "alpha_1" \(it drops what is in step_log\)'):
        down(toy, "base", "beta_1")
    assert versions(toy) == {"alpha": "alpha_2", "beta": "beta_2"}
    for service in ("alpha", "beta"):
        with toy.connect(service) as connection:
            connection.execute("TRUNCATE step_log")
    down(toy, "base")
    assert versions(toy) == {"alpha": None, "beta": None}


def test_a_step_is_refused_when_another_run_undid_the_one_before_it_meanwhile(toy: Toy) -> None:
    up(toy, to="beta_1")

    def meddle(progress: Progress) -> None:
        if (progress.kind, progress.step.revision) == ("already", "beta_1"):
            with toy.connect("beta") as connection:
                connection.execute("DELETE FROM alembic_version")

    with pytest.raises(PlanMovedError, match="alpha cannot go on with alpha_2: beta is at base now"):
        conductor.up(toy.plan, report=meddle, environ=toy.environ)
    assert versions(toy)["alpha"] == "alpha_1"


# --- what stands already


def test_tables_that_stand_as_the_baseline_makes_them_are_adopted_and_kept(toy: Toy) -> None:
    with toy.connect("alpha") as connection:
        connection.execute("CREATE TABLE step_log (step text, backend int, lock_timeout text)")
        connection.execute("CREATE TABLE beside (a int)")
        connection.execute("INSERT INTO step_log VALUES ('of old')")
    assert [state.standing for state in conductor.status(toy.plan, toy.environ).steps] == [True, False, False, False]
    heard = up(toy)
    assert of_kind(heard, "adopted") == ["alpha_1"]
    assert of_kind(heard, "applied") == ["beta_1", "alpha_2", "beta_2"]
    with toy.connect("alpha") as connection:
        assert connection.execute("SELECT step FROM step_log ORDER BY 1").fetchall() == [("alpha_2",), ("of old",)]
    with pytest.raises(IrreversibleError, match=r'--destroy "alpha_1" .its tables were adopted'):
        down(toy, "base")


def test_tables_that_stand_otherwise_are_refused_with_the_difference(toy: Toy) -> None:
    with toy.connect("alpha") as connection:
        connection.execute("CREATE TABLE step_log (step varchar(9), backend int)")
    with pytest.raises(MigrationError, match=r"step_log\.lock_timeout is missing.*step_log\.step is character varying"):
        up(toy)
    assert versions(toy) == {"alpha": None, "beta": None}


def test_a_version_table_with_room_for_32_characters_is_widened(toy: Toy) -> None:
    with toy.connect("alpha") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('alpha_1')")
        connection.execute("CREATE TABLE step_log (step text, backend int, lock_timeout text)")
    assert of_kind(up(toy), "already") == ["alpha_1"]
    with toy.connect("alpha") as connection:
        kind = (
            "SELECT atttypid::regtype::text FROM pg_attribute"
            " WHERE attrelid = 'alembic_version'::regclass AND attnum = 1"
        )
        assert connection.execute(kind.encode()).fetchone() == ("text",)


# --- what was applied stays


def test_a_revision_that_changed_after_it_was_applied_stops_the_run(toy: Toy) -> None:
    up(toy)
    toy.rewrite("alpha", "op.execute('SELECT 1')")
    with pytest.raises(ChecksumError, match="alpha_2 was applied as"):
        up(toy)
    found = conductor.status(toy.plan, toy.environ)
    assert not found.complete
    assert "alpha_2 was applied as" in found.amiss[0]


def test_the_checksum_of_a_revision_of_before_is_recorded_by_the_next_run(toy: Toy) -> None:
    up(toy)
    with toy.connect("alpha") as connection:
        connection.execute("DROP TABLE alembic_version_checksum")
    up(toy)
    with toy.connect("alpha") as connection:
        rows = connection.execute("SELECT revision FROM alembic_version_checksum ORDER BY 1").fetchall()
    assert rows == [("alpha_1",), ("alpha_2",)]


# --- rows in the way


def test_conflicts_anywhere_stop_the_run_before_anything_is_changed(toy: Toy) -> None:
    toy.rewrite("beta", "pass", checks=CHECK)
    up(toy, to="beta_1")
    with toy.connect("beta") as connection:
        connection.execute("INSERT INTO step_log SELECT 'twice', n FROM generate_series(1, 2) AS n")
        before = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
        with pytest.raises(ConflictsError, match="beta doubles") as refusal:
            up(toy)
        assert connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone() == before
    assert versions(toy) == {"alpha": "alpha_1", "beta": "beta_1"}
    assert refusal.value.findings[0].conflicts[0].key == "twice"  # type: ignore[attr-defined]
    with toy.connect("beta") as connection:
        connection.execute("DELETE FROM step_log WHERE backend = 2")
    assert of_kind(up(toy), "applied") == ["alpha_2", "beta_2"]


def test_conflicts_end_the_command_with_3_and_a_report(toy: Toy) -> None:
    toy.rewrite("beta", "pass", checks=CHECK)
    up(toy, to="beta_1")
    with toy.connect("beta") as connection:
        connection.execute("INSERT INTO step_log SELECT 'twice', n FROM generate_series(1, 2) AS n")
    process = command(toy, "up")
    said = lines(process)
    assert process.returncode == 3
    assert [line["check"] for line in said if line["event"] == "conflict"] == ["doubles"]
    assert said[-1]["event"] == "conflicts"


def test_rows_that_came_in_the_way_after_the_look_are_seen_under_the_lock(toy: Toy) -> None:
    toy.rewrite("beta", "pass", checks=CHECK)

    def meddle(progress: Progress) -> None:
        if (progress.kind, progress.step.revision) == ("applied", "alpha_2"):
            with toy.connect("beta") as connection:
                connection.execute("INSERT INTO step_log SELECT 'twice', n FROM generate_series(1, 2) AS n")

    with pytest.raises(ConflictsError):
        conductor.up(toy.plan, report=meddle, environ=toy.environ)
    assert versions(toy) == {"alpha": "alpha_2", "beta": "beta_1"}


# --- what came of it


def test_a_constraint_that_nobody_validated_is_found_at_the_end(toy: Toy) -> None:
    toy.rewrite("alpha", 'op.execute("ALTER TABLE step_log ADD CONSTRAINT c CHECK (backend > 0) NOT VALID")')
    with pytest.raises(VerificationError, match="alpha: constraint c of step_log is not validated"):
        up(toy)
    assert "constraint c of step_log" in conductor.status(toy.plan, toy.environ).amiss[0]


def test_an_index_that_is_invalid_is_found_at_the_end(toy: Toy) -> None:
    up(toy)
    with toy.connect("beta") as connection:
        connection.execute("INSERT INTO step_log (step) VALUES ('a'), ('a')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY ix ON step_log (step)")
    with pytest.raises(VerificationError, match="beta: index ix of step_log is invalid"):
        up(toy)


# --- time-outs


def test_a_revision_has_the_time_outs_that_it_gives_a_reason_for_and_the_next_has_the_usual(toy: Toy) -> None:
    note = "op.execute(\"INSERT INTO step_log SELECT '{}', 0, current_setting('statement_timeout')\")"
    toy.rewrite("alpha", note.format("alpha_2"), statement_timeout_ms=600_000, timeout_reason="a large index")
    toy.rewrite("beta", note.format("beta_2"))
    up(toy)
    for service, shown in (("alpha", "10min"), ("beta", "15s")):
        with toy.connect(service) as connection:
            query = f"SELECT lock_timeout FROM step_log WHERE step = '{service}_2'"
            assert connection.execute(query.encode()).fetchone() == (shown,)
    assert "SET statement_timeout = 600000" in {s.revision: t for s, t in conductor.sql(toy.plan)}["alpha_2"]


# --- waiting services


def test_a_service_waits_for_its_revision_with_nothing_but_its_own_role(toy: Toy) -> None:
    toy.rewrite("alpha", "safe.create_shared_tables()", "safe.drop_shared_tables()")
    environ = {**toy.environ, "ALPHA_DATABASE_URL": toy.app_url("alpha")}
    asked = {"url_variable": "ALPHA_DATABASE_URL", "environ": environ}
    with pytest.raises(LockBusyError, match="nothing was applied yet"):
        conductor.wait(toy.plan, "alpha", "alpha_2", wait_s=0, **asked)  # type: ignore[arg-type]
    told: list[str] = []

    def bring_up(why: str) -> None:
        told.append(why)
        up(toy)

    conductor.wait(toy.plan, "alpha", "alpha_2", on_wait=bring_up, **asked)  # type: ignore[arg-type]
    assert told == ["nothing was applied yet"]
    with toy.connect("alpha") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'alpha_3'")
    conductor.wait(toy.plan, "alpha", "alpha_2", wait_s=0, **asked)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="no revision of beta"):
        conductor.wait(toy.plan, "beta", "alpha_2", environ=toy.environ)


def test_a_wait_in_vain_ends_with_75(toy: Toy) -> None:
    process = command(toy, "wait", "--service", "alpha", "--at-least", "alpha_1", "--wait-s", "0")
    assert [line["event"] for line in lines(process)] == ["waiting", "not reached"]
    assert process.returncode == 75


# --- poolers


def test_a_pooler_in_transaction_mode_is_refused_before_anything_is_changed(toy: Toy) -> None:
    pooler = TransactionPooler(toy.environ["ALPHA_MIGRATION_DATABASE_URL"])
    url = make_url(toy.environ["ALPHA_MIGRATION_DATABASE_URL"]).set(port=pooler.port)
    environ = {**toy.environ, "ALPHA_MIGRATION_DATABASE_URL": url.render_as_string(hide_password=False)}
    try:
        with pytest.raises(PoolerError, match="alpha leads through a pooler"):
            conductor.up(toy.plan, report=lambda _: None, environ=environ)
    finally:
        pooler.close()
    assert versions(toy) == {"alpha": None, "beta": None}


# --- crowds and kills


def test_eight_commands_at_once_apply_each_step_once_and_all_succeed(toy: Toy) -> None:
    # A run that waited in a way that holds a snapshot would keep the index from ever being finished.
    toy.rewrite("alpha", "safe.create_index_concurrently('ix', 'step_log', 'step')", non_transactional=True)
    toy.rewrite("beta", "op.execute(\"INSERT INTO step_log SELECT 'beta_2' FROM pg_sleep(0.5)\")")
    runs = [command(toy, "up") for _ in range(8)]
    said = [line for run in runs for line in lines(run)]
    assert [run.returncode for run in runs] == [0] * 8
    assert sorted(str(line["revision"]) for line in said if line["event"] == "applied") == sorted(ALL_STEPS)
    with toy.connect("beta") as connection:
        assert connection.execute("SELECT step FROM step_log ORDER BY 1").fetchall() == [("beta_1",), ("beta_2",)]
    with toy.connect("alpha") as connection:
        assert connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass").fetchone() == (
            True,
        )


def test_a_run_that_is_killed_inside_a_concurrent_index_is_taken_up_by_the_next(toy: Toy) -> None:
    toy.rewrite(
        "alpha",
        "safe.create_index_concurrently('ix', 'step_log', 'step')",
        non_transactional=True,
        statement_timeout_ms=60_000,
        timeout_reason="it waits for the writer of this test",
    )
    up(toy, to="beta_1")
    writer = toy.connect("alpha")
    writer.execute("BEGIN; INSERT INTO step_log VALUES ('open')")
    killed = command(toy, "up")
    with toy.connect("alpha") as watcher:
        building = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
        )
        _until(watcher, building, 1)
        killed.kill()
        killed.communicate()
        _until(watcher, building, 0)
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix')"
        assert watcher.execute(valid).fetchall() == [(False,)]
        writer.execute("COMMIT")
        writer.close()
        assert of_kind(up(toy), "applied") == ["alpha_2", "beta_2"]
        assert watcher.execute(valid).fetchall() == [(True,)]


def test_the_backend_of_a_killed_run_is_waited_for(toy: Toy) -> None:
    up(toy, to="beta_1")
    # A backend that does not look after its client: it holds on until its statement is over.
    toy.rewrite("alpha", "op.execute('SET client_connection_check_interval = 0'); op.execute('SELECT pg_sleep(4)')")
    killed = command(toy, "up")
    with toy.connect("alpha") as watcher:
        orphan = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%%pg_sleep(4)%%'"
        )
        orphan += " AND pid <> pg_backend_pid() AND state = 'active'"
        _until(watcher, orphan, 1)
        killed.kill()
        killed.communicate()
        heard: list[Progress] = []

        def listen(progress: Progress) -> None:
            heard.append(progress)
            if progress.kind == "applying":
                assert watcher.execute(orphan.replace("%%", "%").encode()).fetchone() == (0,)

        toy.rewrite("alpha", "pass")
        conductor.up(toy.plan, report=listen, environ=toy.environ)
    assert of_kind(heard, "waiting") == ["alpha_1"]
    assert of_kind(heard, "applied") == ["alpha_2", "beta_2"]


def test_an_environment_alone_takes_the_lock_too(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command as alembic

    for name, url in toy.environ.items():
        monkeypatch.setenv(name, url)
    config = toy.plan.alembic_config("alpha")
    config.attributes["lock_wait_s"] = 0
    with toy.connect("alpha") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (lock_key("alpha"),))
        with pytest.raises(LockBusyError):
            alembic.upgrade(config, "head")
        alembic.current(toy.plan.alembic_config("alpha"))
    alembic.upgrade(toy.plan.alembic_config("alpha"), "head")
    assert versions(toy)["alpha"] == "alpha_2"


# --- a schema per service


def test_services_that_share_a_database_have_a_schema_each(toy: Toy) -> None:
    url = toy.environ["ALPHA_MIGRATION_DATABASE_URL"]
    environ = {
        f"{name.upper()}_MIGRATION_DATABASE_URL": f"{url}?options=-csearch_path%3D{name}" for name in ("alpha", "beta")
    }
    with pytest.raises(MigrationError, match="schema that the URL of alpha names"):
        conductor.up(toy.plan, report=lambda _: None, environ=environ)
    with toy.connect("alpha") as connection:
        connection.execute("CREATE SCHEMA alpha")
        connection.execute("CREATE SCHEMA beta")
    heard: list[Progress] = []
    conductor.up(toy.plan, report=heard.append, environ=environ)
    assert of_kind(heard, "applied") == ALL_STEPS
    with toy.connect("alpha") as connection:
        rows = connection.execute(
            "SELECT version_num FROM alpha.alembic_version, beta.alembic_version AS b(other)"
        ).fetchall()
    assert rows == [("alpha_2",)]
    conductor.down(toy.plan, to="base", destroy=("alpha_1", "beta_1"), report=heard.append, environ=environ)
    assert of_kind(heard, "undone") == ALL_STEPS[::-1]


def _until(connection: psycopg.Connection[tuple[object, ...]], query: str, count: int) -> None:
    """Ask until the count is there."""
    deadline = time.monotonic() + DEADLINE_S
    while connection.execute(query.replace("%%", "%").encode()).fetchone() != (count,):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def test_a_third_revision_waits_for_its_turn_in_the_plan(toy: Toy) -> None:
    write_revision(toy.root, "beta", "beta_3", "beta_2", "pass", "pass")
    with pytest.raises(PlanError, match="beta_3"):
        up(toy)
