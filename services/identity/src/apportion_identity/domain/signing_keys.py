"""The life of a signing key: published → signs → verifies only → gone.

    created            signs_from                 successor signs        verifies_until
       |--- published ----|--------- signs ------------|--- verifies only ---|

At every instant exactly one key signs: the one that began last. A key is published for some time before it begins, so
that every verifier knows it by then, and verifies after its successor has begun until the last token it signed is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apportion_common.errors import FailedPrecondition


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """When a key does what; `verifies_until` is None while it has no successor."""

    kid: str
    created_at: datetime
    signs_from: datetime
    verifies_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs tokens: its times, its public half, and its private one sealed."""

    times: KeyTimes
    public_jwk: Mapping[str, str]
    sealed_private_key: bytes


def signing_at(keys: Sequence[KeyTimes], now: datetime) -> KeyTimes | None:
    """Return the key that signs: of those that have begun the one that began last; None when there is none.

    Where none has begun yet, our clock is behind the one that made the first key, and it is that one's turn.
    """
    live = published_at(keys, now)
    begun = [key for key in live if key.signs_from <= now]
    if begun:
        return begun[-1]
    return live[0] if live else None


def published_at(keys: Sequence[KeyTimes], now: datetime) -> list[KeyTimes]:
    """Return the keys to verify with, the oldest first: those that sign, will, or signed tokens that may still live."""
    return sorted((key for key in keys if not is_over(key, now)), key=lambda key: (key.signs_from, key.kid))


def is_over(key: KeyTimes, now: datetime) -> bool:
    """Return whether no token of the key can still be good."""
    return key.verifies_until is not None and key.verifies_until <= now


def is_due(keys: Sequence[KeyTimes], now: datetime, age: timedelta) -> bool:
    """Return whether the newest key has signed for `age`, so that it is time for a successor."""
    newest = max((key.signs_from for key in keys), default=None)
    return newest is not None and newest + age <= now


@dataclass(frozen=True, slots=True)
class Succession:
    """When the next key begins, and until when the ones before it verify, by their ids."""

    signs_from: datetime
    verify_until: dict[str, datetime]


def succeed(keys: Sequence[KeyTimes], now: datetime, *, lead: timedelta, token_life: timedelta) -> Succession:
    """Return when a key made now begins, and when those that have no successor yet may go.

    It begins after `lead`, or at once when it is the first; the others verify for `token_life` longer.
    FailedPrecondition ROTATION_IN_PROGRESS while another one has not begun.
    """
    if any(key.signs_from > now for key in keys):
        raise FailedPrecondition("ROTATION_IN_PROGRESS", "A new signing key is published already and about to sign.")
    signs_from = now + lead if keys else now
    until = signs_from + token_life
    return Succession(signs_from, {key.kid: until for key in keys if key.verifies_until is None})
