"""Where a local stack keeps what.

Everything lies below one data folder: by default `.local` in the checkout, or the folder that APPORTION_LOCAL_DIR
names.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from apportion_client.local_stack import LOCK_FILE_NAME, STATE_FILE_NAME, StackError

OPERATOR = "operator"

LOCK_ATTEMPTS = 10
LOCK_RETRY_S = 0.05

_PRIVATE_FOLDER = 0o700


class StackRunningError(StackError):
    """Another stack runs on this data folder."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files below a stack's data folder."""

    root: Path

    @property
    def state_file(self) -> Path:
        """Addresses and process ids of the running stack."""
        return self.root / STATE_FILE_NAME

    @property
    def lock_file(self) -> Path:
        """Locked while a stack runs; holds the process id of its supervisor."""
        return self.root / LOCK_FILE_NAME

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
        """Return the log file of a process."""
        return self.logs / f"{name}.log"

    def token_file(self, holder: str) -> Path:
        """Return the token file of a service, or of the operator."""
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
        """Release the lock; a second call does nothing."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
