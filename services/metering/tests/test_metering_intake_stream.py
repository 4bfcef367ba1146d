"""Intake and its stream: durable or refused, unavailable or safe to repeat, messages within their limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from apportion.metering.v1 import lane_pb2
from apportion_client.lane_messages import expand_intake
from apportion_common.bus import connection
from apportion_common.errors import FailedPrecondition, Unavailable
from apportion_common.ids import lane_of
from apportion_common.instants import US_PER_S
from apportion_dev.local.nats import LocalNats
from apportion_dev.local.ports import LOOPBACK
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_metering.domain.stream import StreamCondition
from apportion_metering.limits import MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX, STREAM_RETRY_AFTER_S
from metering_harness import ORG, MeteringHarness, metering_on, start_nats, usage_event
from prometheus_client import REGISTRY


def http_answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer of HTTP/1.1."""
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


UNREADABLE: Final[dict[str, bytes | None]] = {
    "no HTTP": b"\x00\xff garbage\r\n",
    "no JSON": http_answer(b"<html>Welcome</html>"),
    "JSON of something else": http_answer(b'{"config": {"sync_always": true}}'),
    "no object": http_answer(b'["sync_always"]'),
    "sync_always is no truth value": http_answer(b'{"server_id": "S", "config": {"sync_always": "true"}}'),
    "an error with a good body": http_answer(
        b'{"server_id": "S", "config": {"sync_always": true}}', b"500 Internal Server Error"
    ),
    "cut off": http_answer(b'{"server_id": "S"}')[:-5],
    "nothing": b"",
    "silence": None,
}
"""What a monitoring address may answer that says nothing of the server's settings; None: it never answers."""


@asynccontextmanager
async def monitoring(answer: bytes | Callable[[], bytes | None] | None) -> AsyncIterator[str]:
    """An address that gives this answer to whoever asks."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = answer() if callable(answer) else answer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if found is None:
                # A byte now and then: no single read waits for long, and the whole never ends.
                while not over.is_set():
                    writer.write(b"H")
                    await writer.drain()
                    await asyncio.sleep(0.2)
            else:
                writer.write(found)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()


async def restart_without_flushing(server: LocalNats, metering: MeteringHarness) -> None:
    """Have the server acknowledge before it flushes from now on; returns when the client is back on it."""
    before = metering.client.stats["reconnects"]
    server.stop()
    server.sync_always = False
    server.start()

    async def connected() -> bool:
        return metering.client.is_connected and metering.client.stats["reconnects"] > before

    await metering.until(connected)


def restart_after_the_next_check(server: LocalNats, metering: MeteringHarness) -> None:
    """Have the server restarted so between a call's look at its durability and the publishing."""
    check = metering.stream.require_durable

    async def check_and_restart() -> None:
        await check()
        metering.stream.require_durable = check
        await restart_without_flushing(server, metering)

    metering.stream.require_durable = check_and_restart


async def test_enqueued_is_refused_on_a_server_that_flushes_later_and_committed_is_not(
    service_database: Callable[[str], ServiceDatabase], lazy_nats: tuple[LocalNats, NatsAccess]
):
    async with metering_on(service_database("metering"), lazy_nats) as metering:
        with pytest.raises(FailedPrecondition) as caught:
            await metering.take([usage_event("a")])
        assert caught.value.reason == "STREAM_NOT_DURABLE"
        assert (await metering.js.stream_info("METERING_IN")).state.messages == 0
        async with metering.worker("one"):
            assert (await metering.take([usage_event("a")], committed=True)).accepted_count == 1
            assert not (await metering.lanes.status()).stream.is_durable


@pytest.mark.parametrize(
    "monitor_url", ["", "http://127.0.0.1:99999", "not a url", "ftp://127.0.0.1", "http://a\x7fb:1"]
)
async def test_enqueued_is_refused_for_good_where_no_address_is_set_to_read_the_servers_settings_at(
    service_database: Callable[[str], ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess], monitor_url: str
):
    async with metering_on(service_database("metering"), durable_nats, monitor_url) as metering:
        with pytest.raises(FailedPrecondition) as caught:
            await metering.take([usage_event("a")])
        assert caught.value.reason == "STREAM_NOT_DURABLE"
        assert (await metering.lanes.status()).stream.condition is StreamCondition.NOT_DURABLE


@pytest.mark.parametrize("answer", list(UNREADABLE))
async def test_enqueued_is_unavailable_while_the_servers_settings_cannot_be_read_and_committed_is_taken(
    service_database: Callable[[str], ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess], answer: str
):
    async with (
        monitoring(UNREADABLE[answer]) as monitor_url,
        metering_on(service_database("metering"), durable_nats, monitor_url) as metering,
        metering.worker("one"),
    ):
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await metering.take([usage_event("a")])
            assert caught.value.reason == "STREAM_UNAVAILABLE"
            assert caught.value.retry_after_s == STREAM_RETRY_AFTER_S
            assert datetime.fromisoformat(caught.value.metadata["unavailable_since"]).tzinfo is not None
        assert (await metering.js.stream_info("METERING_IN")).state.messages == 0
        assert (await metering.lanes.status()).stream.condition is StreamCondition.UNKNOWN
        assert (await metering.take([usage_event("a")], committed=True)).accepted_count == 1


async def test_a_monitoring_address_where_nobody_listens_is_an_outage(
    service_database: Callable[[str], ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess]
):
    async with metering_on(service_database("metering"), durable_nats, "http://127.0.0.1:9") as metering:
        with pytest.raises(Unavailable) as caught:
            await metering.take([usage_event("a")])
        assert caught.value.reason == "STREAM_UNAVAILABLE"


@pytest.mark.parametrize(("says", "taken"), [(b"true", True), (b"false", False), (None, False)])
async def test_what_a_readable_server_says_of_its_flushing_is_a_verdict(
    service_database: Callable[[str], ServiceDatabase],
    durable_nats: tuple[LocalNats, NatsAccess],
    says: bytes | None,
    taken: bool,
):
    config = b"" if says is None else b'"sync_always": ' + says
    async with (
        monitoring(http_answer(b'{"server_id": "S", "config": {' + config + b"}}")) as monitor_url,
        metering_on(service_database("metering"), durable_nats, monitor_url) as metering,
    ):
        if taken:
            assert (await metering.take([usage_event("a")])).accepted_count == 1
            return
        with pytest.raises(FailedPrecondition) as caught:
            await metering.take([usage_event("a")])
        assert caught.value.reason == "STREAM_NOT_DURABLE"


async def test_one_server_of_several_that_flushes_later_is_a_verdict_although_another_cannot_be_read(
    service_database: Callable[[str], ServiceDatabase], lazy_nats: tuple[LocalNats, NatsAccess]
):
    urls = f"http://127.0.0.1:9, {lazy_nats[0].monitor_url}"
    async with metering_on(service_database("metering"), lazy_nats, urls) as metering:
        with pytest.raises(FailedPrecondition) as caught:
            await metering.take([usage_event("a")])
        assert caught.value.reason == "STREAM_NOT_DURABLE"


async def test_enqueued_is_taken_again_as_soon_as_the_settings_can_be_read(
    service_database: Callable[[str], ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess]
):
    answers = [UNREADABLE["no JSON"]]
    async with (
        monitoring(lambda: answers[0]) as monitor_url,
        metering_on(service_database("metering"), durable_nats, monitor_url) as metering,
    ):
        with pytest.raises(Unavailable):
            await metering.take([usage_event("a")])
        answers[0] = http_answer(b'{"server_id": "S", "config": {"sync_always": true}}')

        async def taken() -> bool:
            try:
                return (await metering.take([usage_event("a")])).accepted_count == 1
            except Unavailable:
                return False

        await metering.until(taken)


async def test_durability_is_looked_at_again_after_a_reconnect(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path
):
    for durable in start_nats(tmp_path / "one", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering:
            await metering.take([usage_event("a")])
            await restart_without_flushing(server, metering)
            with pytest.raises(FailedPrecondition) as caught:
                await metering.take([usage_event("b")])
            assert caught.value.reason == "STREAM_NOT_DURABLE"


async def test_a_reconnect_within_a_call_to_a_server_that_flushes_later_is_not_answered_as_enqueued(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path
):
    for durable in start_nats(tmp_path / "three", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering:
            await metering.take([usage_event("a")])
            restart_after_the_next_check(server, metering)
            with pytest.raises(FailedPrecondition) as caught:
                await metering.take([usage_event("b")])
            assert caught.value.reason == "STREAM_NOT_DURABLE"


async def test_while_the_stream_is_down_the_call_fails_and_may_be_repeated(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path
):
    events = [usage_event(f"r-{n}", org=UUID(int=n % 20 + 1)) for n in range(200)]
    for durable in start_nats(tmp_path / "two", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering:
            await metering.take(events[:100])
            server.kill()
            for committed in (True, False):
                with pytest.raises(Unavailable) as caught:
                    await metering.take(events, committed=committed)
                assert caught.value.reason == "STREAM_UNAVAILABLE"
                assert caught.value.retry_after_s == STREAM_RETRY_AFTER_S
            status = await metering.lanes.status()
            assert status.stream.condition is StreamCondition.UNREACHABLE
            assert not status.drained
            server.start()

            async def connected() -> bool:
                return metering.client.is_connected

            await metering.until(connected)
            async with metering.worker("one"):
                result = await metering.take(events, committed=True)
            # What the failed call had buffered may or may not have reached the stream by itself.
            assert result.accepted_count + result.duplicate_count == 200
            assert (await metering.lanes.status()).event_count == 200


async def test_without_a_connection_nothing_is_kept_to_be_sent_later(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path
):
    for durable in start_nats(tmp_path / "four", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering:
            await metering.take([usage_event("a")])
            server.kill()

            async def lost() -> bool:
                return not metering.client.is_connected

            await metering.until(lost)
            for committed in (True, False) * 3:
                with pytest.raises(Unavailable):
                    await metering.take([usage_event("b")], committed=committed)
            assert metering.client.pending_data_size == 0
            server.start()

            async def taken() -> bool:
                try:
                    return (await metering.take([usage_event("c")])).accepted_count == 1
                except Unavailable:
                    return False

            await metering.until(taken)
            assert (await metering.js.stream_info("METERING_IN")).state.messages == 2


async def test_a_server_that_is_silent_for_longer_than_its_pings_may_be_is_an_outage_and_loses_and_doubles_nothing(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection, "PING_INTERVAL_S", 1)
    events = [usage_event(f"r-{n}", org=UUID(int=n % 20 + 1)) for n in range(200)]
    for durable in start_nats(tmp_path / "five", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering, metering.worker("one"):
            stop = asyncio.Event()
            watching = asyncio.create_task(metering.parts.guard.watch(stop))
            await metering.take(events[:100])
            os.kill(server.pid or 0, signal.SIGSTOP)
            try:
                for events_of_call, committed in ((events[:150], True), (events[100:], False)):
                    with pytest.raises(Unavailable) as caught:
                        await metering.take(events_of_call, committed=committed)
                    assert caught.value.reason == "STREAM_UNAVAILABLE"

                async def lost() -> bool:
                    return not metering.client.is_connected

                await metering.until(lost)
                assert (await metering.lanes.status()).stream.condition is StreamCondition.UNREACHABLE
            finally:
                os.kill(server.pid or 0, signal.SIGCONT)

            async def taken() -> bool:
                try:
                    return (await metering.take(events)).accepted_count == len(events)
                except Unavailable:
                    return False

            await metering.until(taken)
            result = await metering.take(events, committed=True)
            assert (result.accepted_count, result.duplicate_count) == (0, len(events))
            assert (await metering.lanes.status()).event_count == len(events)
            stop.set()
            await watching


async def test_the_metrics_say_since_when_the_stream_is_as_it_is(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path
):
    for durable in start_nats(tmp_path / "six", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering:
            await metering.take([usage_event("a")])
            assert since("unreachable") == 0 < since("durable")
            server.kill()
            with pytest.raises(Unavailable):
                await metering.take([usage_event("b")], committed=True)
            state = (await metering.lanes.status()).stream
            assert since("durable") == 0 < since("unreachable")
            assert since("unreachable") == state.since_us / US_PER_S
            server.start()


def since(condition: str) -> float:
    """Since when the metrics say that the stream is in a condition."""
    found = REGISTRY.get_sample_value(
        "apportion_metering_stream_condition_since_timestamp_seconds", {"condition": condition}
    )
    assert found is not None
    return found


async def test_messages_keep_their_limits_and_an_organisations_order(metering: MeteringHarness):
    fat = {f"k{n}": "x" * 17 for n in range(50)}
    events = []
    for n in range(2_500):
        event = usage_event(f"{n:05}")
        if n < 600:
            event.metadata.update(fat)
        events.append(event)
    await metering.take(events)
    messages = await metering.published("METERING_IN", f"metering.in.{lane_of(ORG.bytes)}")
    assert len(messages) > 3
    assert max(map(len, messages)) <= MESSAGE_BYTES_MAX
    read = [expand_intake(lane_pb2.IntakeMessage.FromString(message)) for message in messages]
    assert max(len(message.entries) for message in read) <= MESSAGE_ENTRIES_MAX
    assert [e.event.request_id for m in read for e in m.entries] == [f"{n:05}" for n in range(2_500)]
