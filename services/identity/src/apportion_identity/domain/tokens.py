"""What an access token says (spec 01, access tokens)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid

USER_PREFIX: Final = "user:"
"""What a person's token subject begins with; the user id follows."""


def service_account_subject(account_id: UUID) -> str:
    """Return the subject of a service account's tokens."""
    return f"service_account:{account_id}"


def user_subject(user_id: UUID) -> str:
    """Return the subject of a user's tokens."""
    return f"{USER_PREFIX}{user_id}"


def user_of_subject(subject: str) -> UUID | None:
    """Return the user id that a token's subject names; None for a program's."""
    if not subject.startswith(USER_PREFIX):
        return None
    try:
        return parse_uuid(subject.removeprefix(USER_PREFIX))
    except ApportionError:
        return None


def access_claims(
    *,
    issuer: str,
    audience: str,
    subject: str,
    roles: Sequence[str],
    issued_at_s: int,
    life_s: int,
    token_id: UUID,
    org_id: UUID | None = None,
    amr: Sequence[str] = (),
) -> dict[str, object]:
    """Return the claims of a token (RFC 7519) good from `issued_at_s`, in seconds since 1970, for `life_s` seconds.

    Without an organisation there is no `org_id`, without methods of authentication no `amr` (RFC 8176).
    """
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": issued_at_s,
        "nbf": issued_at_s,
        "exp": issued_at_s + life_s,
        "jti": str(token_id),
        "roles": list(roles),
    }
    if org_id is not None:
        claims["org_id"] = str(org_id)
    if amr:
        claims["amr"] = list(amr)
    return claims
