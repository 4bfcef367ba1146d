"""The key set that tokens are verified with: public members only (RFC 7517, RFC 8037)."""

from __future__ import annotations

import json
from typing import Final

from apportion_common.errors import Unavailable

PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "kid", "use", "alg")
"""Members of a public Ed25519 key. Whatever else a key has, above all `d`, never leaves the process."""
NEEDED_MEMBERS: Final = frozenset({"kty", "crv", "x", "kid"})


def public_key_set(text: str, keys_max: int) -> str:
    """Return the key set of a JSON text with the public members of its keys, as compact JSON.

    Unavailable KEY_SET_UNUSABLE when the text is no key set of one to `keys_max` keys, each with its id.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise _unusable() from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= keys_max:
        raise _unusable()
    public = [_public(key) for key in keys]
    return json.dumps({"keys": public}, separators=(",", ":"))


def _public(key: object) -> dict[str, str]:
    """Return the public members of one key."""
    if not isinstance(key, dict):
        raise _unusable()
    members = {name: key[name] for name in PUBLIC_MEMBERS if name in key}
    if not members.keys() >= NEEDED_MEMBERS or not all(isinstance(value, str) for value in members.values()):
        raise _unusable()
    return members


def _unusable() -> Unavailable:
    return Unavailable("KEY_SET_UNUSABLE", "The service's key set cannot be used; its operator has to mend it.")
