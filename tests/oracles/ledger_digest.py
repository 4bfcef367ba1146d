"""A second opinion on the ledger's digest: of a set of lines that is at hand, where the service streams its own."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple


class SetDigest(NamedTuple):
    """Digest of a set of lines."""

    count: int
    root: bytes


def digest_of_lines(lines: Iterable[tuple[bytes, bytes]]) -> SetDigest:
    """Return the digest of (charge id, line hash) pairs in any order: SHA-256 over the hashes by charge id."""
    hashes: dict[bytes, bytes] = {}
    for charge_id, content_hash in lines:
        assert charge_id not in hashes, f"The charge {charge_id.hex()} is in the set twice."
        hashes[charge_id] = content_hash
    return SetDigest(len(hashes), sha256(b"".join(hashes[charge_id] for charge_id in sorted(hashes))).digest())
