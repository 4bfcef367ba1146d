"""Child processes that never outlive the process that started them.

All children of one supervising process live in one process group of their own, so that a terminal's Ctrl-C
reaches the supervisor alone. The group's leader is a tiny guard that sleeps on a pipe whose other end only the
supervisor holds: when the supervisor goes, by whatever signal, the kernel closes the pipe and the guard kills the
whole group. That needs no polling, works wherever there is a POSIX shell, and a stopped child dies of it too.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apportion_dev.local.privilege import Account

STOP_GRACE_S = 15
KILL_WAIT_S = 10
POLL_S = 0.02
TAIL_BYTES = 64 * 1024

_GUARD_SCRIPT = "trap '' HUP INT TERM; read -r _; kill -KILL 0"


class Guard:
    """The process group that dies with this process."""

    def __init__(self) -> None:
        """Prepare a guard; its process starts with the first child."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_pid = os.getpid()

    def group(self) -> int:
        """Return the id of the guarded group; starts the guard when it does not run."""
        with self._lock:
            if self._owner_pid != os.getpid():
                # A fork of the supervisor: what it starts must die with the fork, so it gets a guard of its own.
                self._process, self._owner_pid = None, os.getpid()
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD_SCRIPT],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    process_group=0,
                )
            return self._process.pid

    def close(self) -> None:
        """End the guard and with it whatever is left in its group."""
        with self._lock:
            if self._process is None or self._owner_pid != os.getpid():
                return
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(KILL_WAIT_S)
            self._process = None


GUARD = Guard()
atexit.register(GUARD.close)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run: the command, its whole environment, and where its output goes."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log_file: Path
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: int = STOP_GRACE_S


@dataclass
class ChildProcess:
    """One guarded child; its output is appended to its log file, unbuffered and as it is.

    The file is the truth and whatever shows lines on a console reads it: so a supervisor that is paused or dies
    neither blocks a child nor loses its last words.
    """

    spec: ChildSpec
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log_start: int = field(default=0, repr=False)
    _stop_requested: bool = field(default=False, repr=False)

    def start(self) -> None:
        """Start the child; raises RuntimeError when it runs already and OSError when it cannot be executed."""
        if self.alive:
            raise RuntimeError(f"{self.spec.name} is running already.")
        spec = self.spec
        self._stop_requested = False
        spec.log_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(spec.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._log_start = os.fstat(descriptor).st_size
            self._process = subprocess.Popen(
                list(spec.command),
                env=dict(spec.env),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                process_group=GUARD.group(),
                user=None if spec.account is None else spec.account.uid,
                group=None if spec.account is None else spec.account.gid,
                extra_groups=None if spec.account is None else [],
            )
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """The process id of the child; raises RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError(f"{self.spec.name} was never started.")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs (a stopped one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or before it started."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end; return the exit code, or None when the time ran out first."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a child that has gone already is no error."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def request_stop(self) -> None:
        """Ask the child to end, and wake it if it is paused, without waiting.

        One life is asked only once: many programs take a second signal for impatience and drop what they do.
        """
        if not self._stop_requested:
            self._stop_requested = True
            self.signal(self.spec.stop_signal)
        self.signal(signal.SIGCONT)

    def stop(self) -> int | None:
        """End the child: its stop signal, then SIGKILL after the grace period; return the exit code."""
        self.request_stop()
        if self.wait(self.spec.grace_s) is None:
            self.kill()
        return self.returncode

    def kill(self) -> None:
        """Kill the child and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(KILL_WAIT_S)

    def pause(self) -> None:
        """Stop the child where it stands (SIGSTOP)."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused child go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def tail(self, lines: int) -> str:
        """Return the last lines that this life of the child wrote to its log file."""
        return tail(self.spec.log_file, lines, self._log_start)


def tail(file: Path, lines: int, start: int = 0) -> str:
    """Return the last lines of a text file, looking at its last 64 KiB and not before byte `start`."""
    try:
        with file.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(start, stream.tell() - TAIL_BYTES))
            return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""


def process_exists(pid: int) -> bool:
    """Return whether a process of that id exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def child_pids(parent: int) -> list[int]:
    """Return the ids of the direct children of a process, also those that lead sessions of their own."""
    if Path("/proc/self/stat").exists():
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                status = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                if int(status.rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
        return found
    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listing.splitlines()]
    return [int(pid) for pid, ppid in pairs if int(ppid) == parent]


def kill_family(parent: ChildProcess) -> None:
    """Kill a child together with its direct children, and wait until all are gone.

    The parent is stopped first, so that it can neither start a new child nor tidy up after a dead one.
    """
    if not parent.alive:
        return
    parent.pause()
    family = child_pids(parent.pid)
    parent.signal(signal.SIGKILL)
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    parent.wait(KILL_WAIT_S)
    deadline = time.monotonic() + KILL_WAIT_S
    while any(process_exists(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(POLL_S)
