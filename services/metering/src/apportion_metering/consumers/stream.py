"""The intake stream as JetStream gives it: publishing, its durability, its last messages."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import nats.errors
from apportion_common.bus.streams import METERING_IN
from apportion_common.clock import Clock
from apportion_common.ids import uuid7
from apportion_common.logs import get_logger
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from apportion_metering import errors
from apportion_metering.app import metrics
from apportion_metering.app.subjects import INTAKE, intake_subject
from apportion_metering.limits import (
    DURABILITY_CHECK_S,
    DURABILITY_FRESH_S,
    MONITOR_BYTES_MAX,
    MONITOR_TIMEOUT_S,
    PUBLISH_TIMEOUT_S,
    STREAM_TAIL_TIMEOUT_S,
)

log = get_logger(__name__)

LAST_CONSUMER_INACTIVE_S: Final = 10
"""After which the server forgets the reader of the lanes' last messages, should its deletion be lost."""


class DurabilityGuard:
    """Knows whether the NATS servers flush before they acknowledge (`sync_interval: always`).

    It asks the servers' monitoring address at start, again after every reconnect and when its knowledge is older than
    DURABILITY_FRESH_S. What it cannot find out counts as not durable.
    """

    def __init__(self, client: Client, monitor_urls: str | None) -> None:
        """`monitor_urls` is the setting: one or more HTTP addresses separated by commas, or None."""
        self._client = client
        self._urls = [url.strip() for url in (monitor_urls or "").split(",") if url.strip()]
        self._lock = asyncio.Lock()
        self._trouble = "nobody has looked yet"
        self._checked_at: float | None = None
        self._reconnects = 0

    async def require(self) -> None:
        """Raise FailedPrecondition STREAM_NOT_DURABLE unless the servers are known to flush first."""
        if not await self.check():
            raise errors.stream_not_durable(self._trouble)

    async def check(self) -> bool:
        """Whether the servers are known to flush first; looks again only when that is due."""
        if self._due():
            async with self._lock:
                if self._due():
                    await self._look()
        return not self._trouble

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep the knowledge fresh, so that calls seldom wait for a look."""
        while not stop.is_set():
            async with self._lock:
                await self._look()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), DURABILITY_CHECK_S)

    def _due(self) -> bool:
        if self._checked_at is None or self._client.stats["reconnects"] != self._reconnects:
            return True
        return asyncio.get_running_loop().time() - self._checked_at > DURABILITY_FRESH_S

    async def _look(self) -> None:
        reconnects = self._client.stats["reconnects"]
        trouble = "no monitoring address is set" if not self._urls else ""
        for url in self._urls:
            trouble = trouble or await asyncio.to_thread(_trouble_of, url)
        if trouble != self._trouble:
            log.info("metering.stream.durability", durable=not trouble, trouble=trouble)
        self._trouble = trouble
        self._reconnects = reconnects
        self._checked_at = asyncio.get_running_loop().time()
        metrics.STREAM_DURABLE.set(0 if trouble else 1)


def _trouble_of(url: str) -> str:
    """Why a server cannot be relied on, or an empty text; asks its monitoring page of JetStream."""
    try:
        parts = urlsplit(url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        with contextlib.closing(connect(parts.hostname or "", parts.port, timeout=MONITOR_TIMEOUT_S)) as connection:
            connection.request("GET", "/jsz?config=true")
            answer = connection.getresponse()
            found: Any = json.loads(answer.read(MONITOR_BYTES_MAX))
            durable = answer.status == http.HTTPStatus.OK and found["config"].get("sync_always") is True
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the server's settings cannot be read ({type(error).__name__})"
    return "" if durable else "this server flushes later"


class JetStreamIntake:
    """METERING_IN."""

    def __init__(self, client: Client, jetstream: JetStreamContext, guard: DurabilityGuard, clock: Clock) -> None:
        self._client = client
        self._jetstream = jetstream
        self._guard = guard
        self._clock = clock

    async def publish(self, messages: Sequence[tuple[int, bytes]]) -> None:
        """Publish (lane, message) all at once; returns when all are acknowledged. Unavailable STREAM_UNAVAILABLE."""
        publishing = [
            self._jetstream.publish(intake_subject(lane), payload, timeout=PUBLISH_TIMEOUT_S, stream=METERING_IN.name)
            for lane, payload in messages
        ]
        answers = await asyncio.gather(*publishing, return_exceptions=True)
        for answer in answers:
            if not isinstance(answer, BaseException):
                continue
            if not isinstance(answer, nats.errors.Error | asyncio.TimeoutError | OSError):
                raise answer
            log.warning("metering.publish.failed", error=type(answer).__name__, messages=len(messages))
            raise errors.stream_unavailable() from answer

    async def require_durable(self) -> None:
        """Raise FailedPrecondition STREAM_NOT_DURABLE unless the server flushes before it acknowledges."""
        await self._guard.require()

    async def is_durable(self) -> bool:
        """Whether the server is known to flush before it acknowledges."""
        return await self._guard.check()

    async def last_seqs(self) -> dict[int, int]:
        """The stream sequence of each lane's last message; lanes without one are left out.

        Reads headers only, through a reader that lives for this call. Unavailable STREAM_UNAVAILABLE.
        """
        name = f"lane-ends-{uuid7(self._clock.now_us() * 1_000).hex}"
        try:
            info = await self._jetstream.add_consumer(
                METERING_IN.name,
                ConsumerConfig(
                    name=name,
                    deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                    filter_subject=f"{INTAKE}.*",
                    ack_policy=AckPolicy.NONE,
                    headers_only=True,
                    mem_storage=True,
                    num_replicas=1,
                    inactive_threshold=LAST_CONSUMER_INACTIVE_S,
                ),
            )
            try:
                return await self._read_ends(name, info.num_pending or 0)
            finally:
                with contextlib.suppress(nats.errors.Error):
                    await self._jetstream.delete_consumer(METERING_IN.name, name)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise errors.stream_unavailable() from error

    async def _read_ends(self, consumer: str, count: int) -> dict[int, int]:
        if count == 0:
            return {}
        subscription = await self._jetstream.pull_subscribe_bind(consumer=consumer, stream=METERING_IN.name)
        try:
            ends: list[Msg] = []
            while len(ends) < count:
                ends += await subscription.fetch(count - len(ends), timeout=STREAM_TAIL_TIMEOUT_S)
        finally:
            await subscription.unsubscribe()
        lanes: dict[int, int] = {}
        for message in ends:
            lane = message.subject.rpartition(".")[2]
            if lane.isdigit():
                lanes[int(lane)] = max(lanes.get(int(lane), 0), message.metadata.sequence.stream)
        return lanes
