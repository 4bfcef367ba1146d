"""Configured OIDC issuers and their keys, fetched over HTTPS and kept for a while."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import jwt
from apportion_common.clock import Clock
from apportion_common.errors import InvalidArgument, Unavailable
from apportion_common.logs import get_logger
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from yarl import URL

from apportion_identity.domain.domain_names import canonical_domain
from apportion_identity.limits import (
    ISSUER_ANSWER_BYTES_MAX,
    ISSUER_ASK_PAUSE_S,
    ISSUER_KEYS_FRESH_S,
    ISSUER_KEYS_MAX,
    ISSUER_KEYS_STALE_S_MAX,
    ISSUER_RSA_BITS_MIN,
    ISSUER_TIMEOUT_S,
    ISSUER_WAITERS_MAX,
    ISSUERS_FILE_BYTES_MAX,
    ISSUERS_MAX,
)

RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVE_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}

IssuerPublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
Fetch = Callable[[str], Awaitable[bytes]]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OidcIssuer:
    """Somebody whose identity tokens are believed: who, where its keys are, and what it calls us (client id).

    It is believed about addresses at `email_domains`, in the spelling of claims; None: about all.
    """

    issuer: str
    jwks_uri: str
    audience: str
    email_domains: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer, and the algorithms (RFC 7518) that it may be used with."""

    public_key: IssuerPublicKey
    algorithms: frozenset[str]


def load_issuers(file: Path | None) -> tuple[OidcIssuer, ...]:
    """Return the issuers of a JSON file: a list of objects with the members of `OidcIssuer`; none without a file.

    Keys are fetched over HTTPS; plain HTTP is for this machine's own addresses alone. Raises OSError, or ValueError,
    which says what is wrong.
    """
    if file is None:
        return ()
    raw = file.read_bytes()
    if len(raw) > ISSUERS_FILE_BYTES_MAX:
        raise ValueError(f"{file} has more than {ISSUERS_FILE_BYTES_MAX} bytes.")
    try:
        entries = json.loads(raw)
        if not isinstance(entries, list):
            raise TypeError
        issuers = tuple(_issuer(entry) for entry in entries)
    except (ValueError, TypeError, AttributeError, InvalidArgument) as error:
        raise ValueError(f"{file} is no JSON list of issuers, each with issuer, jwks_uri and audience.") from error
    if len(issuers) > ISSUERS_MAX or len({issuer.issuer for issuer in issuers}) != len(issuers):
        raise ValueError(f"{file} names an issuer twice, or more than {ISSUERS_MAX}.")
    for issuer in issuers:
        if not _is_safe(issuer.jwks_uri):
            raise ValueError(f"{file}: the keys of {issuer.issuer} must be fetched over https.")
    return issuers


def _issuer(entry: Mapping[str, object]) -> OidcIssuer:
    """Return an entry of the file. Raises ValueError, TypeError, AttributeError or InvalidArgument for what is none."""
    members: dict[str, Any] = {name: _text(value) for name, value in entry.items() if name != "email_domains"}
    if entry.get("email_domains") is not None:
        members["email_domains"] = _domains(entry["email_domains"])
    return OidcIssuer(**members)


def _domains(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    return tuple(canonical_domain(_text(domain)) for domain in value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _is_safe(uri: str) -> bool:
    parts = urlsplit(uri)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class _Known:
    """What is known of one issuer's keys."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: Mapping[str, IssuerKey] = field(default_factory=dict)
    fetched_at: datetime | None = None
    asked_at: datetime | None = None
    waiting: int = 0

    @property
    def answered(self) -> bool:
        """Whether the last fetch succeeded."""
        return self.fetched_at is not None and self.fetched_at == self.asked_at


class IssuerKeys:
    """Issuers by their names, and their keys: fetched when first needed, again after an hour or for an unknown id.

    One fetch of an issuer is under way at a time, and the next one comes ISSUER_ASK_PAUSE_S later at the earliest,
    whatever key ids are asked for; ISSUER_WAITERS_MAX calls wait for its outcome, others are answered at once. While an
    issuer does not answer, its last keys are used for a day.
    """

    def __init__(self, issuers: tuple[OidcIssuer, ...], clock: Clock, fetch: Fetch | None = None) -> None:
        """Know these issuers; `fetch` returns the bytes behind an address, by default over the network."""
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._known = {issuer.issuer: _Known() for issuer in issuers}
        self._clock = clock
        self._fetch = fetch_bytes if fetch is None else fetch

    def find(self, issuer: str) -> OidcIssuer | None:
        """Return the issuer of that very name."""
        return self._issuers.get(issuer)

    async def key(self, issuer: OidcIssuer, kid: str) -> IssuerKey | None:
        """Return a key of an issuer by its id; None when it has none. Unavailable ISSUER_UNAVAILABLE."""
        known = self._known[issuer.issuer]
        if kid not in known.keys or self._is_older(known.fetched_at, ISSUER_KEYS_FRESH_S):
            await self._learn(issuer, known)
        usable = not self._is_older(known.fetched_at, ISSUER_KEYS_STALE_S_MAX)
        found = known.keys.get(kid) if usable else None
        if found is None and not known.answered:
            raise Unavailable(
                "ISSUER_UNAVAILABLE",
                "The issuer's keys cannot be fetched just now; try again.",
                retry_after_s=ISSUER_ASK_PAUSE_S,
            )
        return found

    async def _learn(self, issuer: OidcIssuer, known: _Known) -> None:
        """Fetch the keys, or wait for who does; but not when many wait already: they would hold up all other calls."""
        if known.waiting >= ISSUER_WAITERS_MAX:
            return
        known.waiting += 1
        try:
            async with known.lock:
                if self._is_older(known.asked_at, ISSUER_ASK_PAUSE_S):
                    await self._refresh(issuer, known)
        finally:
            known.waiting -= 1

    async def _refresh(self, issuer: OidcIssuer, known: _Known) -> None:
        known.asked_at = self._clock.now()
        try:
            keys = parse_issuer_keys(await self._fetch(issuer.jwks_uri))
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("issuer_keys_not_fetched", issuer=issuer.issuer, error=type(error).__name__)
            return
        known.keys, known.fetched_at = keys, known.asked_at
        log.info("issuer_keys_fetched", issuer=issuer.issuer, kids=sorted(keys))

    def _is_older(self, at: datetime | None, age_s: int) -> bool:
        return at is None or self._clock.now() - at >= timedelta(seconds=age_s)


def parse_issuer_keys(raw: bytes) -> dict[str, IssuerKey]:
    """Return the public signature keys of a JSON Web Key Set by their ids. Raises ValueError when it is none.

    Keys that we would not believe are passed over: without an id, for encryption, symmetric, too short.
    """
    try:
        entries = json.loads(raw)["keys"]
        if not isinstance(entries, list) or len(entries) > ISSUER_KEYS_MAX:
            raise ValueError
        found = [(entry, _key(entry)) for entry in entries if isinstance(entry, dict)]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("The answer is no JSON Web Key Set.") from error
    return {str(entry["kid"]): key for entry, key in found if key is not None}


def _key(entry: Mapping[str, Any]) -> IssuerKey | None:
    kid, named, readable_as = entry.get("kid"), entry.get("alg"), _readable_as(entry)
    if not isinstance(kid, str) or not kid or not kid.isprintable():
        return None
    if entry.get("use", "sig") != "sig" or readable_as is None:
        return None
    try:
        public_key = jwt.PyJWK(dict(entry), algorithm=readable_as).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithms = frozenset(one for one in _algorithms(public_key) if named in (None, one))
    return IssuerKey(public_key, algorithms) if algorithms else None


def _readable_as(entry: Mapping[str, Any]) -> str | None:
    """Return an algorithm under which the library reads a key; with which ones it may be used comes after."""
    of_curve = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
    return "RS256" if entry.get("kty") == "RSA" else of_curve.get(str(entry.get("crv")))


def _algorithms(public_key: object) -> frozenset[str]:
    """Return what a key may sign with. A private half in a published set is no reason to believe the rest."""
    match public_key:
        case RSAPublicKey() if public_key.key_size >= ISSUER_RSA_BITS_MIN:
            return RSA_ALGORITHMS
        case EllipticCurvePublicKey() if public_key.curve.name in CURVE_ALGORITHMS:
            return frozenset({CURVE_ALGORITHMS[public_key.curve.name]})
        case Ed25519PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()


async def fetch_bytes(uri: str, limit: Callable[[float], asyncio.Timeout] = asyncio.timeout) -> bytes:
    """Return the bytes behind an address, within ISSUER_TIMEOUT_S for all of it and ISSUER_ANSWER_BYTES_MAX.

    No thread waits for them: when its time is over, an answer that comes byte by byte holds nothing. Neither a proxy
    nor a redirect is followed: what is behind another address than the configured one is not the issuer's word. Raises
    OSError or TimeoutError.
    """
    try:
        async with (
            limit(ISSUER_TIMEOUT_S),
            aiohttp.ClientSession(headers=_HEADERS, trust_env=False) as session,
            session.get(URL(uri, encoded=True), allow_redirects=False, ssl=ssl.create_default_context()) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                raise OSError(f"The issuer answers {answer.status}.")
            return await _limited(answer.content)
    except aiohttp.ClientError as error:
        raise OSError(f"The issuer gave no whole answer: {type(error).__name__}.") from error


async def _limited(content: aiohttp.StreamReader) -> bytes:
    raw = bytearray()
    async for piece in content.iter_any():
        raw += piece
        if len(raw) > ISSUER_ANSWER_BYTES_MAX:
            raise OSError("The issuer's answer is too large.")
    return bytes(raw)
