"""What an event says, apart from how it was spelled or when it came: its canonical content (spec 04, "Intake").

Two events with the same (org, request id) are the same event if their content hashes are equal; otherwise the later
one is a PAYLOAD_MISMATCH. All spellings of one instant and of one number are the same content (spec 08 choice 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256


def content_hash(
    org_id: bytes, project_id: bytes, sku: str, quantity: int, event_time_us: int, metadata: Mapping[str, str]
) -> bytes:
    """Return the SHA-256 (32 bytes) of org, project, SKU, quantity, time and metadata sorted by key.

    `org_id` has 16 bytes, `project_id` 16 or none, `quantity` is a scaled int at 9 places, the time is in microseconds
    since 1970 UTC. Texts have their length before them, so that no two contents share their bytes.
    """
    sku_bytes = sku.encode()
    content = b"E1|%b|%d:%b|%d:%b|%d|%d" % (
        org_id, len(project_id), project_id, len(sku_bytes), sku_bytes, quantity, event_time_us,
    )  # fmt: skip
    if metadata:
        content += b"".join([_pair(key, metadata[key]) for key in sorted(metadata)])
    return sha256(content).digest()


def _pair(key: str, value: str) -> bytes:
    key_bytes, value_bytes = key.encode(), value.encode()
    return b"|%d:%b=%d:%b" % (len(key_bytes), key_bytes, len(value_bytes), value_bytes)
