"""Loopback ports that two stacks on one machine never share.

Two traps decide the shape of this module. A port taken from the kernel's ephemeral range and released again
may be taken by any outgoing connection, and a client that keeps dialling a dead port in that range can end up
connected to itself, so that the server can never come back on it: ports are therefore chosen below that range.
And a port that is free now may be chosen by a second stack before our server binds it: a reservation therefore
stays bound (without listening) for as long as it is wanted, which keeps out everybody who does not ask for
address reuse, while our own server, which does, binds and listens beside it.
"""

from __future__ import annotations

import random
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"

FIRST_PORT = 15_000
LAST_PORT_BELOW_EPHEMERAL = 32_700
ATTEMPTS_MAX = 500

_EPHEMERAL_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class NoFreePortError(RuntimeError):
    """No loopback port could be reserved."""


class PortReservation:
    """One loopback port that stays ours until `close`, also while the server behind it is down."""

    def __init__(self, port: int, holder: socket.socket | None) -> None:
        """Keep the port with the bound socket that holds it (None where the system cannot share a bound port)."""
        self.port = port
        self._holder = holder

    @property
    def address(self) -> str:
        """The reserved place as host:port."""
        return f"{LOOPBACK}:{self.port}"

    def close(self) -> None:
        """Free the port; a second call does nothing."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def __enter__(self) -> Self:
        """Return the reservation itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the port."""
        self.close()


def _last_port() -> int:
    """Return the last port below the kernel's ephemeral range."""
    try:
        ephemeral_first = int(_EPHEMERAL_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return LAST_PORT_BELOW_EPHEMERAL
    return ephemeral_first - 1 if ephemeral_first - 1 > FIRST_PORT + ATTEMPTS_MAX else LAST_PORT_BELOW_EPHEMERAL


def reserve_port() -> PortReservation:
    """Reserve a free loopback port; raise NoFreePortError when none of many tries was free."""
    chooser = random.SystemRandom()
    last = _last_port()
    for _ in range(ATTEMPTS_MAX):
        port = chooser.randint(FIRST_PORT, last)
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # Bound without address reuse: this fails beside any other holder, listening or not.
            holder.bind((LOOPBACK, port))
        except OSError:
            holder.close()
            continue
        if sys.platform != "linux":
            # Other systems refuse a second bind beside the holder: release, and let the server retry elsewhere.
            holder.close()
            return PortReservation(port, None)
        # Switched on after the bind: now a server that asks for reuse may bind beside us, as we never listen.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return PortReservation(port, holder)
    raise NoFreePortError(f"None of {ATTEMPTS_MAX} loopback ports between {FIRST_PORT} and {last} was free.")
