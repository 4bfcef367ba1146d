"""Brakes on whoever tries credentials, which do not stand in the way of those who have one.

An address may be that of many: of a host with several programs, or of a gateway that everybody signs in through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from apportion_common.clock import Clock
from apportion_common.errors import Unauthenticated
from apportion_common.rate_limit import RateLimit
from cachetools import FIFOCache

from apportion_identity.limits import (
    CREDENTIAL_FAILURES_PER_PEER_MAX,
    CREDENTIAL_FAILURES_REFILL_PER_S,
    LIMITED_KEYS_MAX,
    SIGN_INS_PER_PEER_MAX,
    SIGN_INS_REFILL_PER_S,
    TOKENS_PER_HOLDER_MAX,
    TOKENS_REFILL_PER_S,
)

RATE_LIMITED: Final = "TOKEN_RATE_LIMITED"


class _Guard:
    """What both share: wrong credentials are counted by address, new tokens by who gets them."""

    def __init__(self, what: str, clock: Clock) -> None:
        self._failures = RateLimit(
            f"wrong {what}", CREDENTIAL_FAILURES_PER_PEER_MAX, CREDENTIAL_FAILURES_REFILL_PER_S, clock, LIMITED_KEYS_MAX
        )
        self._holders = RateLimit("new tokens", TOKENS_PER_HOLDER_MAX, TOKENS_REFILL_PER_S, clock, LIMITED_KEYS_MAX)

    def count(self, holder: str) -> None:
        """Count a token of a holder. ResourceExhausted TOKEN_RATE_LIMITED."""
        self._holders.take(holder, reason=RATE_LIMITED)


class KeyGuard(_Guard):
    """For keys, each of which is looked up in the database."""

    def __init__(self, clock: Clock) -> None:
        """Know no good key yet."""
        super().__init__("service account keys", clock)
        self._good: FIFOCache[bytes, None] = FIFOCache(LIMITED_KEYS_MAX)

    @asynccontextmanager
    async def trying(self, peer: str, digest: bytes) -> AsyncIterator[None]:
        """Look up a key, known by its hash, that came from an address. ResourceExhausted TOKEN_RATE_LIMITED.

        A try is taken before, so that tries side by side count too, and returned when the key is good, or when it was
        not looked up for trouble of our own; who hangs up before the answer has had the try. A key that was good the
        last time needs none: guesses from its address do not stop a program that runs there.
        """
        takes = digest not in self._good
        if takes:
            self._failures.take(peer, reason=RATE_LIMITED)
        try:
            yield
        except Unauthenticated:
            self._good.pop(digest, None)
            raise
        except asyncio.CancelledError:
            raise
        except Exception:
            if takes:
                self._failures.give_back(peer)
            raise
        if takes:
            self._failures.give_back(peer)
            self._good[digest] = None


class IdTokenGuard(_Guard):
    """For identity tokens, each of which is checked by its signature."""

    def __init__(self, clock: Clock) -> None:
        """Count from now on."""
        super().__init__("identity tokens", clock)
        self._tries = RateLimit("sign-ins", SIGN_INS_PER_PEER_MAX, SIGN_INS_REFILL_PER_S, clock, LIMITED_KEYS_MAX)

    @asynccontextmanager
    async def trying(self, peer: str) -> AsyncIterator[None]:
        """Check an identity token that came from an address. ResourceExhausted TOKEN_RATE_LIMITED.

        A signature is not found by guessing. So a good token passes though many bad ones came from there, up to what a
        gateway may send in all: who forges does not keep those who share the address from signing in.
        """
        self._tries.take(peer, reason=RATE_LIMITED)
        try:
            yield
        except Unauthenticated:
            self._failures.take(peer, reason=RATE_LIMITED)
            raise
