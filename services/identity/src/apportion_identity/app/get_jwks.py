"""GetJwks: the public keys that access tokens are verified with."""

from __future__ import annotations

from apportion_identity.app.ports import KeySetSource
from apportion_identity.domain.key_set import public_key_set
from apportion_identity.limits import KEYS_MAX


async def get_jwks(source: KeySetSource) -> str:
    """The key set as compact JSON, public members only. Unavailable KEY_SET_UNUSABLE."""
    return public_key_set(await source.read(), KEYS_MAX)
