"""JSON Web Key Sets (RFC 7517) of the Ed25519 keys that tokens are verified with (RFC 8037)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apportion_common.grpc import limits

ALGORITHM: Final = "EdDSA"


def load_jwks(file: Path) -> dict[str, Ed25519PublicKey]:
    """Return the keys of a file by their key ids. Raises OSError, or ValueError when it is malformed or has none."""
    return parse_jwks(file.read_text(encoding="utf-8"), str(file))


def parse_jwks(text: str, what: str) -> dict[str, Ed25519PublicKey]:
    """Return the keys of a text by their key ids. Raises ValueError, naming `what`, when it is malformed or has
    none of ours.

    Keys of other kinds are passed over: a set may hold them for others.
    """
    try:
        document = json.loads(text)
        entries = [entry for entry in document["keys"] if _is_ours(entry)]
        keys = {str(entry["kid"]): jwt.PyJWK(entry, algorithm=ALGORITHM).key for entry in entries}
    except (KeyError, TypeError, AttributeError, jwt.PyJWTError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{what} is not a JSON Web Key Set.") from error
    if not keys or len(keys) > limits.JWKS_KEYS_MAX:
        raise ValueError(f"{what} holds no Ed25519 key that verifies tokens, or more than {limits.JWKS_KEYS_MAX}.")
    return keys


def is_key_id(value: object) -> TypeGuard[str]:
    """Return whether a key id is one that we take: a text that can be written down, for it stands in logs."""
    return isinstance(value, str) and 0 < len(value) <= limits.KID_CHARS_MAX and value.isprintable()


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("kty") == "OKP"
        and entry.get("crv") == "Ed25519"
        and is_key_id(entry.get("kid"))
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", ALGORITHM) == ALGORITHM
        and "d" not in entry
    )
