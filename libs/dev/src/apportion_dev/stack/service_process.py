"""One process of a service: its ports, its environment, and the way from started to ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from apportion_client.local_stack import StackError

from apportion_dev.local.machine import extended, load
from apportion_dev.local.ports import PortReservation, reserve_port
from apportion_dev.local.process import ChildProcess, ChildSpec
from apportion_dev.stack.environment import ProcessPlace
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.options import READY_TIMEOUT_SETTING
from apportion_dev.stack.readiness import is_ready

READY_POLL_S = 0.1
STOP_GRACE_S = 20
LOG_TAIL_LINES = 40


@dataclass
class ServiceProcess:
    """A process of a service on ports of its own, which it keeps over restarts.

    `wanted` says whether it ought to run: what ends while it is wanted has died.
    """

    name: str
    service: str
    layout: Layout
    command: Sequence[str]
    grpc: PortReservation = field(default_factory=reserve_port)
    metrics: PortReservation = field(default_factory=reserve_port)
    smtp: PortReservation = field(default_factory=reserve_port)
    child: ChildProcess | None = None
    wanted: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def place(self) -> ProcessPlace:
        """Where the process listens and writes its spans."""
        traces = self.layout.traces / f"{self.name}.jsonl"
        return ProcessPlace(self.grpc.address, self.metrics.address, self.smtp.address, traces)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.child is not None and self.child.alive

    @property
    def died(self) -> bool:
        """Whether the process ended although it was wanted."""
        with self.lock:
            return self.wanted and not self.alive

    def spawn(self, environment: Mapping[str, str]) -> None:
        """Start the process, not yet wanted; raises StackError when it runs already."""
        with self.lock:
            if self.alive:
                raise StackError(f"{self.name} is running already.")
            self.child = ChildProcess(
                ChildSpec(
                    name=self.name,
                    command=self.command,
                    env=environment,
                    log_file=self.layout.log_file(self.name),
                    grace_s=STOP_GRACE_S,
                )
            )
            self.child.start()

    def wait_ready(self, timeout_s: int, given_up: Callable[[], bool]) -> None:
        """Wait until the process answers as ready; raises StackError with the tail of its log when it does not.

        On a machine that has more to do than it can, it has as much longer as that takes.
        """
        started = time.monotonic()
        while time.monotonic() - started < extended(timeout_s) and not given_up():
            if not self.alive:
                raise StackError(self.report("ended before it was ready"))
            if is_ready(self.grpc.address, self.layout.tls / "ca.pem"):
                return
            time.sleep(READY_POLL_S)
        if given_up():
            raise StackError(self.report("was still starting when the stack was ended"))
        waited_s = round(time.monotonic() - started)
        raise StackError(
            self.report(
                f"was not ready within {waited_s} s ({READY_TIMEOUT_SETTING}; the machine's load is {load():.0f})"
            )
        )

    def expect_life(self) -> None:
        """Count the next end of the process as a death."""
        with self.lock:
            self.wanted = True

    def expect_end(self) -> None:
        """Expect the end of the process."""
        with self.lock:
            self.wanted = False

    def end(self) -> int | None:
        """Stop the process on purpose; return its exit code, None when it never ran."""
        self.expect_end()
        return None if self.child is None else self.child.stop()

    def close(self) -> None:
        """Stop the process and free its ports."""
        self.end()
        self.grpc.close()
        self.metrics.close()
        self.smtp.close()

    def report(self, what: str) -> str:
        """Return a sentence on what happened, with the exit code and the tail of the log."""
        code = None if self.child is None else self.child.returncode
        ending = "" if code is None else f" (signal {-code})" if code < 0 else f" (exit code {code})"
        log = "" if self.child is None else self.child.tail(LOG_TAIL_LINES)
        return f"{self.name} {what}{ending}. The end of {self.layout.log_file(self.name)}:\n{log or '(nothing)'}"
