"""The key set, kept as a file that rotation replaces as a whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

from apportion_common.errors import Unavailable

from apportion_identity.limits import KEY_SET_BYTES_MAX


class KeySetFile:
    """A key set file, read afresh at every call: a rotated key shows at once."""

    def __init__(self, path: Path) -> None:
        """Read from `path`."""
        self._path = path

    async def read(self) -> str:
        """The file's text. Unavailable KEY_SET_UNUSABLE when it is missing, too large or no UTF-8."""
        try:
            return await asyncio.to_thread(self._read)
        except (OSError, UnicodeDecodeError):
            raise Unavailable("KEY_SET_UNUSABLE", "The service's key set cannot be read.") from None

    def _read(self) -> str:
        with self._path.open("rb") as file:
            raw = file.read(KEY_SET_BYTES_MAX + 1)
        if len(raw) > KEY_SET_BYTES_MAX:
            raise OSError(f"{self._path} has more than {KEY_SET_BYTES_MAX} bytes.")
        return raw.decode("utf-8")
