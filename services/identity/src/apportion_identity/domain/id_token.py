"""What an OIDC identity token must say to be believed (OpenID Connect Core 1.0, section 3.1.3.7).

The header is looked at before the signature, the claims after it. Every fault of the form is ID_TOKEN_INVALID with one
message: who sends forged tokens learns nothing from the answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from apportion_common.errors import Unauthenticated

from apportion_identity.limits import (
    ID_TOKEN_AMR_CHARS_MAX,
    ID_TOKEN_AMR_ITEMS_MAX,
    ID_TOKEN_KID_CHARS_MAX,
    ID_TOKEN_SUBJECT_CHARS_MAX,
    ID_TOKEN_TIME_S_MAX,
)

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Signatures of public keys. `none` and the HS family are not among them: with those anybody signs who knows the public
key (RFC 8725, section 3.1)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token is compared with. Times are in seconds."""

    issuer: str
    audience: str
    nonce: str
    now_s: int
    leeway_s: int
    age_s_max: int


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, and how."""

    issuer: str
    subject: str
    email: str
    amr: tuple[str, ...]


def id_token_invalid() -> Unauthenticated:
    """Return the rejection of a token that cannot be believed; nothing says why."""
    return Unauthenticated("ID_TOKEN_INVALID", "The identity token is not valid here.")


def email_not_verified() -> Unauthenticated:
    """Return the rejection: nobody whose word counts says that the address is the user's."""
    return Unauthenticated("EMAIL_NOT_VERIFIED", "The issuer does not vouch for the e-mail address.")


def check_header(header: Mapping[str, object]) -> tuple[str, str]:
    """Return algorithm and key id by the header of a token not yet vouched for. Unauthenticated ID_TOKEN_INVALID.

    An issuer signs more with its keys than identity tokens: what its header calls something else, such as an access
    token (`at+jwt`), is none, whatever its claims say (RFC 8725, section 3.11).
    """
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise id_token_invalid()
    if not isinstance(kid, str) or not 0 < len(kid) <= ID_TOKEN_KID_CHARS_MAX or not kid.isprintable():
        raise id_token_invalid()
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise id_token_invalid()
    if "crit" in header:  # We understand no extension (RFC 7515, section 4.1.11).
        raise id_token_invalid()
    return algorithm, kid


def check_id_token(claims: Mapping[str, object], expected: Expected) -> SignedIn:
    """Return who signed in by the claims of a token whose signature is good.

    Unauthenticated ID_TOKEN_INVALID, ID_TOKEN_EXPIRED (beyond its own end, or older than `age_s_max`) or
    EMAIL_NOT_VERIFIED.
    """
    if claims.get("iss") != expected.issuer or not _is_for(claims, expected.audience):
        raise id_token_invalid()
    subject = _text(claims.get("sub"), ID_TOKEN_SUBJECT_CHARS_MAX)
    _check_nonce(claims, expected.nonce)
    _check_times(claims, expected)
    amr = _amr(claims.get("amr", []))
    email = claims.get("email")
    # The issuer's word for it is a boolean (section 5.1); a text such as "false" would be true.
    if claims.get("email_verified") is not True or not isinstance(email, str) or not email:
        raise email_not_verified()
    return SignedIn(expected.issuer, subject, email, amr)


def _is_for(claims: Mapping[str, object], audience: str) -> bool:
    """Return whether the token is meant for us alone: another audience could pass it on to us (steps 3 to 5)."""
    named = claims.get("aud")
    return (named == audience or named == [audience]) and claims.get("azp", audience) == audience


def _check_nonce(claims: Mapping[str, object], nonce: str) -> None:
    """Check that the token is of this very sign-in (step 11); one that carries a nonce is never taken without it."""
    carried = claims.get("nonce", "")
    if not isinstance(carried, str) or not hmac.compare_digest(_bytes_of(carried), _bytes_of(nonce)):
        raise id_token_invalid()


def _bytes_of(text: str) -> bytes:
    """Return the bytes of any text: JSON can say half of a surrogate pair, which has none in UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _check_times(claims: Mapping[str, object], expected: Expected) -> None:
    issued_s, ends_s = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
    begins_s = max(issued_s, _seconds(claims.get("nbf", issued_s)))
    if begins_s > expected.now_s + expected.leeway_s:
        raise id_token_invalid()
    if expected.now_s >= min(ends_s, issued_s + expected.age_s_max) + expected.leeway_s:
        raise Unauthenticated("ID_TOKEN_EXPIRED", "The identity token has expired; sign in again.")


def _seconds(value: object) -> int:
    """Return a NumericDate in whole seconds; a fraction is cut off."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < ID_TOKEN_TIME_S_MAX:
        raise id_token_invalid()
    return int(value)


def _text(value: object, chars_max: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= chars_max or not value.isascii() or not value.isprintable():
        raise id_token_invalid()
    return value


def _amr(value: object) -> tuple[str, ...]:
    """Return how the user signed in (RFC 8176), as the issuer says it."""
    if not isinstance(value, list) or len(value) > ID_TOKEN_AMR_ITEMS_MAX:
        raise id_token_invalid()
    return tuple(_text(item, ID_TOKEN_AMR_CHARS_MAX) for item in value)
