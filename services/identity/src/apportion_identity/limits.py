"""Every limit of the identity service, with its unit in its name."""

from __future__ import annotations

from typing import Final

KEY_SET_BYTES_MAX: Final = 65_536
"""Size of the key set, as the contract allows it in an answer."""
KEYS_MAX: Final = 100
"""Keys of a set: the signing key, its successor, and those that tokens in use were signed with."""
