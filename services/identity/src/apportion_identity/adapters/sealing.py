"""Secrets sealed for the database: AES-256-GCM (NIST SP 800-38D), bound to what they are the secret of.

A sealed secret is one byte of version, a nonce of 12 random bytes, and the ciphertext with its tag. With several keys
the first one seals and all of them open, so that a key is replaced without losing what the old one sealed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apportion_identity.limits import SECRET_KEY_BYTES

VERSION: Final = b"\x01"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class UnsealError(Exception):
    """A sealed secret cannot be opened; the message names its owner and nothing of it."""


class SealingKeys:
    """Seals with the first of some keys, opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each. Raises ValueError without one or for another length."""
        if not keys or any(len(key) != SECRET_KEY_BYTES for key in keys):
            raise ValueError(f"Sealing needs keys of {SECRET_KEY_BYTES} bytes.")
        self._ciphers = [AESGCM(key) for key in keys]

    def seal(self, secret: bytes, owner: str) -> bytes:
        """Return the secret of `owner`, such as a key id, as it may lie in the database."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._ciphers[0].encrypt(nonce, secret, _bound_to(owner))

    def unseal(self, sealed: bytes, owner: str) -> bytes:
        """Return the secret. Raises UnsealError when it was changed, belongs to another owner or no key opens it."""
        if sealed[:1] == VERSION and len(sealed) > len(VERSION) + NONCE_BYTES + TAG_BYTES:
            nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
            for cipher in self._ciphers:
                try:
                    return cipher.decrypt(nonce, ciphertext, _bound_to(owner))
                except InvalidTag:
                    continue
        raise UnsealError(f"The sealed secret of {owner} does not open with the keys of this process.")


def _bound_to(owner: str) -> bytes:
    return VERSION + b"apportion-identity\0" + owner.encode()
