"""An issuer's keys over the network: whatever it sends, and however slowly, we go on without it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from apportion_common.clock import SystemClock
from apportion_common.errors import Unavailable
from apportion_dev.local.keys import LocalCa
from apportion_dev.testing.clocks import FixedClock
from apportion_identity.adapters.issuer_keys import IssuerKeys, OidcIssuer, fetch_bytes, parse_issuer_keys
from apportion_identity.limits import ISSUER_ANSWER_BYTES_MAX, ISSUER_KEYS_FRESH_S, ISSUER_TIMEOUT_S, ISSUER_WAITERS_MAX
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

PATIENCE_S = 60
DRIPS = 10
OK = b"HTTP/1.1 200 OK\r\n"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

RSA: Any = jwt.algorithms.RSAAlgorithm
EC: Any = jwt.algorithms.ECAlgorithm
OKP: Any = jwt.algorithms.OKPAlgorithm
KEYS: list[dict[str, Any]] = [
    json.loads(kind.to_jwk(private.public_key()))
    for kind, private in (
        (RSA, rsa.generate_private_key(65537, 2048)),
        (EC, ec.generate_private_key(ec.SECP256R1())),
        (OKP, ed25519.Ed25519PrivateKey.generate()),
    )
]
KINDS = {"RSA": {"RS", "PS"}, "EC": {"ES"}, "OKP": {"Ed"}}
NAMES = ("RS256", "ES256", "HS256", "none", "EdDSA", "sig", "enc", "oct", "RSA", "EC", "OKP", "P-256", "Ed25519")
WORDS = st.sampled_from([*NAMES, "secp256k1", "X25519", "AQAB", "AA", "A", "", "é", "\ud800", "====", "A" * 400])
VALUES: st.SearchStrategy[object] = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(-1, 9), st.lists(WORDS, max_size=2), st.just({})
)
MEMBERS = st.sampled_from(["kty", "kid", "alg", "use", "n", "e", "crv", "x", "y", "d", "k"])


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An address at which every request gets that answer."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/keys"


def saying(raw: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\r\n\r\n",
        b'{"keys": []}',
        OK,
        OK + b"Content-Length: 1000\r\n\r\n{}",
        OK + b"Content-Length: many\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}",
        OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n{}",
        OK + b"X: a\r\n" * 200 + b"\r\n{}",
        OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
        OK + b"\r\n" + b" " * ISSUER_ANSWER_BYTES_MAX,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
    ],
    ids=range(15),
)
async def test_an_issuer_that_answers_what_is_no_key_set_is_unavailable(raw: bytes) -> None:
    async with serving(saying(raw)) as address:
        issuer = OidcIssuer("https://accounts.test", address, "us")
        known = IssuerKeys((issuer,), FixedClock(SystemClock().now()))
        with pytest.raises(Unavailable) as rejection:
            await known.key(issuer, "key-1")
    assert rejection.value.reason == "ISSUER_UNAVAILABLE"


async def test_an_answer_in_chunks_is_put_together() -> None:
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{} \r\n2\r\n[]\r\n0\r\n\r\n"
    async with serving(saying(chunked)) as address:
        assert await fetch_bytes(address) == b"{} []"


async def test_an_issuer_is_asked_for_the_very_address_that_is_configured() -> None:
    asked: list[bytes] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n" + asked[-1])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await answer(reader, writer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await fetch_bytes(f"http://{place}/a/keys?v=1#part")
        await fetch_bytes(f"http://{place}")
    lines = [head.decode().split("\r\n") for head in asked]
    assert [head[0] for head in lines] == ["GET /a/keys?v=1 HTTP/1.1", "GET / HTTP/1.1"]
    assert all(f"Host: {place}" in head for head in lines)


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 O", OK, OK + b"Content-Length: 9000\r\n\r\n"], ids=["line", "head", "body"]
)
async def test_an_issuer_that_answers_byte_by_byte_is_hung_up_on(begun: bytes) -> None:
    hung_up, limits = asyncio.Event(), []

    def limit(seconds: float) -> asyncio.Timeout:
        assert seconds == ISSUER_TIMEOUT_S
        limits.append(asyncio.timeout(None))
        return limits[-1]

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        gone = asyncio.create_task(reader.read())
        for _ in range(DRIPS):
            writer.write(b"H")
            await asyncio.wait({gone}, timeout=0.01)
        assert not gone.done()
        # The time is over while bytes still come.
        limits[0].reschedule(asyncio.get_running_loop().time())
        while not gone.done():
            writer.write(b"H")
            await asyncio.wait({gone}, timeout=0.01)
        await asyncio.wait({gone})
        gone.exception()
        hung_up.set()

    async with serving(drip) as address:
        with pytest.raises(TimeoutError):
            await fetch_bytes(address, limit)
        async with asyncio.timeout(PATIENCE_S):
            await hung_up.wait()


async def test_a_slow_issuer_keeps_few_calls_waiting_and_answers_the_others_with_what_is_known() -> None:
    clock, answering = FixedClock(SystemClock().now()), asyncio.Event()

    async def fetch(_: str) -> bytes:
        await answering.wait()
        return json.dumps({"keys": [KEYS[0] | {"kid": "known"}]}).encode()

    issuer = OidcIssuer("https://accounts.test", "https://accounts.test/keys", "us")
    known = IssuerKeys((issuer,), clock, fetch)
    answering.set()
    good = await known.key(issuer, "known")
    answering.clear()
    clock.advance(timedelta(seconds=ISSUER_KEYS_FRESH_S))
    calls = {asyncio.create_task(known.key(issuer, f"guess-{n}")) for n in range(ISSUER_WAITERS_MAX + 30)}
    for _ in range(30):
        done, _ = await asyncio.wait(calls, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert done, "those that are too many are answered before the issuer is"
        calls -= {done.pop()}
    async with asyncio.timeout(PATIENCE_S):
        assert good is not None
        assert await known.key(issuer, "known") is good
    answering.set()
    assert await asyncio.gather(*calls) == [None] * ISSUER_WAITERS_MAX


async def test_keys_are_taken_from_whom_a_trusted_certificate_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SystemClock().now()
    trusted, other = (LocalCa.create_or_load(tmp_path / name, now) for name in ("trusted", "other"))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.certificate_file))
    for authority, name, good in (
        (trusted, "127.0.0.1", True),
        (trusted, "elsewhere.test", False),
        (other, "127.0.0.1", False),
    ):
        made = authority.issue_server_certificate([name], now, name)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(made.certificate_file, made.key_file)
        async with serving(saying(OK + b"\r\nkeys"), tls) as address:
            if good:
                assert await fetch_bytes(address) == b"keys"
            else:
                with pytest.raises(OSError, match="ClientConnectorCertificateError"):
                    await fetch_bytes(address)


@given(st.sampled_from(KEYS), st.dictionaries(MEMBERS, VALUES, max_size=3))
def test_one_odd_key_does_not_spoil_a_set_and_no_key_is_believed_for_more_than_its_kind(
    good: dict[str, Any], changes: dict[str, Any]
) -> None:
    odd = good | {"kid": "odd"} | changes
    found = parse_issuer_keys(json.dumps({"keys": [odd, good | {"kid": "good"}]}).encode())
    assert "good" in found
    for key in found.values():
        assert {algorithm[:2] for algorithm in key.algorithms} <= KINDS[good["kty"]]
