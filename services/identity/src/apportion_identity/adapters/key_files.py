"""Secret keys in files that whoever runs the process puts there."""

from __future__ import annotations

from pathlib import Path

from apportion_identity.limits import SECRET_KEY_BYTES


def read_secret_keys(file: Path, keys_max: int) -> tuple[bytes, ...]:
    """Return the keys of a file: one after the other, each of 32 bytes and nothing between them.

    Raises OSError when the file cannot be read, ValueError, which names the file and not what it holds, for another
    size.
    """
    with file.open("rb") as stream:
        raw = stream.read(keys_max * SECRET_KEY_BYTES + 1)
    if not raw or len(raw) % SECRET_KEY_BYTES or len(raw) > keys_max * SECRET_KEY_BYTES:
        raise ValueError(f"{file} must hold one to {keys_max} keys of {SECRET_KEY_BYTES} bytes each, and nothing else.")
    return tuple(raw[at : at + SECRET_KEY_BYTES] for at in range(0, len(raw), SECRET_KEY_BYTES))
