"""Where a local stack keeps what, and how a client finds it.

Everything lies below one data folder: by default `.local` in the checkout, or the folder that APPORTION_LOCAL_DIR
names. `state.json` says where the stack listens; it holds no secret. A stack holds a lock on `stack.lock` for its
life, so that whether one is up never has to be guessed from a process number.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from apportion_dev.local.keys import write_file

SERVICES = ("identity", "pricing", "metering", "ledger", "orgs")
OPERATOR = "operator"

DATA_FOLDER_SETTING = "APPORTION_LOCAL_DIR"
TOKEN_FILE_SETTING = "APPORTION_TOKEN_FILE"  # noqa: S105 - the name of a setting
CA_FILE_SETTING = "TLS_CA_FILE"
DATA_FOLDER_NAME = ".local"

STARTING = "starting"
READY = "ready"

LOCK_ATTEMPTS = 10
LOCK_RETRY_S = 0.05

_PRIVATE_FOLDER = 0o700


class StackError(RuntimeError):
    """The local stack could not do what was asked; the message is a full sentence for the user."""


class StackRunningError(StackError):
    """Another stack runs on this data folder."""


class StackNotUpError(StackError):
    """No local stack is up where one is needed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files below a stack's data folder."""

    root: Path

    @property
    def state_file(self) -> Path:
        """Addresses and process ids of the running stack."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """Locked while a stack runs; holds the process id of its supervisor."""
        return self.root / "stack.lock"

    @property
    def passwords_file(self) -> Path:
        """Passwords of database roles and NATS users."""
        return self.secrets / "passwords.json"

    @property
    def signing_key_file(self) -> Path:
        """The key that signs tokens."""
        return self.secrets / "token-signing.key"

    @property
    def key_encryption_key_file(self) -> Path:
        """The key that seals identity's signing keys in its database."""
        return self.secrets / "key-encryption.key"

    @property
    def oidc_issuers_file(self) -> Path:
        """The OIDC issuers whose identity tokens identity exchanges; none until somebody writes some into it."""
        return self.root / "oidc-issuers.json"

    @property
    def proof_key_file(self) -> Path:
        """The key that claims' proofs are kept under."""
        return self.secrets / "proof.key"

    @property
    def secrets(self) -> Path:
        """Private folder of keys and passwords."""
        return self.root / "secrets"

    @property
    def tls(self) -> Path:
        """Private folder of the authority, certificates and their keys."""
        return self.root / "tls"

    @property
    def tokens(self) -> Path:
        """Private folder of short-lived tokens."""
        return self.root / "tokens"

    @property
    def jwks_file(self) -> Path:
        """The public keys that verify tokens."""
        return self.root / "jwks.json"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's folder."""
        return self.root / "postgres"

    @property
    def nats(self) -> Path:
        """The NATS server's folder."""
        return self.root / "nats"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def traces(self) -> Path:
        """One file of spans per process."""
        return self.root / "traces"

    def log_file(self, name: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{name}.log"

    def token_file(self, holder: str) -> Path:
        """The token file of a service, or of the operator."""
        return self.tokens / f"{holder}.jwt"

    def make(self) -> None:
        """Make the folders that are missing.

        As root the data folder itself can be entered by everybody, since PostgreSQL runs as another account below
        it; what must stay private lies in private folders.
        """
        if not self.root.exists():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else _PRIVATE_FOLDER)
        for folder in (self.secrets, self.tls, self.tokens, self.logs, self.traces):
            folder.mkdir(exist_ok=True, mode=_PRIVATE_FOLDER)


@dataclass(slots=True)
class StackState:
    """What `state.json` says about a stack."""

    phase: str
    supervisor_pid: int
    addresses: dict[str, str] = field(default_factory=dict)
    metrics_addresses: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    postgres_address: str = ""
    nats_url: str = ""
    nats_monitor_url: str = ""
    smtp_address: str = ""
    ca_file: str = ""
    jwks_file: str = ""
    token_file: str = ""

    def write(self, file: Path) -> None:
        """Write the state, whole or not at all."""
        write_file(file, (json.dumps(asdict(self), indent=2) + "\n").encode("utf-8"), 0o644)

    @classmethod
    def read(cls, file: Path) -> StackState | None:
        """The state in the file; None when there is none that can be read."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


class StackLock:
    """The lock that a supervisor holds for its life; the system frees it however the supervisor ends."""

    def __init__(self, layout: Layout) -> None:
        """Plan to lock the stack of that layout."""
        self._layout = layout
        self._stream: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock; raises StackRunningError when another process has it."""
        stream = self._layout.lock_file.open("a+", encoding="ascii")
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # It may only be somebody who looks whether a stack runs, which takes an instant.
                time.sleep(LOCK_RETRY_S)
        else:
            stream.close()
            raise StackRunningError(f"Another stack runs on {self._layout.root}; end it or name another folder.")
        # A state left by a killed stack must not pass for ours.
        self._layout.state_file.unlink(missing_ok=True)
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        self._stream = stream

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def running_supervisor(layout: Layout) -> int | None:
    """The process id of the supervisor that holds the lock; None when no stack runs."""
    try:
        stream = layout.lock_file.open("r", encoding="ascii")
    except OSError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = stream.read().strip()
            return int(text) if text.isdigit() else 0
        return None


def running_state(layout: Layout) -> StackState | None:
    """The state of the stack that runs on the layout; None when none runs or it has not said anything yet."""
    pid = running_supervisor(layout)
    state = StackState.read(layout.state_file)
    return state if pid and state is not None and state.supervisor_pid == pid else None


def find_data_folder(environment: Mapping[str, str] | None = None, start: Path | None = None) -> Path:
    """The data folder: what APPORTION_LOCAL_DIR names, else `.local` in the checkout around the current folder."""
    named = (os.environ if environment is None else environment).get(DATA_FOLDER_SETTING)
    if named:
        return Path(named).expanduser().resolve()
    here = (Path.cwd() if start is None else start).resolve()
    for folder in (here, *here.parents):
        if (folder / DATA_FOLDER_NAME / "state.json").exists() or (folder / "libs" / "cli" / "pyproject.toml").exists():
            return folder / DATA_FOLDER_NAME
    return here / DATA_FOLDER_NAME


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client needs to call the services."""

    addresses: Mapping[str, str]
    ca_file: Path
    token_file: Path


def client_settings(environment: Mapping[str, str] | None = None, start: Path | None = None) -> ClientSettings:
    """Where the services are, whom to trust and which token to show.

    Explicit settings (IDENTITY_ADDRESS and its four sisters, TLS_CA_FILE, APPORTION_TOKEN_FILE) win; what they leave
    open comes from the local stack. Raises StackNotUpError when something is open and no stack is up.
    """
    given = os.environ if environment is None else environment
    addresses = {service: given.get(address_setting(service), "") for service in SERVICES}
    ca_file, token_file = given.get(CA_FILE_SETTING, ""), given.get(TOKEN_FILE_SETTING, "")
    if not (all(addresses.values()) and ca_file and token_file):
        layout = Layout(find_data_folder(given, start))
        state = running_state(layout)
        if state is None or state.phase != READY:
            raise StackNotUpError(
                f"No local stack is up in {layout.root}: start one with 'apportion stack up', or set the addresses "
                f"of the services, {CA_FILE_SETTING} and {TOKEN_FILE_SETTING}."
            )
        addresses = {service: address or state.addresses[service] for service, address in addresses.items()}
        ca_file, token_file = ca_file or state.ca_file, token_file or state.token_file
    return ClientSettings(addresses, Path(ca_file), Path(token_file))


def address_setting(service: str) -> str:
    """The name of the environment variable that holds a service's address."""
    return f"{service.upper()}_ADDRESS"


def client_environment(layout: Layout, state: StackState) -> dict[str, str]:
    """The environment variables by which a command finds this stack."""
    return {
        DATA_FOLDER_SETTING: str(layout.root),
        CA_FILE_SETTING: state.ca_file,
        TOKEN_FILE_SETTING: state.token_file,
        **{address_setting(service): address for service, address in state.addresses.items() if service in SERVICES},
    }
