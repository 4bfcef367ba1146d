"""A pooler in transaction mode, as small as can be: a transaction goes to the server session that was used last."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress

import psycopg

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
SETTINGS = {
    "server_version": "15.0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "integer_datetimes": "on",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
}


class TransactionPooler:
    """Listens on a port of its own until it is closed; every client is let in."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._idle: list[socket.socket] = []
        self._logins: list[psycopg.Connection[tuple[object, ...]]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.close()
        for login in self._logins:
            login.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError):
            while struct.unpack("!I", _startup(client)[:4])[0] in (SSL_REQUEST, GSS_REQUEST):
                client.sendall(b"N")
            client.sendall(_message(b"R", struct.pack("!I", 0)))
            for name, value in SETTINGS.items():
                client.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
            client.sendall(_message(b"K", struct.pack("!II", 1, 1)) + _message(b"Z", b"I"))
            while True:
                self._transaction(client)

    def _transaction(self, client: socket.socket) -> None:
        """Carry a transaction of a client to a server session, and give the session back."""
        kind, body = _read(client)
        if kind == b"X":
            raise EOFError
        server = self._take()
        status = b""
        while status != b"I":
            if status:
                kind, body = _read(client)
            server.sendall(_message(kind, body))
            while kind not in (b"Q", b"S"):
                kind, body = _read(client)
                server.sendall(_message(kind, body))
            answer = b""
            while answer != b"Z":
                answer, body = _read(server)
                client.sendall(_message(answer, body))
            status = body
        with self._lock:
            self._idle.append(server)

    def _take(self) -> socket.socket:
        """The server session that was used last, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            login = psycopg.connect(self._server_url)
            self._logins.append(login)
        server = socket.socket(fileno=os.dup(login.fileno()))
        server.setblocking(True)
        return server


def _startup(client: socket.socket) -> bytes:
    return _exactly(client, struct.unpack("!I", _exactly(client, 4))[0] - 4)


def _read(peer: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(peer, 1)
    return kind, _exactly(peer, struct.unpack("!I", _exactly(peer, 4))[0] - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
