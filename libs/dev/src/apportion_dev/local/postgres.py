"""A PostgreSQL server of our own: loopback only, SCRAM passwords, full durability, as root or as anybody.

The server keeps its data in `<folder>/data`. As root its processes run as an unprivileged account; where that
account could not reach the folder (a private parent), data and programs lie in a folder of their own below the
system's temporary directory, named after the path, while the server runs. The packaged programs have no TLS: loopback
and SCRAM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from apportion_common.db.limits import OWNER_CONNECTIONS_MAX, process_connections_max, role_connections_max
from psycopg import sql

from apportion_dev.local.machine import extended
from apportion_dev.local.ports import LOOPBACK, PortReservation, reserve_port
from apportion_dev.local.postgres_binaries import PostgresBinaries, find_postgres
from apportion_dev.local.postgres_files import ADMIN_ROLE, PostgresFiles
from apportion_dev.local.process import POLL_S, ChildProcess, ChildSpec, kill_family, process_exists

START_TIMEOUT_S = 60
STOP_GRACE_S = 30
CONNECT_TIMEOUT_S = 5
RETRY_S = 0.1
LOG_TAIL_LINES = 25

ADMIN_DATABASE = "postgres"
APP_CONNECTIONS_MAX = role_connections_max(process_connections_max())
"""Connection limit of a service's role; five of them fit below `max_connections`."""

SETTINGS: dict[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    # Keys are random, and what is random does not compress: it cost four times the processor time and saved a fiftieth.
    "wal_compression": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_statement": "none",
    # A statement in the log could carry a password or a customer's data.
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_line_prefix": "%m [%p] %a %d ",
}


class PostgresError(RuntimeError):
    """The local PostgreSQL could not be started or has gone; the message ends with the tail of its log."""


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """The passwords of a database's two roles."""

    owner: str
    app: str


class LocalPostgres:
    """One PostgreSQL server with its data, restartable on the same port and data."""

    def __init__(
        self,
        folder: Path,
        *,
        log_file: Path | None = None,
        binaries: PostgresBinaries | None = None,
        settings: dict[str, str] | None = None,
        keeps_template: bool = True,
    ) -> None:
        """Plan a server that keeps everything in `folder`; `settings` are added to (and win over) SETTINGS.

        `keeps_template` leaves a template of the data in the system's temporary folder, for the next server's sake.
        """
        self.binaries = find_postgres() if binaries is None else binaries
        self.files = PostgresFiles(folder, self.binaries, keeps_template=keeps_template)
        self._settings = {**SETTINGS, **(settings or {})}
        self._log_file = folder / "postgres.log" if log_file is None else log_file
        self._reservation: PortReservation | None = None
        self._child: ChildProcess | None = None
        self._lock = threading.RLock()
        self._wanted = False

    @property
    def port(self) -> int:
        """The loopback port; raises PostgresError before the first start."""
        if self._reservation is None:
            raise PostgresError("The local PostgreSQL was never started.")
        return self._reservation.port

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, None when it does not run."""
        return self._child.pid if self._child is not None and self._child.alive else None

    @property
    def alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._child is not None and self._child.alive

    @property
    def died(self) -> bool:
        """Whether the server ended although nobody stopped or killed it through this object."""
        with self._lock:
            return self._wanted and not self.alive

    @property
    def admin_url(self) -> str:
        """The URL of the superuser on the maintenance database; it holds a password."""
        return self.url(ADMIN_DATABASE, ADMIN_ROLE, self.files.admin_password())

    def url(self, database: str, role: str, password: str) -> str:
        """Return the URL of a database for a role."""
        login = f"{quote(role, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{login}@{LOOPBACK}:{self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Start the server, making its data at the first start; returns when it answers.

        A data folder left behind by a killed server is recovered. Raises PostgresError.
        """
        with self._lock:
            if self.alive:
                return
            self.files.prepare()
            self._disarm_stale_pid_file()
            port_may_change = self._reservation is None
            deadline = time.monotonic() + extended(START_TIMEOUT_S)
            while True:
                if self._reservation is None:
                    self._reservation = reserve_port()
                try:
                    self._start_once(deadline)
                except PostgresError as error:
                    self._abandon()
                    # The last processes of a killed server need a moment to notice that it is gone.
                    lingering = "shared memory block" in str(error)
                    taken = "could not bind" in str(error)
                    if not (lingering or taken) or time.monotonic() > deadline:
                        raise
                    if taken and port_may_change:
                        self._reservation.close()
                        self._reservation = None
                    time.sleep(RETRY_S)
                else:
                    self._wanted = True
                    return

    def stop(self) -> None:
        """End the server by a fast shutdown: sessions are cut, everything is written, no recovery is needed."""
        with self._lock:
            self._wanted = False
            if self._child is not None:
                self._child.stop()

    def kill(self) -> None:
        """Kill the postmaster and every process of it at once, as a power cut of the processes would."""
        with self._lock:
            self._wanted = False
            if self._child is not None:
                kill_family(self._child)

    def restart(self) -> None:
        """Stop the server if it runs and start it again on the same port and data."""
        with self._lock:
            self.stop()
            self.start()

    def close(self) -> None:
        """Stop the server, take its data home and free its port."""
        with self._lock:
            self._release()
            if not self.alive:
                self.files.store()

    def destroy(self) -> None:
        """Stop the server and delete its data, wherever that lies."""
        with self._lock:
            self._release()
            self.files.remove()

    def _release(self) -> None:
        """Stop the server and free its port."""
        self.stop()
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def create_role_and_database(self, name: str, owner_role: str, app_role: str, passwords: RolePasswords) -> None:
        """Make a database with its owner (for migrations) and its application role (for running); repeatable.

        Each role has a limit of connections, so that one service cannot take those of the others. The application
        role may do what the owner's migrations grant it, and nothing else. Nobody else may connect to the database,
        and neither role may connect to another one.
        """
        with psycopg.connect(self.admin_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            self._ensure_role(connection, owner_role, passwords.owner, OWNER_CONNECTIONS_MAX)
            self._ensure_role(connection, app_role, passwords.app, APP_CONNECTIONS_MAX)
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            database, owner, app = sql.Identifier(name), sql.Identifier(owner_role), sql.Identifier(app_role)
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
            for closed in (name, ADMIN_DATABASE, "template1"):
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(closed)))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, app))
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, app))
        inside = self.url(name, ADMIN_ROLE, self.files.admin_password())
        with psycopg.connect(inside, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(owner))
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(app))

    @staticmethod
    def _ensure_role(
        connection: psycopg.Connection[tuple[object, ...]], role: str, password: str, connections: int
    ) -> None:
        """Make a login role, or set this password and connection limit of the one that is there."""
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        verb = sql.SQL("CREATE" if found is None else "ALTER")
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {}").format(
                verb, sql.Identifier(role), sql.Literal(connections), sql.Literal(password)
            )
        )

    def _command(self) -> Sequence[str]:
        """Return the postmaster's command line."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.files.bin / "postgres"), "-D", str(self.files.data), "-p", str(self.port), *options]

    def _start_once(self, deadline: float) -> None:
        """Start the postmaster on the reserved port and wait until it answers; raises PostgresError."""
        self._child = ChildProcess(
            ChildSpec(
                name="postgres",
                command=self._command(),
                env=self.files.environment(),
                log_file=self._log_file,
                cwd=self.files.base,
                account=self.files.account,
                # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
                stop_signal=signal.SIGINT,
                grace_s=STOP_GRACE_S,
            )
        )
        self._child.start()
        while time.monotonic() < deadline:
            if not self._child.alive:
                raise PostgresError(f"The local PostgreSQL ended while it started:\n{self._tail()}")
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.admin_url, connect_timeout=CONNECT_TIMEOUT_S).close()
                return
            time.sleep(POLL_S)
        raise PostgresError(f"The local PostgreSQL did not answer within {START_TIMEOUT_S} s:\n{self._tail()}")

    def _abandon(self) -> None:
        """Make sure that a failed start leaves no process."""
        if self._child is not None:
            kill_family(self._child)
            self._child = None

    def _tail(self) -> str:
        return "" if self._child is None else self._child.tail(LOG_TAIL_LINES)

    def _disarm_stale_pid_file(self) -> None:
        """Let the pid file that a killed server left no longer name a process that may exist.

        PostgreSQL refuses to start while any process of the same user has the number in the file, be it a
        stranger or the dead server's own zombie that nobody has collected yet, and when the file is empty. A file
        that names the parent of the new server, us, counts as stale: only the number is replaced, because by the
        rest of the file PostgreSQL finds processes of the killed server that still hold its shared memory. While a
        server runs on this very data folder nothing is touched and the start refused.
        """
        pid_file = self.files.data / "postmaster.pid"
        try:
            first, *rest = pid_file.read_text(encoding="utf-8").splitlines() or [""]
        except FileNotFoundError:
            return
        pid = int(first) if first.strip().isdigit() else 0
        if pid and process_exists(pid) and _runs_on(pid, self.files.data):
            raise PostgresError(f"Another PostgreSQL (process {pid}) runs on {self.files.data}.")
        if pid == 0:
            pid_file.unlink()
        elif pid != os.getpid():
            pid_file.write_text("\n".join([str(os.getpid()), *rest]) + "\n", encoding="utf-8")


def _runs_on(pid: int, data: Path) -> bool:
    """Return whether a process was started with that data folder; unknown counts as yes."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        answer = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False).stdout
        command = answer or os.fsencode(data)
    return os.fsencode(data) in command
