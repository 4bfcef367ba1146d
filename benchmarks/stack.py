"""The local stack of a checkout, started by that checkout's own programs, and what a benchmark does to it.

Nothing of the product is imported for it but names, so that the stack of an older checkout is driven the same way:
by its command line, by `state.json`, and by the lane rows in its databases.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from apportion_client.local_stack import DATA_FOLDER_SETTING
from apportion_common.bus.rights import API_PREFIX, OPERATOR, OWN_API_PREFIX, STREAM_ADMIN

from benchmarks.machine import SUPERVISOR, Spent, difference, spent
from benchmarks.month import SCENARIO

START_TIMEOUT_S: Final = 600
END_TIMEOUT_S: Final = 120
LANES_TIMEOUT_S: Final = 60
DRAIN_SILENCE_S: Final = 30
"""A pipeline that has not moved for this long does not move any more."""
POLL_S: Final = 0.02
DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
"""Settings without which no rate on a server is worth anything; the references run on the same server."""
APPLIERS: Final = 3
"""Scenarios applied at the same time, before anything is measured."""
CALL_EVENTS_MAX: Final = 5_000
HOLDER: Final = "benchmark"
WRITER, RATER, POSTER = "metering_writer", "pricing_rater", "ledger_poster"
RATED_RECEIPTS, POSTED_RECEIPTS = "metering_rated_receipts", "metering_posted_receipts"
SERVICE_OF: Final = {
    WRITER: "metering",
    RATER: "pricing",
    POSTER: "ledger",
    RATED_RECEIPTS: "metering",
    POSTED_RECEIPTS: "metering",
}
_UP: Final = "up"
_SAMPLE: Final = re.compile(r'apportion_lane_(batches_total|owned)\{role="([a-z_]+)"\} (\S+)')


@dataclass(frozen=True, slots=True)
class Place:
    """How far the lanes of a role are, all together: batches worked, and entries numbered (the writer alone does)."""

    batches: int
    entries: int


class Stack:
    """A checkout's stack, on data of its own that are deleted when it is closed."""

    def __init__(self, label: str, checkout: Path, folder: Path) -> None:
        """Plan it; `folder` is for its data and logs."""
        self.label = label
        self.checkout = checkout.resolve()
        self._bin = self.checkout / ".venv" / "bin"
        if not (self._bin / "apportion").exists():
            sys.exit(f"{self.checkout} has no .venv with the product in it: run `make setup` there.")
        self.data = folder / "data"
        folder.mkdir(parents=True)
        folder.chmod(0o711)
        self.environment = {**os.environ, DATA_FOLDER_SETTING: str(self.data)}
        self._log = folder / "stack.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._state: dict[str, Any] = {}

    def start(self) -> None:
        """Start it unless it runs; it ends with this process, however that ends."""
        if self._process is not None:
            return
        command = [str(self._bin / "apportion"), "stack", "exec", "--data", str(self.data), "--"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "sh", "-c", f"echo {_UP}; exec cat >/dev/null"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.checkout,
                env=self.environment,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        if not ready or self._process.stdout.readline().strip() != _UP.encode():
            self.stop()
            sys.exit(f"The stack of {self.checkout} did not come up:\n{self._log.read_text(errors='replace')[-4_000:]}")
        self._state = json.loads((self.data / "state.json").read_text(encoding="utf-8"))
        for name in DURABLE:
            if self.row("metering", f"SELECT current_setting('{name}')") != ("on",):
                sys.exit(f"The stack of {self.checkout} runs PostgreSQL without {name}: its commits may be lost.")

    def stop(self) -> None:
        """End it; its data stay."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        # While it starts it does not look at its command's end yet.
        process.terminate()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # What it started dies with it.
            process.send_signal(signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """End it and delete its data."""
        self.stop()
        shutil.rmtree(self.data.parent, ignore_errors=True)

    @property
    def pids(self) -> dict[str, int]:
        """Its processes by name."""
        assert self._process is not None
        pids: dict[str, int] = self._state["pids"]
        return pids | {SUPERVISOR: self._process.pid}

    def spent(self) -> Spent:
        """Return the processor seconds of its processes so far."""
        return spent(self.pids)

    def own_seconds(self) -> float:
        """Return the processor seconds so far of everything that belongs to a measurement: stack, clients, this."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(self.spent().values()) + time.process_time() + children.ru_utime + children.ru_stime

    def url(self, database: str) -> str:
        """Return the superuser's URL of a database of its server; it holds a password."""
        password = (self.data / "postgres" / "admin-password").read_text(encoding="ascii")
        return f"postgresql://postgres:{password}@{self._state['postgres_address']}/{database}"

    def database(self, service: str) -> psycopg.Connection[Any]:
        """Return a connection to a service's database, kept open, as the superuser, each statement for itself."""
        found = self._connections.get(service)
        if found is None:
            found = psycopg.connect(self.url(f"apportion_{service}"), autocommit=True)
            self._connections[service] = found
        return found

    def row(self, service: str, statement: str, *parameters: object) -> tuple[Any, ...]:
        """Return the one row of a query."""
        row: tuple[Any, ...] | None = self.database(service).execute(statement, parameters).fetchone()
        assert row is not None
        return row

    def client(self, *arguments: str) -> float:
        """Run a command of the client in a process of its own; return its processor seconds."""
        command = [str(self._bin / "python"), "-m", "apportion_cli.main", *arguments]
        output = self.data.parent / f"client-{os.getpid()}-{time.monotonic_ns()}.log"
        with output.open("wb") as log:
            child = subprocess.Popen(command, env=self.environment, cwd=self.checkout, stdout=log, stderr=log)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{' '.join(arguments)} failed:\n{output.read_text(errors='replace')}")
        output.unlink()
        return used.ru_utime + used.ru_stime

    def apply(self, prefixes: Sequence[str]) -> None:
        """Bring the month's scenario about under every prefix; the first one alone makes what they share."""
        for start, count in ((0, 1), *((first, APPLIERS) for first in range(1, len(prefixes), APPLIERS))):
            scripts = [
                [str(self._bin / "python"), "-m", "apportion_cli.main", "apply", str(SCENARIO), "--prefix", prefix]
                for prefix in prefixes[start : start + count]
            ]
            children = [
                subprocess.Popen(script, env=self.environment, cwd=self.checkout, stdout=subprocess.DEVNULL)
                for script in scripts
            ]
            codes = [child.wait() for child in children]
            if any(codes):
                sys.exit("The scenario could not be applied.")

    def send(self, file: Path, size: int, *, nothing: bool = False) -> float:
        """Send a file of usage by one client process, `size` events a call; return its processor seconds.

        With `nothing` it does all but sending: that is what its start costs.
        """
        limit = ("--limit", "0") if nothing else ()
        return self.client("ingest", str(file), "--batch", str(size), "--no-resume", *limit)

    def place(self, role: str) -> Place:
        """Return how far the lanes of a role are."""
        statement = "SELECT coalesce(sum(pos), 0), coalesce(sum(next_seq - 1), 0) FROM lane WHERE role = %s"
        batches, entries = self.row(SERVICE_OF[role], statement, role)
        return Place(int(batches), int(entries))

    def wait_stored(self, before: Place, events: int) -> bool:
        """Wait until the writer has numbered so many entries more; whether it has, or has come to a standstill."""
        return self._wait(lambda: self.place(WRITER), lambda place: place.entries >= before.entries + events)

    def wait_worked(self, role: str) -> bool:
        """Wait until a role has worked every batch that the writer made; whether it has, or stands still."""
        return self._wait(lambda: self.place(role), lambda place: place.batches >= self.place(WRITER).batches)

    def wait_begun(self, role: str, before: Place) -> bool:
        """Wait until a role has worked something more; whether it has."""
        return self._wait(lambda: self.place(role), lambda place: place != before)

    def hold(self, *roles: str) -> None:
        """Take all lanes of the roles away from the stack, as another worker would; messages wait on their streams."""
        for role in roles:
            self.database(SERVICE_OF[role]).execute(
                "UPDATE lane SET owner = %s, epoch = epoch + 1, lease_until = clock_timestamp() + interval '1 hour'"
                " WHERE role = %s",
                (HOLDER, role),
            )
        deadline = time.monotonic() + LANES_TIMEOUT_S
        while any(self.metric(role, "owned") for role in roles):
            if time.monotonic() > deadline:
                sys.exit(f"The stack does not let go of the lanes of {', '.join(roles)}.")
            time.sleep(POLL_S)

    def release(self, role: str) -> None:
        """Give the lanes of a role back."""
        self.database(SERVICE_OF[role]).execute(
            "UPDATE lane SET owner = '', lease_until = '-infinity' WHERE role = %s AND owner = %s", (role, HOLDER)
        )

    def metric(self, role: str, name: str) -> float:
        """Return a figure of a role's lanes: `batches_total` (transactions committed) or `owned` (lanes held)."""
        address = self._state["metrics_addresses"][SERVICE_OF[role]]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(value) for found, of, value in _SAMPLE.findall(text) if (found, of) == (name, role))

    @property
    def nats(self) -> tuple[str, str, str, str, str]:
        """URL, authority's file, and user, password and API prefix of who may purge streams; of older stacks too."""
        passwords = json.loads((self.data / "secrets" / "passwords.json").read_text(encoding="ascii"))["nats"]
        user, prefix = (STREAM_ADMIN, API_PREFIX) if STREAM_ADMIN in passwords else (OPERATOR, OWN_API_PREFIX)
        return self._state["nats_url"], self._state["ca_file"], user, passwords[user], prefix

    def _wait(self, look: Callable[[], Place], done: Callable[[Place], bool]) -> bool:
        last, moved = None, time.monotonic()
        while True:
            seen = look()
            if done(seen):
                return True
            if seen != last:
                last, moved = seen, time.monotonic()
            elif time.monotonic() - moved > DRAIN_SILENCE_S:
                return False
            time.sleep(POLL_S)


class Meter:
    """What a stack spends from one moment to another."""

    def __init__(self, stack: Stack) -> None:
        """Begin."""
        self._stack = stack
        self._spent = stack.spent()
        self._started = time.perf_counter()

    def read(self) -> tuple[Spent, float]:
        """Return processor seconds by process, and seconds, since the beginning."""
        return difference(self._stack.spent(), self._spent), time.perf_counter() - self._started
