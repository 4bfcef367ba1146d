"""The local stack: starts everything in order, watches it, and ends it.

What the stack starts dies with the process that started it, however that ends (see apportion_dev.local.process).
A child that dies is reported with the tail of its log; the stack has then failed and whoever runs it ends it, unless
it was told to restart what dies. Tests that end a child on purpose do so through the stack, which then expects it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from apportion_client.local_stack import READY, STARTING, StackError, StackState
from apportion_client.settings import SERVICES
from apportion_common.flags import FLAGS

from apportion_dev.local.machine import extended, free_mib, load, wait_for_end
from apportion_dev.local.nats import SILENT, LocalNats
from apportion_dev.local.postgres import LocalPostgres
from apportion_dev.local.process import ChildProcess, ChildSpec
from apportion_dev.stack import environment as env
from apportion_dev.stack.credentials import TOKEN_REFRESH_S, Passwords, StackKeys, mint, write_tokens
from apportion_dev.stack.layout import OPERATOR, Layout, StackLock
from apportion_dev.stack.options import StackOptions
from apportion_dev.stack.room import require_room
from apportion_dev.stack.service_process import LOG_TAIL_LINES, ServiceProcess

WATCH_S = 5.0
"""Between looks at what tells nobody: tokens that grow old, a NATS server that takes nothing. Ends are told at once."""
RESTART_FIRST_S = 0.5
RESTART_MAX_S = 30.0
"""Longest pause before something that dies again and again is started again."""
RESTART_FORGET_S = 60.0
"""Whatever lived for longer than that is started again as if it had never died."""
NATS_RESTART_S = 30.0
"""Between two restarts of a NATS server that takes nothing."""
NATS_ROOM_MIB = 64
"""Room on the disk with which such a restart may help."""
MIGRATION_TIMEOUT_S = 300
MAKE_STREAMS_COMMAND = (sys.executable, "-m", "apportion_common.bus", "make-streams")
MAKE_STREAMS_TIMEOUT_S = 90
PROGRESS_S = 5
WATCH_END_TIMEOUT_S = 90

Part = TypeVar("Part")


@dataclass
class _Death:
    """Something that died and is to be started again."""

    times: int = 0
    due: float | None = None
    """When it is to be started again; None when it was."""
    started: float = 0.0

    def next_pause_s(self) -> float:
        """Return the pause before the next start, longer each time."""
        self.times += 1
        return float(min(RESTART_FIRST_S * 2 ** (self.times - 1), RESTART_MAX_S))


class LocalStack:
    """PostgreSQL, NATS and the five services; a context manager that starts and stops them."""

    def __init__(self, layout: Layout, options: StackOptions | None = None) -> None:
        """Plan a stack in the folders of a layout."""
        self.layout = layout
        self.options = StackOptions() if options is None else options
        self.failed = threading.Event()
        self.failure: str | None = None
        self.processes: dict[str, ServiceProcess] = {}
        self._lock = StackLock(layout)
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None
        self._bell, self._bell_push = socket.socketpair()
        self._deaths: dict[str, _Death] = {}
        self._nats_ailment: str | None = None
        self._nats_restarted = -NATS_RESTART_S
        self._changes = threading.RLock()
        self._phase = STARTING
        self._tokens_written: datetime | None = None
        self._postgres: LocalPostgres | None = None
        self._nats: LocalNats | None = None
        self._keys: StackKeys | None = None
        self._passwords: Passwords | None = None

    @property
    def postgres(self) -> LocalPostgres:
        """The stack's PostgreSQL; raises StackError before the start."""
        return _started(self._postgres)

    @property
    def nats(self) -> LocalNats:
        """The stack's NATS server; raises StackError before the start."""
        return _started(self._nats)

    @property
    def keys(self) -> StackKeys:
        """The stack's keys and certificates; raises StackError before the start."""
        return _started(self._keys)

    @property
    def passwords(self) -> Passwords:
        """The stack's passwords; raises StackError before the start."""
        return _started(self._passwords)

    @property
    def addresses(self) -> dict[str, str]:
        """The gRPC address of each service and replica."""
        return {name: process.grpc.address for name, process in self.processes.items()}

    def start(self) -> None:
        """Start everything in order and return when all services are ready; raises StackError, leaving nothing."""
        self.layout.make()
        self._lock.acquire()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything: services first, then NATS and PostgreSQL; a second call does nothing."""
        self._ending.set()
        self._ring()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(WATCH_END_TIMEOUT_S)
        with self._changes:
            for process in self.processes.values():
                process.expect_end()
                if process.child is not None:
                    process.child.request_stop()
            for process in self.processes.values():
                process.close()
            for server in (self._nats, self._postgres):
                if server is not None:
                    server.close()
            self.layout.state_file.unlink(missing_ok=True)
        if self._watcher is None or not self._watcher.is_alive():
            self._bell.close()
            self._bell_push.close()
        self._lock.release()

    def destroy(self) -> None:
        """Stop the stack and delete the data of its servers, also what lies outside its folder."""
        self.stop()
        if self._nats is not None:
            self._nats.destroy()
        if self._postgres is not None:
            self._postgres.destroy()

    def __enter__(self) -> Self:
        """Start the stack."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the stack."""
        self.stop()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a process of a service by a signal and wait until it is gone."""
        process = self._process(name)
        process.expect_end()
        if process.child is not None:
            process.child.signal(number)
        self._write_after_end(process)

    def wait_exit(self, name: str, timeout_s: int) -> int:
        """Wait for a process that is about to end itself (at a fail point) and return its exit code.

        Call `expect_exit` before what makes it end. Raises StackError when the time runs out.
        """
        process = self._process(name)
        process.expect_end()
        code = None if process.child is None else process.child.wait(timeout_s)
        if code is None:
            raise StackError(process.report(f"did not end within {timeout_s} s"))
        self._write_state()
        return code

    def expect_exit(self, name: str) -> None:
        """Expect that process to end: it is no failure from now on."""
        self._process(name).expect_end()

    def stop_service(self, name: str) -> int | None:
        """Ask a process of a service to end (SIGTERM, then SIGKILL after its grace) and return its exit code."""
        code = self._process(name).end()
        self._write_state()
        return code

    def start_service(self, name: str, extra_env: Mapping[str, str] | None = None) -> None:
        """Start a process that was ended, on the same ports, and wait until it is ready.

        Raises StackError, leaving the process ended, when it does not get ready.
        """
        process = self._process(name)
        self._spawn(process, extra_env or {})
        try:
            process.wait_ready(self.options.ready_timeout_s, self._ending.is_set)
        except StackError:
            process.end()
            raise
        process.expect_life()
        self._write_state()

    def start_replica(self, service: str, name: str, extra_env: Mapping[str, str] | None = None) -> str:
        """Start a further process of a service on ports of its own; return the name under which the stack knows it."""
        full_name = f"{service}-{name}"
        with self._changes:
            if service not in SERVICES or full_name in self.processes:
                raise StackError(f"{full_name} cannot be started: no such service, or the name is taken.")
            self.processes = self.processes | {full_name: self._plan(full_name, service)}
        self.start_service(full_name, extra_env)
        return full_name

    def pause(self, name: str) -> None:
        """Stop a process where it stands (SIGSTOP)."""
        _started(self._process(name).child).pause()

    def resume(self, name: str) -> None:
        """Let a paused process go on (SIGCONT)."""
        _started(self._process(name).child).resume()

    def mint_token(self, sub: str, roles: Sequence[str], *, org_id: str | None = None, ttl_s: int = 900) -> str:
        """Return a token signed by this stack's key."""
        return mint(self.keys.signing, sub, roles, self.options.clock.now(), org_id=org_id, ttl_s=ttl_s)

    def state(self) -> StackState:
        """Return what `state.json` says now."""
        pids = {name: process.child.pid for name, process in self.processes.items() if process.child and process.alive}
        servers = {"postgres": self._postgres, "nats": self._nats}
        pids |= {name: server.pid for name, server in servers.items() if server is not None and server.pid is not None}
        return StackState(
            phase=self._phase,
            supervisor_pid=os.getpid(),
            addresses=self.addresses,
            metrics_addresses={name: process.metrics.address for name, process in self.processes.items()},
            pids=pids,
            postgres_address=f"127.0.0.1:{self.postgres.port}",
            nats_url=self.nats.url,
            nats_monitor_url=self.nats.monitor_url,
            smtp_address=self.processes["identity"].smtp.address if "identity" in self.processes else "",
            ca_file=str(self.keys.ca.certificate_file),
            jwks_file=str(self.layout.jwks_file),
            token_file=str(self.layout.token_file(OPERATOR)),
        )

    def _start(self) -> None:
        say, layout = self.options.say, self.layout
        require_room(layout, self.options.streams_mib)
        now = self.options.clock.now()
        self._passwords = Passwords.create_or_load(layout)
        self._keys = StackKeys.create_or_load(layout, now)
        self._postgres = LocalPostgres(layout.postgres, log_file=layout.log_file("postgres"), keeps_template=False)
        self._nats = LocalNats(
            layout.nats,
            users=self._passwords.nats,
            certificate=self._keys.certificates["nats"],
            log_file=layout.log_file("nats"),
            sync_always=self.options.nats_sync_always,
            by_rights=True,
        )
        say(f"PostgreSQL {self._postgres.binaries.version} from {self._postgres.binaries.source}.")
        self._postgres.start()
        self._nats.start()
        self.make_streams()
        for service in SERVICES:
            self._postgres.create_role_and_database(
                env.database(service), env.owner_role(service), env.app_role(service), self._passwords.roles[service]
            )
        self._migrate()
        self._refresh_tokens()
        self.processes = {service: self._plan(service, service) for service in SERVICES}
        say(f"All features are open in the local stack: {', '.join(FLAGS)}.")
        say("Pricing's gate is overridden for the local profile (PRICING_GATE_OVERRIDE=local).")
        self._write_state()
        for process in self.processes.values():
            self._spawn(process, {})
            process.expect_life()
        self._wait_ready()
        self._phase = READY
        self._write_state()
        watcher = threading.Thread(target=self._watch, name="stack-watch", daemon=True)
        watcher.start()
        # Kept once it runs: a signal may end the stack inside of `start`, and what was not started cannot be joined.
        self._watcher = watcher
        say("The local stack is ready.")

    def make_streams(self) -> None:
        """Make the streams that are missing, as the user who alone may; raises StackError with the tail of its log."""
        ca_file, size_mib = self.keys.ca.certificate_file, self.options.streams_mib
        environment = env.stream_environment(self.passwords, self.nats.url, ca_file, size_mib)
        self._run_step("streams", MAKE_STREAMS_COMMAND, environment, MAKE_STREAMS_TIMEOUT_S)

    def _wait_ready(self) -> None:
        """Wait until every service is ready, and say for which ones whenever nothing has happened for a while."""
        timeout_s = self.options.ready_timeout_s
        self.options.say(f"Waiting until {', '.join(self.processes)} are ready, for at most {timeout_s} s ...")
        with ThreadPoolExecutor(len(self.processes)) as waiters:
            waiting = {
                waiters.submit(process.wait_ready, timeout_s, self._ending.is_set): name
                for name, process in self.processes.items()
            }
            try:
                while waiting:
                    ready, _ = wait(waiting, timeout=PROGRESS_S, return_when=FIRST_COMPLETED)
                    for waited in ready:
                        waited.result()
                        del waiting[waited]
                    if not ready:
                        self.options.say(f"{', '.join(waiting.values())} still starting (load {load():.0f}) ...")
            except BaseException:
                # The others must not go on waiting for what is about to be stopped.
                self._ending.set()
                raise

    def _migrate(self) -> None:
        """Bring the databases up to date by the migration command; raises StackError with the tail of its log."""
        if self.options.migrate_command is None:
            return
        self.options.say("Bringing the databases up to date ...")
        environment = env.migration_environment(self.postgres, self.passwords)
        self._run_step("migrate", self.options.migrate_command, environment, MIGRATION_TIMEOUT_S)

    def _run_step(self, name: str, command: Sequence[str], environment: Mapping[str, str], timeout_s: int) -> None:
        """Run a command of the start to its end; raises StackError with the tail of its log."""
        log_file = self.layout.log_file(name)
        runner = ChildProcess(ChildSpec(name=name, command=command, env=environment, log_file=log_file))
        runner.start()
        try:
            code = runner.wait(extended(timeout_s))
        finally:
            runner.kill()
        if code != 0:
            what = f"did not end within {timeout_s} s" if code is None else f"failed with exit code {code}"
            raise StackError(f"The step {name} {what}. The end of {log_file}:\n{runner.tail(LOG_TAIL_LINES)}")

    def _plan(self, name: str, service: str) -> ServiceProcess:
        return ServiceProcess(name, service, self.layout, self.options.service_command(service))

    def _process(self, name: str) -> ServiceProcess:
        try:
            return self.processes[name]
        except KeyError:
            known = ", ".join(self.processes) or "none yet"
            raise StackError(f"The stack has no process named {name}; it has {known}.") from None

    def _spawn(self, process: ServiceProcess, extra_env: Mapping[str, str]) -> None:
        """Start one life of a process with the stack's environment and what is meant for this life alone."""
        with self._changes:
            if self._ending.is_set():
                raise StackError("The stack is ending.")
            settings = env.service_environment(
                process.service,
                process.place,
                self.addresses,
                layout=self.layout,
                keys=self.keys,
                passwords=self.passwords,
                postgres=self.postgres,
                nats=self.nats,
            )
            always = {**self.options.service_env.get("*", {}), **self.options.service_env.get(process.service, {})}
            process.spawn({**settings, **always, **extra_env})
        self._ring()

    def _write_after_end(self, process: ServiceProcess) -> None:
        if process.child is not None and process.child.wait(WATCH_END_TIMEOUT_S) is None:
            raise StackError(process.report("did not end"))
        self._write_state()

    def _write_state(self) -> None:
        with self._changes:
            if not self._ending.is_set():
                self.state().write(self.layout.state_file)

    def _refresh_tokens(self) -> None:
        """Write fresh tokens when the last ones are old enough; by the time of day, so that a sleep counts."""
        now = self.options.clock.now()
        if self._tokens_written is None or now - self._tokens_written >= timedelta(seconds=TOKEN_REFRESH_S):
            write_tokens(self.layout, self.keys.signing, now)
            self._tokens_written = now

    def _ring(self) -> None:
        """Have the watcher look now: there is something new to watch, or nothing any more."""
        with contextlib.suppress(OSError):
            self._bell_push.send(b"!", socket.MSG_DONTWAIT)

    def _watch(self) -> None:
        """Keep tokens fresh and notice what dies, until the stack ends or fails."""
        while not self._ending.is_set() and not self.failed.is_set():
            try:
                self._refresh_tokens()
                self._look()
                self._look_at_nats()
                self._wait()
            except Exception as error:
                # Whatever it is: a watcher that ends must say so.
                self._fail(f"The stack could not go on: {error}")

    def _wait(self) -> None:
        """Wait until something ends, is to be started again, or the time has come for a look."""
        pids = [server.pid for server in (self.postgres, self.nats) if server.pid is not None]
        pids += [process.child.pid for process in list(self.processes.values()) if process.child and process.alive]
        due = min((death.due for death in self._deaths.values() if death.due is not None), default=None)
        pause_s = WATCH_S if due is None else min(WATCH_S, due - time.monotonic())
        wait_for_end(pids, self._bell.fileno(), pause_s)
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(1_024, socket.MSG_DONTWAIT)

    def _look(self) -> None:
        """Look once at every process; restart what died, or fail."""
        died = set()
        for server, name in ((self.postgres, "postgres"), (self.nats, "nats")):
            if server.died:
                died.add(name)
                self._handle_death(name, partial(self._server_report, name), server.start)
        for process in list(self.processes.values()):
            if process.died:
                died.add(process.name)
                self._handle_death(process.name, partial(process.report, "died"), partial(self._revive, process))
        for name in self._deaths.keys() - died:
            # It was started again, here or by somebody else.
            self._deaths[name].due = None

    def _server_report(self, name: str) -> str:
        return f"{name} died; see {self.layout.log_file(name)}."

    def _handle_death(self, name: str, report: Callable[[], str], revive: Callable[[], None]) -> None:
        """Start what died again when its time has come, later each time that it dies or does not start; or fail."""
        if not self.options.restart:
            self._fail(report())
            return
        now = time.monotonic()
        death = self._deaths.setdefault(name, _Death())
        if death.due is None:
            if now - death.started > RESTART_FORGET_S:
                death.times = 0
            pause_s = death.next_pause_s()
            death.due = now + pause_s
            self.options.say(f"{report()}\nRestarting it in {pause_s:g} s.")
        if now < death.due:
            return
        try:
            revive()
        except (RuntimeError, OSError) as error:
            pause_s = death.next_pause_s()
            death.due = time.monotonic() + pause_s
            self.options.say(f"{name} could not be restarted, trying again in {pause_s:g} s: {error}")
        else:
            death.due, death.started = None, time.monotonic()
            self._write_state()

    def _look_at_nats(self) -> None:
        """Say when the NATS server takes nothing, and restart it when its disk has room again: it does not recover."""
        if not self.nats.alive:
            return
        ailment, before = self.nats.ailment(), self._nats_ailment
        self._nats_ailment = ailment
        if ailment is None:
            if before is not None:
                self.options.say("nats takes messages again.")
            return
        if before is None:
            self.options.say(f"nats takes nothing: {ailment}")
        room = free_mib(self.layout.nats)
        due = time.monotonic() - self._nats_restarted >= NATS_RESTART_S
        if ailment == SILENT or before is None or not due or room < NATS_ROOM_MIB:
            return
        self.options.say(f"Restarting nats: its disk has {room} MiB.")
        self._nats_restarted = time.monotonic()
        with self._changes:
            if self.nats.alive:
                self.nats.restart()
        self._write_state()

    def _revive(self, process: ServiceProcess) -> None:
        """Start a died process again unless somebody did so meanwhile."""
        with self._changes, contextlib.suppress(StackError):
            if process.died:
                self._spawn(process, {})
                process.expect_life()

    def _fail(self, report: str) -> None:
        self.failure = report
        self.options.say(f"\n*** The local stack has failed. ***\n{report}")
        self.failed.set()


def _started(part: Part | None) -> Part:
    """Return a part of the stack that exists once it was started."""
    if part is None:
        raise StackError("The stack was not started.")
    return part
