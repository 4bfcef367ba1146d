"""OIDC identity tokens: whether one is of a configured issuer, signed by one of its keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import jwt
from apportion_common.clock import Clock
from apportion_common.errors import InvalidArgument, Unauthenticated

from apportion_identity.adapters.issuer_keys import IssuerKeys
from apportion_identity.domain.addresses import domain_of, normalise_address
from apportion_identity.domain.id_token import (
    Expected,
    SignedIn,
    check_header,
    check_id_token,
    email_not_verified,
    id_token_invalid,
)
from apportion_identity.limits import ID_TOKEN_AGE_S_MAX, ID_TOKEN_LEEWAY_S

_US_PER_S: Final = 1_000_000


class IdTokens:
    """Identity tokens of configured issuers."""

    def __init__(self, issuers: IssuerKeys, clock: Clock) -> None:
        """Believe these issuers."""
        self._issuers = issuers
        self._clock = clock

    async def check(self, token: str, nonce: str) -> SignedIn:
        """Return who signed in, the address in its one form.

        Unauthenticated ISSUER_UNKNOWN, ID_TOKEN_INVALID, ID_TOKEN_EXPIRED, EMAIL_NOT_VERIFIED; Unavailable
        ISSUER_UNAVAILABLE when the issuer's keys cannot be had.
        """
        header, unproved = _read(token)
        algorithm, kid = check_header(header)
        name = unproved.get("iss")
        issuer = self._issuers.find(name) if isinstance(name, str) else None
        if issuer is None:
            raise Unauthenticated("ISSUER_UNKNOWN", "Identity tokens of this issuer are not taken here.")
        key = await self._issuers.key(issuer, kid)
        if key is None or algorithm not in key.algorithms:
            raise id_token_invalid()
        claims = _verified(token, key.public_key, algorithm)
        expected = Expected(
            issuer=issuer.issuer,
            audience=issuer.audience,
            nonce=nonce,
            now_s=self._clock.now_us() // _US_PER_S,
            leeway_s=ID_TOKEN_LEEWAY_S,
            age_s_max=ID_TOKEN_AGE_S_MAX,
        )
        signed_in = check_id_token(claims, expected)
        email = _address(signed_in.email)
        if issuer.email_domains is not None and domain_of(email) not in issuer.email_domains:
            raise email_not_verified()
        return replace(signed_in, email=email)


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims that nobody has vouched for yet: they only say whom to ask."""
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise id_token_invalid() from None
    return whole["header"], whole["payload"]


def _address(email: str) -> str:
    """Return the address in its one form. Unauthenticated ID_TOKEN_INVALID for what is no address."""
    try:
        return normalise_address(email)
    except InvalidArgument:
        raise id_token_invalid() from None


def _verified(token: str, public_key: Any, algorithm: str) -> dict[str, Any]:
    """Return the claims, once the signature is good; what they say is looked at elsewhere, all of it in one place."""
    unchecked = ("verify_exp", "verify_iat", "verify_nbf", "verify_aud", "verify_iss", "verify_sub", "verify_jti")
    try:
        return jwt.decode(token, public_key, algorithms=[algorithm], options=dict.fromkeys(unchecked, False))  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise id_token_invalid() from None
