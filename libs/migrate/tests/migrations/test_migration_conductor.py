"""The conductor brings every service to the plan's end: each step once, whoever else runs, or says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from apportion_migrate import conductor
from apportion_migrate.errors import LockBusyError, MigrationError
from apportion_migrate.locks import lock_key
from apportion_migrate.sessions import MigrationSettingError
from apportion_migrate.steps import Progress
from migration_toys import Toy

ALL_STEPS = ["alpha_1", "beta_1", "alpha_2", "beta_2"]


def run(toy: Toy, lock_wait_s: int = 60) -> list[Progress]:
    heard: list[Progress] = []
    conductor.up(toy.plan, report=heard.append, lock_wait_s=lock_wait_s, environ=toy.environ)
    return heard


def of_kind(heard: list[Progress], kind: str) -> list[str]:
    return [progress.step.revision for progress in heard if progress.kind == kind]


def logged(toy: Toy, service: str) -> list[str]:
    with toy.connect(service) as connection:
        return [str(row[0]) for row in connection.execute("SELECT step FROM step_log ORDER BY 1")]


def test_steps_are_applied_in_the_order_of_the_plan(toy: Toy) -> None:
    assert of_kind(run(toy), "applied") == ALL_STEPS
    assert logged(toy, "alpha") == ["alpha_1", "alpha_2"]
    assert logged(toy, "beta") == ["beta_1", "beta_2"]


def test_a_second_run_changes_nothing(toy: Toy) -> None:
    run(toy)
    heard = run(toy)
    assert of_kind(heard, "already") == ALL_STEPS
    assert of_kind(heard, "applied") == []


def test_a_half_migrated_environment_is_brought_to_the_end(toy: Toy) -> None:
    toy.rewrite("beta", "raise RuntimeError('not today')")
    with pytest.raises(RuntimeError, match="not today"):
        run(toy)
    toy.rewrite("beta", "op.execute(\"INSERT INTO step_log VALUES ('beta_2')\")")
    heard = run(toy)
    assert of_kind(heard, "already") == ["alpha_1", "beta_1", "alpha_2"]
    assert of_kind(heard, "applied") == ["beta_2"]


def test_a_step_that_fails_leaves_nothing_of_itself_and_what_came_before(toy: Toy) -> None:
    toy.rewrite("alpha", 'op.execute("CREATE TABLE half (); SELECT 1 / 0")')
    with pytest.raises(MigrationError, match="alpha could not go to alpha_2: division by zero"):
        run(toy)
    status = conductor.status(toy.plan, toy.environ)
    assert status.versions == {"alpha": "alpha_1", "beta": "beta_1"}
    with toy.connect("alpha") as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_the_status_tells_where_each_service_stands(toy: Toy) -> None:
    before = conductor.status(toy.plan, toy.environ)
    assert before.versions == {"alpha": None, "beta": None}
    assert [state.done for state in before.steps] == [False, False, False, False]
    run(toy)
    after = conductor.status(toy.plan, toy.environ)
    assert after.versions == {"alpha": "alpha_2", "beta": "beta_2"}
    assert after.complete


def test_the_ddl_runs_with_time_outs(toy: Toy) -> None:
    run(toy)
    with toy.connect("alpha") as connection:
        assert connection.execute("SELECT DISTINCT lock_timeout FROM step_log").fetchall() == [("2s",)]


def test_the_lock_is_held_by_the_session_that_runs_the_ddl(toy: Toy) -> None:
    toy.rewrite(
        "alpha",
        "op.execute(\"INSERT INTO step_log SELECT 'held', pid FROM pg_locks "
        "WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()\")",
    )
    run(toy)
    assert "held" in logged(toy, "alpha")


def test_a_held_lock_is_waited_for_and_its_holder_named(toy: Toy) -> None:
    heard: list[Progress] = []
    with toy.connect("alpha") as holder:
        holder.execute("SET application_name = 'someone else'")
        holder.execute("SELECT pg_advisory_lock(%s)", (lock_key("alpha"),))
        with pytest.raises(LockBusyError, match=rf"someone else \(role alpha_owner, backend {holder.info.backend_pid}"):
            conductor.up(toy.plan, report=heard.append, lock_wait_s=0, environ=toy.environ)
    assert of_kind(heard, "waiting") == ["alpha_1"]
    assert conductor.status(toy.plan, toy.environ).versions["alpha"] is None


def test_a_lock_that_is_released_lets_the_waiting_run_go_on(toy: Toy) -> None:
    holder = toy.connect("alpha")
    holder.execute("SELECT pg_advisory_lock(%s)", (lock_key("alpha"),))
    heard: list[Progress] = []

    def release_once_waiting(progress: Progress) -> None:
        heard.append(progress)
        if progress.kind == "waiting":
            holder.close()

    conductor.up(toy.plan, report=release_once_waiting, lock_wait_s=60, environ=toy.environ)
    assert of_kind(heard, "applied") == ALL_STEPS


def test_a_table_lock_in_the_way_is_retried(toy: Toy) -> None:
    toy.rewrite("alpha", 'op.execute("ALTER TABLE step_log ADD COLUMN more int")')
    blocker = toy.connect("alpha")
    heard: list[Progress] = []

    def block_then_let_go(progress: Progress) -> None:
        heard.append(progress)
        if (progress.kind, progress.step.revision) == ("applying", "alpha_2"):
            blocker.execute("BEGIN; LOCK TABLE step_log")
        if progress.kind == "retrying":
            blocker.close()

    conductor.up(toy.plan, report=block_then_let_go, environ=toy.environ)
    retries = [progress.details for progress in heard if progress.kind == "retrying"]
    assert retries == [{"attempt": 1, "sqlstate": "55P03"}]
    assert of_kind(heard, "applied") == ALL_STEPS


def test_a_missing_url_stops_the_run_before_anything_is_changed(toy: Toy) -> None:
    environ = {name: url for name, url in toy.environ.items() if not name.startswith("BETA")}
    with pytest.raises(MigrationSettingError, match="BETA_MIGRATION_DATABASE_URL"):
        conductor.up(toy.plan, report=lambda _: None, environ=environ)
    assert conductor.status(toy.plan, toy.environ).versions["alpha"] is None


def test_a_url_that_is_none_is_refused_without_being_repeated(toy: Toy) -> None:
    environ = {**toy.environ, "BETA_MIGRATION_DATABASE_URL": "secret"}
    with pytest.raises(MigrationSettingError, match="BETA_MIGRATION_DATABASE_URL") as refusal:
        conductor.up(toy.plan, report=lambda _: None, environ=environ)
    assert "secret" not in str(refusal.value)


def test_a_version_that_the_checkout_does_not_know_stops_the_run(toy: Toy) -> None:
    run(toy)
    with toy.connect("beta") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    with pytest.raises(MigrationError, match="from_the_future, which this checkout does not know"):
        run(toy)


def test_the_sql_of_the_plan_needs_no_database(toy: Toy) -> None:
    texts = {step.revision: text for step, text in conductor.sql(toy.plan)}
    assert list(texts) == ALL_STEPS
    assert "SET lock_timeout = 2000" in texts["alpha_2"]
    assert "CREATE TABLE step_log" in texts["beta_1"]
    assert "CREATE TABLE step_log" not in texts["beta_2"]


def test_the_command_exits_75_and_names_the_holder_when_another_run_keeps_the_lock(toy: Toy) -> None:
    environ = {**os.environ, **toy.environ}
    command = [sys.executable, "-m", "apportion_migrate.command", "up", "--lock-wait-s", "0"]
    with toy.connect("alpha") as holder:
        holder.execute("SET application_name = 'someone else'")
        holder.execute("SELECT pg_advisory_lock(%s)", (lock_key("alpha"),))
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 75
    assert "someone else" in json.loads(done.stdout.splitlines()[-1])["error"]


def test_the_lock_of_a_killed_run_is_free_only_when_its_statement_is_over(toy: Toy) -> None:
    toy.rewrite("alpha", 'op.execute("SELECT pg_sleep(3)")')
    environ = {**os.environ, **toy.environ}
    command = [sys.executable, "-m", "apportion_migrate.command", "up"]
    killed = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    for line in killed.stdout:
        if json.loads(line)["event"] == "applying" and "alpha_2" in line:
            break
    killed.kill()
    killed.communicate()
    toy.rewrite("alpha", "op.execute(\"INSERT INTO step_log VALUES ('alpha_2')\")")
    assert of_kind(run(toy), "applied") == ["alpha_2", "beta_2"]
    with toy.connect("alpha") as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert connection.execute(others).fetchone() == (0,)
