"""Data migrations go chunk by chunk, can be killed anywhere, and keep out of others' way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from apportion_dev.local.postgres_binaries import find_postgres
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate import data
from apportion_migrate.data import ChunkResult, DataMigration, DataMigrationError, DataProgress, Throttle
from data_worlds import INVITATIONS, Legacy, count_touches, legacy_world
from psycopg import errors
from sqlalchemy import Connection

ROWS = 600
TO_CHANGE = 540
CHUNK = 100
AT_ONCE = Throttle(pause_ms=0)
HERE = Path(__file__).parent
STOPPED_BY_KILL = -signal.SIGKILL
PATIENCE_S = 60


class InChunks:
    """A data migration in chunks of another size, with a hook before and after each chunk's work."""

    def __init__(self, inner: DataMigration, chunk_rows: int = CHUNK) -> None:
        self.inner = inner
        self.name, self.service, self.after_revision = inner.name, inner.service, inner.after_revision
        self.chunk_rows = chunk_rows
        self.worked: list[ChunkResult] = []

    def count(self, connection: Connection) -> int:
        return self.inner.count(connection)

    def chunk(self, connection: Connection, after_key: Any) -> ChunkResult:
        self.inner.chunk_rows = self.chunk_rows
        self.worked.append(self.inner.chunk(connection, after_key))
        return self.worked[-1]


@pytest.fixture
def invitations(database_factory: DatabaseFactory) -> Iterator[Legacy]:
    """Invitations of before, nine of ten with blanks and capitals, and a count of every write."""
    legacy = legacy_world(
        database_factory, "identity", "invitation_addresses", lambda session: session.execute(INVITATIONS, (ROWS,))
    )
    count_touches(legacy, "invitation", "invitation_id")
    yield legacy
    legacy.engine.dispose()
    database_factory.drop(legacy.database.name)


def changed(legacy: Legacy) -> int:
    return int(legacy.ask("SELECT count(*) FROM invitation WHERE email = lower(btrim(email))"))


def assert_each_row_was_changed_once(legacy: Legacy) -> None:
    assert legacy.ask("SELECT count(DISTINCT id) FROM touched") == TO_CHANGE
    assert legacy.touched_more_than_once() == 0
    assert changed(legacy) == ROWS
    assert legacy.rows("SELECT state, rows_done, rows_total FROM data_migration") == [("done", TO_CHANGE, TO_CHANGE)]
    audited = "SELECT count(*), count(DISTINCT resource) FROM audit_entry WHERE action = 'invitation.normalize'"
    assert legacy.rows(audited) == [(TO_CHANGE, TO_CHANGE)]


def test_a_run_changes_each_row_once_and_a_second_run_changes_nothing(invitations: Legacy) -> None:
    told: list[DataProgress] = []
    migration = InChunks(invitations.migration)
    end = data.run(invitations.engine, migration, throttle=AT_ONCE, on_progress=told.append)
    assert (end.kind, end.standing.rows_done, end.details["left"]) == ("done", TO_CHANGE, 0)
    assert [event.kind for event in told] == ["started", *["chunk"] * 6, "done"]
    assert [event.standing.rows_done for event in told[1:7]] == [90, 180, 270, 360, 450, 540]
    assert_each_row_was_changed_once(invitations)

    xids = "SELECT count(DISTINCT at_xid) FROM touched"
    assert invitations.ask(xids) == 6, "Each chunk has a transaction of its own."
    again = data.run(invitations.engine, migration, throttle=AT_ONCE, on_progress=told.append)
    assert again.kind == "already"
    assert_each_row_was_changed_once(invitations)


def test_a_chunk_that_ran_before_its_place_was_lost_changes_nothing_again(invitations: Legacy) -> None:
    migration = InChunks(invitations.migration)
    data.run(invitations.engine, migration, throttle=AT_ONCE)
    with invitations.session() as session:
        session.execute("DELETE FROM data_migration")
    data.run(invitations.engine, migration, throttle=AT_ONCE)
    assert invitations.touched_more_than_once() == 0
    assert invitations.rows("SELECT state, rows_done FROM data_migration") == [("done", 0)]


def test_a_dry_run_counts_and_is_given_no_transaction_id(invitations: Legacy) -> None:
    before = invitations.ask("SELECT pg_current_xact_id()::text::bigint")
    plan = data.run(invitations.engine, invitations.migration, dry_run=True)
    after = invitations.ask("SELECT pg_current_xact_id()::text::bigint")
    assert (plan.kind, plan.details["rows_to_change"]) == ("plan", TO_CHANGE)
    assert invitations.ask("SELECT count(*) FROM touched") == 0
    assert invitations.rows("SELECT * FROM data_migration") == []
    # The server hands ids out one by one to whoever writes; other tests of this process run before and after.
    assert after == before + 1


def test_a_migration_waits_for_its_revision(database_factory: DatabaseFactory) -> None:
    database = database_factory.blank("identity")
    (migration,) = data.load_migrations("identity")
    engine = data_engine(database.owner_url)
    with pytest.raises(DataMigrationError, match="20250920_01_domain_claims_email, which identity has not reached"):
        data.run(engine, migration)
    assert [standing.state for standing in data.status(engine, [migration])] == ["new"]
    assert not data.pause(engine, migration)
    database_factory.drop(database.name)


def data_engine(url: str) -> Any:
    from apportion_migrate.sessions import migration_engine, psycopg_url

    return migration_engine(psycopg_url(url))


def test_a_paused_run_ends_after_its_chunk_and_goes_on_from_there(invitations: Legacy) -> None:
    migration = InChunks(invitations.migration)

    def pause_after_two(event: DataProgress) -> None:
        if event.kind == "chunk" and len(migration.worked) == 2:
            assert data.pause(invitations.engine, invitations.migration)

    end = data.run(invitations.engine, migration, throttle=AT_ONCE, on_progress=pause_after_two)
    assert (end.kind, end.standing.state, end.standing.rows_done) == ("paused", "paused", 180)
    assert not data.pause(invitations.engine, invitations.migration), "It is not running any more."
    (standing,) = data.status(invitations.engine, [invitations.migration])
    assert (standing.state, standing.rows_done, standing.rows_total) == ("paused", 180, TO_CHANGE)
    assert data.run(invitations.engine, migration, throttle=AT_ONCE).kind == "done"
    assert_each_row_was_changed_once(invitations)


def test_a_run_that_is_told_to_stop_ends_after_its_chunk(invitations: Legacy) -> None:
    migration = InChunks(invitations.migration)
    end = data.run(invitations.engine, migration, throttle=AT_ONCE, stop=lambda: len(migration.worked) == 3)
    assert (end.kind, end.standing.rows_done) == ("stopped", 270)
    assert data.run(invitations.engine, migration, throttle=AT_ONCE).kind == "done"
    assert_each_row_was_changed_once(invitations)


def test_two_runs_at_once_take_turns_and_change_each_row_once(invitations: Legacy) -> None:
    runs = [InChunks(invitations.migration), InChunks(invitations.migration)]
    ends: list[DataProgress] = []
    threads = [
        threading.Thread(target=lambda run=run: ends.append(data.run(invitations.engine, run, throttle=AT_ONCE)))
        for run in runs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert {end.standing.state for end in ends} == {"done"}
    assert len(ends) == 2
    assert_each_row_was_changed_once(invitations)


@pytest.mark.parametrize("place", ["after_execute", "after_commit"])
@pytest.mark.parametrize("nth", [1, 4])
def test_a_run_that_is_killed_in_mid_chunk_is_resumed_and_each_row_is_changed_once(
    invitations: Legacy, place: str, nth: int
) -> None:
    command = [sys.executable, str(HERE / "killed_run.py"), invitations.database.owner_url, place, str(nth), str(CHUNK)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert killed.returncode == STOPPED_BY_KILL, killed.stderr
    committed = nth if place == "after_commit" else nth - 1
    wait_until_nobody_is_left(invitations)
    assert invitations.ask("SELECT count(*) FROM touched") == committed * 90
    assert [row[0] for row in invitations.rows("SELECT rows_done FROM data_migration")] == [committed * 90]

    assert data.run(invitations.engine, InChunks(invitations.migration), throttle=AT_ONCE).kind == "done"
    assert_each_row_was_changed_once(invitations)


def wait_until_nobody_is_left(legacy: Legacy) -> None:
    """Wait for the server to see that the killed run is gone."""
    deadline = time.monotonic() + PATIENCE_S
    while legacy.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'apportion%%'"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_waits_while_too_many_sessions_are_in_a_transaction(invitations: Legacy) -> None:
    busy = [invitations.session() for _ in range(3)]
    for session in busy:
        session.execute("SELECT 1")
    told: list[DataProgress] = []
    migration = InChunks(invitations.migration)

    def end_one_when_throttled(event: DataProgress) -> None:
        told.append(event)
        if event.kind == "throttled":
            assert migration.worked == [], "No chunk while the limit is passed."
            busy.pop().close()

    throttle = Throttle(pause_ms=0, busy_sessions_max=2, poll_ms=10)
    end = data.run(invitations.engine, migration, throttle=throttle, on_progress=end_one_when_throttled)
    assert [event.kind for event in told[:3]] == ["started", "throttled", "chunk"]
    assert "3 sessions are in a transaction, more than 2" in str(told[1].details["reason"])
    assert end.kind == "done"
    for session in busy:
        session.close()


def test_sessions_of_the_services_own_role_count_although_their_state_is_hidden_from_the_owner(
    invitations: Legacy,
) -> None:
    with psycopg.connect(invitations.database.app_url) as session:
        session.execute("SELECT 1")
        with invitations.engine.connect() as connection:
            assert data.read_load(connection).busy_sessions == 1
        session.rollback()
        with invitations.engine.connect() as connection:
            assert data.read_load(connection).busy_sessions == 0


def test_a_run_waits_for_a_replica_that_falls_behind(
    invitations: Legacy, database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    """A receiver of the write-ahead log stands for the replica; stopped, it falls behind as the log grows."""
    binaries = find_postgres().bin
    receiver = binaries / "pg_receivewal"
    admin = database_factory._admin_text()
    if not receiver.exists():
        pytest.fail("This PostgreSQL comes without pg_receivewal.")
    with psycopg.connect(admin, autocommit=True) as session:
        session.execute("GRANT pg_read_all_stats TO identity_owner")
    command = [str(receiver), "-D", str(tmp_path), "--no-loop", "-s", "1", "-d", admin]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for_replicas(invitations, 1)
        process.send_signal(signal.SIGSTOP)
        with invitations.session() as session:
            session.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
        told: list[DataProgress] = []

        def go_on_when_throttled(event: DataProgress) -> None:
            told.append(event)
            if event.kind == "throttled":
                process.send_signal(signal.SIGCONT)

        throttle = Throttle(pause_ms=0, lag_bytes_max=10_000_000, poll_ms=50)
        end = data.run(
            invitations.engine, InChunks(invitations.migration), throttle=throttle, on_progress=go_on_when_throttled
        )
        assert [event.kind for event in told[:3]] == ["started", "throttled", "chunk"]
        assert "a replica is" in str(told[1].details["reason"])
        assert end.kind == "done"
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(PATIENCE_S)
        with psycopg.connect(admin, autocommit=True) as session:
            session.execute("REVOKE pg_read_all_stats FROM identity_owner")


def wait_for_replicas(legacy: Legacy, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with legacy.engine.connect() as connection:
            load = data.read_load(connection)
        if load.replicas == count and load.lag_bytes is not None:
            return
        assert time.monotonic() < deadline, load
        time.sleep(0.05)


def test_a_writer_waits_for_one_chunk_at_most_while_the_one_statement_way_keeps_every_row_locked(
    invitations: Legacy,
) -> None:
    """Counted by locks, not by time: a writer that would wait is refused at once (NOWAIT)."""
    locked_in_chunks: list[int] = []

    class Looking(InChunks):
        def chunk(self, connection: Connection, after_key: Any) -> ChunkResult:
            result = super().chunk(connection, after_key)
            locked_in_chunks.append(rows_that_a_writer_would_wait_for(invitations))
            return result

    free_between: list[int] = []

    def look(event: DataProgress) -> None:
        if event.kind == "chunk":
            free_between.append(rows_that_a_writer_would_wait_for(invitations))

    data.run(invitations.engine, Looking(invitations.migration), throttle=AT_ONCE, on_progress=look)
    assert locked_in_chunks == [*[90] * 6, 0], "The rows of the chunk at hand, and no others."
    assert free_between == [0] * 6

    with invitations.session() as session, invitations.session() as writer:
        session.execute("UPDATE invitation SET email = upper(email)")
        assert rows_that_a_writer_would_wait_for(invitations) == ROWS
        writer.execute("SET lock_timeout = '50ms'")
        with pytest.raises(errors.LockNotAvailable):
            writer.execute("UPDATE invitation SET role = 'Admin' WHERE invitation_id = %s", (f"{1:032x}",))
        session.rollback()


def rows_that_a_writer_would_wait_for(legacy: Legacy) -> int:
    free = "SELECT count(*) FROM (SELECT FROM invitation FOR UPDATE SKIP LOCKED) AS free"
    return ROWS - int(legacy.ask(free))


def test_a_live_invitation_that_would_double_another_stays_as_it_is(database_factory: DatabaseFactory) -> None:
    addresses = {1: "ada@x.test", 2: " ada@x.test", 3: " Bob@x.test", 4: "bob@x.test\t", 5: "EVE@x.test"}

    def fill(session: psycopg.Connection[Any]) -> None:
        for number, email in addresses.items():
            session.execute(
                "INSERT INTO invitation (invitation_id, org_id, email, role, token_hash, expires_at)"
                " VALUES (%s, %s, %s, 'User', sha256(%s), '2030-01-01T00:00:00Z')",
                (f"{number:032x}", f"{7:032x}", email, str(number).encode()),
            )

    legacy = legacy_world(database_factory, "identity", "invitation_addresses", fill)
    end = data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    found = dict(legacy.rows("SELECT right(invitation_id::text, 1)::int, email FROM invitation"))
    assert found == {1: "ada@x.test", 2: " ada@x.test", 3: "bob@x.test", 4: "bob@x.test\t", 5: "eve@x.test"}
    assert (end.kind, end.standing.rows_done, end.details["left"]) == ("done", 2, 2)
    assert legacy.ask("SELECT count(*) FROM audit_entry WHERE after::text ~ 'x.test'") == 0
    legacy.engine.dispose()
    database_factory.drop(legacy.database.name)


def test_the_command_shows_plan_progress_and_status_as_json_lines(invitations: Legacy) -> None:
    def command(*arguments: str) -> list[dict[str, Any]]:
        environ = os.environ | {"IDENTITY_MIGRATION_DATABASE_URL": invitations.database.owner_url}
        done = subprocess.run(
            [sys.executable, "-m", "apportion_migrate.command", "data", *arguments],
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()]

    (plan,) = command("run", "invitation_addresses", "--dry-run")
    assert (plan["event"], plan["rows_to_change"], plan["state"]) == ("plan", TO_CHANGE, "new")
    events = command("run", "invitation_addresses", "--chunk-rows", "200", "--pause-ms", "0")
    assert [event["event"] for event in events] == ["started", "chunk", "chunk", "chunk", "done"]
    assert events[-1]["rows_done"] == events[-1]["rows_total"] == TO_CHANGE
    (status,) = command("status", "invitation_addresses")
    assert (status["event"], status["name"], status["state"]) == ("data", "invitation_addresses", "done")
    assert_each_row_was_changed_once(invitations)


def test_the_command_killed_from_outside_while_it_works_is_resumed(invitations: Legacy) -> None:
    environ = os.environ | {"IDENTITY_MIGRATION_DATABASE_URL": invitations.database.owner_url}
    arguments = ["data", "run", "invitation_addresses", "--chunk-rows", "20", "--pause-ms", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "apportion_migrate.command", *arguments], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.kill()
    process.stdout.close()
    assert process.wait(PATIENCE_S) == STOPPED_BY_KILL
    wait_until_nobody_is_left(invitations)
    assert data.run(invitations.engine, invitations.migration, throttle=AT_ONCE).kind == "done"
    assert_each_row_was_changed_once(invitations)
