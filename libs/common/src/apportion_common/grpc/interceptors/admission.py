"""Finds each call a place when its headers are here, in a room of its kind of caller: nobody can take all of them.

Who calls is known by then, and nothing of the body is waited for without a place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from apportion_common.caller import OPERATOR, SERVICE, Caller, optional_caller
from apportion_common.errors import ResourceExhausted
from apportion_common.grpc import limits
from apportion_common.grpc.connections import ConnectionGuard
from apportion_common.grpc.interceptors.base import Call, CallInterceptor
from apportion_common.grpc.peers import peer_key
from apportion_common.metrics import counter, gauge

IN_PROGRESS: Final = gauge("apportion_grpc_calls_in_progress", "Calls that hold a place, by room.", ["room"])
REFUSED: Final = counter("apportion_grpc_calls_refused", "Calls that found no place free, by room.", ["room"])


class Room:
    """Places for calls of one kind of caller."""

    def __init__(self, name: str, calls_max: int | None, holder_calls_max: int) -> None:
        """Have `calls_max` places (None: as many as come), of which one holder takes `holder_calls_max` at most."""
        self._name = name
        self._calls_max = calls_max
        self._holder_calls_max = holder_calls_max
        self._taken = 0
        self._by_holder: Counter[str] = Counter()
        self._in_progress, self._refused = IN_PROGRESS.labels(name), REFUSED.labels(name)

    @contextmanager
    def place(self, holder: str) -> Iterator[None]:
        """Hold a place. Raises ResourceExhausted TOO_MANY_CALLS for the holder's share and SERVER_BUSY for the room."""
        if self._by_holder[holder] >= self._holder_calls_max:
            self._refused.inc()
            raise ResourceExhausted(
                "TOO_MANY_CALLS",
                f"This caller has {self._holder_calls_max} calls in progress, as many as one may have at once.",
                retry_after_s=limits.CALLS_RETRY_S,
            )
        if self._calls_max is not None and self._taken >= self._calls_max:
            self._refused.inc()
            raise ResourceExhausted(
                "SERVER_BUSY",
                "The server has as many calls in progress as it takes.",
                retry_after_s=limits.CALLS_RETRY_S,
            )
        self._taken += 1
        self._by_holder[holder] += 1
        self._in_progress.inc()
        try:
            yield
        finally:
            self._taken -= 1
            self._in_progress.dec()
            self._by_holder[holder] -= 1
            if not self._by_holder[holder]:
                del self._by_holder[holder]


class AdmissionInterceptor(CallInterceptor):
    """Stands inside auth: a caller is known, or the RPC asks for no token."""

    def __init__(self, guard: ConnectionGuard) -> None:
        """Tell the guard which connections carry calls with good tokens."""
        self._guard = guard
        self._operators = Room("operators", limits.OPERATOR_CALLS_MAX, limits.OPERATOR_SUBJECT_CALLS_MAX)
        self._services = Room("services", limits.SERVICE_CALLS_MAX, limits.SUBJECT_CALLS_MAX)
        self._callers = Room("callers", limits.CALLER_CALLS_MAX, limits.SUBJECT_CALLS_MAX)
        self._strangers = Room("strangers", limits.STRANGER_CALLS_MAX, limits.STRANGER_PEER_CALLS_MAX)

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Hold a place. Raises ResourceExhausted TOO_MANY_CALLS or SERVER_BUSY."""
        caller, peer = optional_caller(), call.context.peer()
        if caller is None:
            with self._strangers.place(peer_key(peer)):
                yield
        else:
            with self._room_of(caller).place(caller.subject), self._guard.using(peer):
                yield

    def _room_of(self, caller: Caller) -> Room:
        if caller.has_role(OPERATOR):
            return self._operators
        return self._services if caller.has_role(SERVICE) else self._callers


class HealthAdmissionInterceptor(CallInterceptor):
    """For health and reflection, which ask for no token: each connection has places of its own."""

    def __init__(self) -> None:
        self._room = Room("health", None, limits.CONNECTION_HEALTH_CALLS_MAX)

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Hold a place of the call's connection. Raises ResourceExhausted TOO_MANY_CALLS."""
        with self._room.place(call.context.peer()):
            yield
