"""Keeps room for newcomers among a server's connections: no address has more than its share for longer than a moment.

grpc limits the connections of a process and not those of an address, and shows neither. So the process looks through
its own file descriptors for those that the server has accepted, and ends what is too much from below, as if the client
had gone. A connection that never carried a call with a good token goes first.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apportion_common.grpc import limits
from apportion_common.grpc.peers import Connection, connection_of, peer_key
from apportion_common.logs import get_logger
from apportion_common.metrics import counter, gauge

FOLDERS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))
"""Where systems list a process's file descriptors."""
OPEN: Final = gauge("apportion_grpc_connections", "Connections that the server has accepted.")
CLOSED: Final = counter(
    "apportion_grpc_connections_closed", "Connections that were closed to keep room for others, by reason.", ["reason"]
)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Socket:
    """An accepted connection, by the inode that no other file has while it is open."""

    inode: int
    connection: Connection
    peer: str
    """The key of the address."""


class ConnectionGuard:
    """Watches the connections of the server at one port."""

    def __init__(self, connections_max: int, peer_connections_max: int = limits.PEER_CONNECTIONS_MAX) -> None:
        """Keep each address below its share and the whole below CONNECTIONS_FULL_PERCENT of `connections_max`."""
        self._full = connections_max * limits.CONNECTIONS_FULL_PERCENT // 100
        self._peer_max = peer_connections_max
        self._using: Counter[Connection] = Counter()
        self._known: set[Connection] = set()
        self._sockets: dict[int, _Socket | None] = {}
        """By file descriptor, in the order in which they were first seen; None for what is no connection of callers."""
        self._inodes: dict[int, int] = {}

    @contextmanager
    def using(self, peer: str) -> Iterator[None]:
        """Remember that a connection, as grpc names its peer, carries a call with a good token."""
        connection = connection_of(peer)
        if connection is None:
            yield
            return
        self._known.add(connection)
        self._using[connection] += 1
        try:
            yield
        finally:
            self._using[connection] -= 1
            if not self._using[connection]:
                del self._using[connection]

    async def watch(self, port: int) -> None:
        """Look again and again at the connections of the server at that port, until cancelled."""
        folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
        if folder is None:
            log.warning("connections_not_watched", because="The system does not list the process's files.")
            return
        while True:
            self.look(folder, port)
            await asyncio.sleep(limits.CONNECTIONS_LOOK_S)

    def look(self, folder: Path, port: int) -> None:
        """Look once, and close what is too much."""
        found = self._accepted(folder, port)
        OPEN.set(len(found))
        self._known &= {it.connection for _, it in found}
        by_peer: defaultdict[str, list[tuple[int, _Socket]]] = defaultdict(list)
        for fd, it in found:
            by_peer[it.peer].append((fd, it))
        too_many = len(found) - self._full
        closed: Counter[tuple[str, str]] = Counter()
        for peer, sockets in sorted(by_peer.items(), key=lambda item: -len(item[1])):
            share = max(len(sockets) - self._peer_max, 0)
            # Known connections with no call come after those that are not known, and those with one not at all.
            idle = sorted((s for s in sockets if s[1].connection not in self._using), key=self._is_known)
            strangers = sum(not self._is_known(s) for s in idle)
            going = min(max(share, min(too_many, strangers)), len(idle))
            for place, (fd, it) in enumerate(idle[:going]):
                if _shut(fd, it.inode):
                    closed[peer, "share" if place < share else "full"] += 1
            too_many -= going
        for (peer, reason), count in closed.items():
            CLOSED.labels(reason).inc(count)
            log.warning("connections_closed", peer=peer, reason=reason, count=count)

    def _is_known(self, found: tuple[int, _Socket]) -> bool:
        return found[1].connection in self._known

    def _accepted(self, folder: Path, port: int) -> list[tuple[int, _Socket]]:
        """Return the connections that the server has accepted, the oldest first."""
        inodes: dict[int, int] = {}
        for name in os.listdir(folder):
            try:
                status = os.fstat(int(name))
            except OSError:
                continue
            if stat.S_ISSOCK(status.st_mode):
                inodes[int(name)] = status.st_ino
        for fd in [fd for fd, inode in self._inodes.items() if inodes.get(fd) != inode]:
            del self._inodes[fd], self._sockets[fd]
        for fd, inode in inodes.items():
            if fd not in self._inodes:
                self._inodes[fd] = inode
                self._sockets[fd] = _accepted_at(fd, inode, port)
        return [(fd, it) for fd, it in self._sockets.items() if it is not None]


def _accepted_at(fd: int, inode: int, port: int) -> _Socket | None:
    """Return the connection behind a file descriptor, if it was accepted at that port."""
    try:
        duplicate = socket.socket(fileno=os.dup(fd))
    except OSError:
        return None
    with duplicate:
        try:
            if duplicate.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if duplicate.getsockname()[1] != port:
                return None
            host, from_port = duplicate.getpeername()[:2]
        except OSError:
            # It listens, or has ended.
            return None
    family = "ipv6" if ":" in host else "ipv4"
    peer = f"{family}:[{host}]:{from_port}"
    connection = connection_of(peer)
    return None if connection is None else _Socket(inode, connection, peer_key(peer))


def _shut(fd: int, inode: int) -> bool:
    """End a connection as if its client had gone, unless the descriptor is another's by now; grpc closes it."""
    try:
        duplicate = os.dup(fd)
    except OSError:
        return False
    if os.fstat(duplicate).st_ino != inode:
        os.close(duplicate)
        return False
    with socket.socket(fileno=duplicate) as ending:
        try:
            ending.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
    return True


def connections_max() -> int:
    """Return how many connections the process may hold, after asking the system for as many files as that needs."""
    needed = limits.CONNECTIONS_MAX + limits.CONNECTION_FILES_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits.CONNECTIONS_MAX
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        wanted = soft
    found = max(min(wanted - limits.CONNECTION_FILES_RESERVED, limits.CONNECTIONS_MAX), 1)
    if found < limits.CONNECTIONS_MAX:
        log.warning("few_files", connections_max=found, files_max=wanted)
    return found
