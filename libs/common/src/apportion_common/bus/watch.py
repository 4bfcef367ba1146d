"""Notice streams that are not there: no service makes one, so it says which is missing and waits.

STREAM_MISSING is said once for all of a service's streams, as every standstill is, for each in the metric
`apportion_stream_missing`, and by readiness while it lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from apportion_common.bus import metrics
from apportion_common.standstill import STANDSTILLS, STREAM_MISSING
from apportion_common.topology import StreamSpec

LOOK_TIMEOUT_S: Final = 2
"""For all streams together; what has not answered by then counts as it did before."""
PART: Final = "streams"
"""The watch's name among the parts of a process."""


class StreamWatch:
    """Knows which of a service's streams are missing."""

    def __init__(self, client: Client, streams: Iterable[StreamSpec]) -> None:
        """Watch streams by a connection; nothing counts as missing before the first look."""
        self._js = client.jetstream(timeout=LOOK_TIMEOUT_S)
        self._client = client
        self._names = tuple(stream.name for stream in streams)
        self._missing: set[str] = set()

    @property
    def missing(self) -> frozenset[str]:
        """The streams that were missing when they were looked at last."""
        return frozenset(self._missing)

    async def look(self) -> bool:
        """Look at every stream, and return whether none is known to be missing. Without a connection nothing is."""
        if self._client.is_connected:
            await asyncio.gather(*map(self._look_at, self._names))
            names = ", ".join(sorted(self._missing))
            STANDSTILLS.set(PART, {STREAM_MISSING: f"not there: {names}"} if names else {})
        return not self._missing

    async def _look_at(self, name: str) -> None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                await self._js.stream_info(name)
        except NotFoundError:
            self._missing.add(name)
        except (TimeoutError, nats.errors.Error, OSError):
            # Whether it is there nobody can tell; that NATS is away is said elsewhere.
            return
        else:
            self._missing.discard(name)
        metrics.STREAM_MISSING.labels(name).set(1 if name in self._missing else 0)
