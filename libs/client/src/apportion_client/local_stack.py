"""How a client finds the local stack: its data folder, the state that it wrote there, and whether it runs.

`state.json` says where the stack listens; it holds no secret. A stack holds a lock on `stack.lock` for its life, so
that whether one is up never has to be guessed from a process number.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from apportion_common.files import write_file

DATA_FOLDER_SETTING = "APPORTION_LOCAL_DIR"
DATA_FOLDER_NAME = ".local"
STATE_FILE_NAME = "state.json"
LOCK_FILE_NAME = "stack.lock"

STARTING = "starting"
READY = "ready"


class StackError(RuntimeError):
    """The local stack could not do what was asked; the message is a full sentence for the user."""


class StackNotUpError(StackError):
    """No local stack is up where one is needed."""


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
        """Return the state in the file; None when there is none that can be read."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def running_supervisor(folder: Path) -> int | None:
    """Return the process id of the supervisor that holds the lock; None when no stack runs."""
    try:
        stream = (folder / LOCK_FILE_NAME).open("r", encoding="ascii")
    except OSError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = stream.read().strip()
            return int(text) if text.isdigit() else 0
        return None


def running_state(folder: Path) -> StackState | None:
    """Return the state of the stack that runs in the folder; None when none runs or it has not said anything yet."""
    pid = running_supervisor(folder)
    state = StackState.read(folder / STATE_FILE_NAME)
    return state if pid and state is not None and state.supervisor_pid == pid else None


def find_data_folder(environment: Mapping[str, str] | None = None, start: Path | None = None) -> Path:
    """Return the data folder: what APPORTION_LOCAL_DIR names, else `.local` in the checkout around the current
    folder.
    """
    named = (os.environ if environment is None else environment).get(DATA_FOLDER_SETTING)
    if named:
        return Path(named).expanduser().resolve()
    here = (Path.cwd() if start is None else start).resolve()
    for folder in (here, *here.parents):
        if (folder / DATA_FOLDER_NAME / "state.json").exists() or (folder / "libs" / "cli" / "pyproject.toml").exists():
            return folder / DATA_FOLDER_NAME
    return here / DATA_FOLDER_NAME
