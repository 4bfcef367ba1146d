"""An HTTP/2 client that does what no honest one does: headers without a body, more streams than it may, and silence."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _text(text: str) -> bytes:
    """A string of a header block without Huffman code (RFC 7541, 5.2)."""
    raw = text.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    rest, length = len(raw) - 127, b"\x7f"
    while rest >= 128:
        length += bytes((rest % 128 + 128,))
        rest //= 128
    return length + bytes((rest,)) + raw


def header_block(method: str, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
    """The headers of a call, each a literal that is never indexed."""
    fixed = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in (*fixed, *metadata))


class RawConnection:
    """One connection, which answers settings and pings and counts what else comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._next_stream = 1
        self.opened: list[int] = []
        self.ended: set[int] = set()
        """Streams that the server has ended, by trailers or a reset."""
        self.frames: Counter[int] = Counter()
        self.closed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, ca_file: str, source: str = "127.0.0.1", *, settings: bool = True) -> Self:
        """Connect from one of the loopback's addresses, shake hands, and say what HTTP/2 begins with."""
        tls = ssl.create_default_context(cafile=ca_file)
        tls.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost", local_addr=(source, 0)
        )
        made = cls(reader, writer)
        if settings:
            await made.send(PREFACE + frame(SETTINGS, 0, 0))
        return made

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            self.closed.set()

    async def begin(self, method: str, metadata: Sequence[tuple[str, str]] = (), times: int = 1) -> None:
        """Send the headers of calls and nothing else of them."""
        block = header_block(method, metadata)
        sent = b""
        for _ in range(times):
            sent += frame(HEADERS, END_HEADERS, self._next_stream, block)
            self.opened.append(self._next_stream)
            self._next_stream += 2
        await self.send(sent)

    @property
    def hanging(self) -> int:
        """Streams that the server has not ended."""
        return 0 if self.closed.is_set() else len(self.opened) - len(self.ended)

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                self.frames[kind] += 1
                if kind == SETTINGS and not flags & ACK:
                    self._writer.write(frame(SETTINGS, ACK, 0))
                elif kind == PING and not flags & ACK:
                    self._writer.write(frame(PING, ACK, 0, payload))
                elif kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
                    self.ended.add(stream)
        except (OSError, asyncio.IncompleteReadError):
            self.closed.set()

    async def close(self) -> None:
        """Go without a word."""
        self._reading.cancel()
        self._writer.transport.abort()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
