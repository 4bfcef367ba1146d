"""Service accounts: programs that may ask for tokens, each with a key of which only the hash is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

KEY_PREFIX: Final = "apk_"
"""Says what a key is that lies where it should not; logs are searched for it."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account, without its key."""

    account_id: UUID
    name: str
    roles: tuple[str, ...]
    created_by: str
    created_at: datetime
    revoked_at: datetime | None = None


def key_hash(key: str) -> bytes:
    """Return what is kept of a key. It has 256 random bits, so nothing slower than SHA-256 is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
