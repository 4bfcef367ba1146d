"""Tokens: JSON Web Tokens signed with Ed25519, verified locally.

Keys come from a JWKS file, which is read again when it changes (while it cannot be read, the last keys stay in force),
and from sources that are published over the network, such as identity's. A key id of the file is the file's alone:
nobody on the network can put another key under it. A verified token is remembered until it expires or the keys change.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import jwt
from cachetools import TLRUCache
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apportion_common.caller import Caller
from apportion_common.clock import Clock
from apportion_common.errors import ApportionError, Unauthenticated, Unavailable
from apportion_common.grpc import limits
from apportion_common.grpc.jwks import ALGORITHM, is_key_id, load_jwks
from apportion_common.grpc.key_source import KeySource
from apportion_common.ids import parse_uuid
from apportion_common.logs import get_logger

REQUIRED_CLAIMS: Final = ("exp", "iat", "sub", "iss", "aud")

log = get_logger(__name__)

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a valid token says. Times are in seconds since 1970."""

    subject: str
    roles: frozenset[str]
    org_id: UUID | None
    amr: tuple[str, ...]
    expires_at_s: int

    def caller(self, request_id: str) -> Caller:
        """Return the caller of one call with this token."""
        return Caller(self.subject, self.roles, self.org_id, self.amr, request_id)


def token_missing() -> Unauthenticated:
    """Return the rejection of a call without a token."""
    return Unauthenticated("TOKEN_MISSING", "This call needs a bearer token.")


def _token_invalid() -> Unauthenticated:
    return Unauthenticated("TOKEN_INVALID", "The token is not valid here.")


def _token_expired() -> Unauthenticated:
    return Unauthenticated("TOKEN_EXPIRED", "The token has expired.")


class _KeyUnknownError(Unauthenticated):
    """The token names a key that nobody knows: like any other invalid token, unless a source can still tell more."""

    def __init__(self, kid: str) -> None:
        super().__init__("TOKEN_INVALID", "The token is not valid here.")
        self.kid = kid


class TokenVerifier:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, jwks_file: Path, issuer: str, audience: str, clock: Clock) -> None:
        """Load the keys. Raises ValueError or OSError when there is no usable key set."""
        self._file = jwks_file
        self._issuer = issuer
        self._audience = audience
        self.clock = clock
        self._stamp = _stamp(jwks_file)
        self._keys = load_jwks(jwks_file)
        self._sources: list[KeySource] = []
        self._revisions: tuple[int, ...] = ()
        self._verified: TLRUCache[bytes, VerifiedToken, int] = TLRUCache(
            limits.CACHED_TOKENS_MAX, ttu=lambda _key, token, _now_s: _ends_at_s(token.expires_at_s), timer=self._now_s
        )

    def trust(self, source: KeySource) -> None:
        """Believe the keys of a source too, where the file and earlier sources do not know a key id."""
        self._sources.append(source)

    async def verify_asking(self, token: str, *, may_ask: bool = True) -> VerifiedToken:
        """Return what the token says; where its key is not known, the sources are asked for it first, if they may be.

        Raises as `verify` does, and Unavailable TOKEN_KEYS_UNAVAILABLE when the key is not known and a source that
        might know it does not answer: nobody can say then whether the token is good.
        """
        try:
            return self.verify(token)
        except _KeyUnknownError as unknown:
            if not may_ask or not self._sources:
                raise
            for source in self._sources:
                await source.learn(unknown.kid)
        try:
            return self.verify(token)
        except _KeyUnknownError:
            if all(source.is_current for source in self._sources):
                raise
        raise Unavailable("TOKEN_KEYS_UNAVAILABLE", "The keys that this token is verified with cannot be had just now.")

    def verify(self, token: str) -> VerifiedToken:
        """Return what the token says. Raises Unauthenticated TOKEN_EXPIRED, or TOKEN_INVALID for any other fault."""
        if len(token) > limits.TOKEN_CHARS_MAX:
            raise _token_invalid()
        self._reload_when_changed()
        self._forget_when_sources_changed()
        key = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(key)
        if known is None:
            known = self._verified[key] = self._check(token, self._now_s())
        return known

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000

    def _check(self, token: str, now_s: int) -> VerifiedToken:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            if not is_key_id(kid):
                raise _token_invalid()
            public_key = self._key(kid)
            if public_key is None:
                raise _KeyUnknownError(kid)
            # Times are checked below, against our own clock.
            claims = jwt.decode(
                token,
                public_key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": list(REQUIRED_CLAIMS),
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _token_invalid() from None
        expires_at_s = _seconds(claims["exp"])
        if now_s >= _ends_at_s(expires_at_s):
            raise _token_expired()
        if max(_seconds(claims["iat"]), _seconds(claims.get("nbf", 0))) > now_s + limits.TOKEN_LEEWAY_S:
            raise _token_invalid()
        return _read_claims(claims, expires_at_s)

    def _key(self, kid: str) -> Ed25519PublicKey | None:
        for keys in (self._keys, *(source.keys for source in self._sources)):
            if kid in keys:
                return keys[kid]
        return None

    def _forget_when_sources_changed(self) -> None:
        revisions = tuple(source.revision for source in self._sources)
        if revisions != self._revisions:
            self._revisions = revisions
            self._verified.clear()

    def _reload_when_changed(self) -> None:
        try:
            stamp = _stamp(self._file)
            if stamp == self._stamp:
                return
            keys = load_jwks(self._file)
        except (OSError, ValueError) as error:
            if self._stamp != _UNREADABLE:
                log.error("jwks_unreadable", file=str(self._file), error=str(error))
            self._stamp = _UNREADABLE
            return
        self._stamp, self._keys = stamp, keys
        self._verified.clear()
        log.info("jwks_loaded", kids=sorted(keys))


_UNREADABLE: Final[_Stamp] = (0, 0, 0)


def _stamp(file: Path) -> _Stamp:
    """Return what changes whenever the file is written again."""
    found = os.stat(file)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _ends_at_s(expires_at_s: int) -> int:
    """Return the second from which on a token is good no longer."""
    return expires_at_s + limits.TOKEN_LEEWAY_S


def _seconds(value: object) -> int:
    """Return a NumericDate in whole seconds."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 53:
        raise _token_invalid()
    return value


def _read_claims(claims: Mapping[str, Any], expires_at_s: int) -> VerifiedToken:
    subject = claims["sub"]
    roles = claims.get("roles", [])
    amr = claims.get("amr", [])
    org_id = claims.get("org_id")
    if not isinstance(subject, str) or not 0 < len(subject) <= limits.SUBJECT_CHARS_MAX or not subject.isprintable():
        raise _token_invalid()
    for names in (roles, amr):
        if not isinstance(names, list) or len(names) > limits.ROLES_MAX or not all(isinstance(n, str) for n in names):
            raise _token_invalid()
    try:
        org = None if org_id is None else parse_uuid(org_id)
    except (ApportionError, TypeError):
        raise _token_invalid() from None
    return VerifiedToken(subject, frozenset(role.lower() for role in roles), org, tuple(amr), expires_at_s)
