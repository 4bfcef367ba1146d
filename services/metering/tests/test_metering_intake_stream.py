"""Intake and its stream: durable or refused, unavailable or safe to repeat, messages within their limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from apportion.metering.v1 import lane_pb2
from apportion_client.lane_messages import expand_intake
from apportion_common.errors import FailedPrecondition, Unavailable
from apportion_common.ids import lane_of
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_metering.limits import MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX
from metering_harness import ORG, MeteringHarness, metering_on, start_nats, usage_event


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
            assert not (await metering.lanes.status()).stream_durable


@pytest.mark.parametrize("monitor_url", ["", "http://127.0.0.1:9", "http://127.0.0.1:99999", "not a url"])
async def test_enqueued_is_refused_where_the_servers_settings_cannot_be_read(
    service_database: Callable[[str], ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess], monitor_url: str
):
    async with metering_on(service_database("metering"), durable_nats, monitor_url) as metering:
        with pytest.raises(FailedPrecondition) as caught:
            await metering.take([usage_event("a")])
        assert caught.value.reason == "STREAM_NOT_DURABLE"


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
    events = [usage_event(f"r-{n}", org=UUID(int=n % 20)) for n in range(200)]
    for durable in start_nats(tmp_path / "two", sync_always=True):
        server, _ = durable
        async with metering_on(service_database("metering"), durable) as metering:
            await metering.take(events[:100])
            server.kill()
            with pytest.raises(Unavailable) as caught:
                await metering.take(events, committed=True)
            assert caught.value.reason == "STREAM_UNAVAILABLE"
            assert caught.value.retry_after_s == 1
            server.start()

            async def connected() -> bool:
                return metering.client.is_connected

            await metering.until(connected)
            async with metering.worker("one"):
                result = await metering.take(events, committed=True)
            # What the failed call had buffered may or may not have reached the stream by itself.
            assert result.accepted_count + result.duplicate_count == 200
            assert (await metering.lanes.status()).event_count == 200


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
