"""Streams lose nothing, and come to be once however many processes start together."""

from __future__ import annotations

import asyncio

import pytest
from apportion_common.bus.connection import connect
from apportion_common.bus.streams import DUPLICATE_WINDOW_S, ensure_stream, ensure_streams
from apportion_common.errors import FailedPrecondition
from apportion_common.topology import EVENTS, MEBIBYTE, METERING_IN, STREAMS
from apportion_dev.testing.servers import NatsAccess
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError

pytestmark = pytest.mark.usefixtures("clean_streams")


async def test_processes_that_start_together_make_each_stream_once(nats_access: NatsAccess) -> None:
    clients = await asyncio.gather(*(connect(nats_access, f"starter {n}") for n in range(4)))
    await asyncio.gather(*(ensure_streams(client.jetstream(), max_bytes=MEBIBYTE) for client in clients))
    infos = {info.config.name: info.config for info in await clients[0].jetstream().streams_info()}
    for spec in STREAMS:
        config = infos[spec.name]
        assert config.subjects == list(spec.subjects)
        assert config.storage == StorageType.FILE
        assert config.retention == RetentionPolicy.LIMITS
        assert config.discard == DiscardPolicy.NEW
        assert not config.max_age
        assert config.duplicate_window == DUPLICATE_WINDOW_S
        assert config.allow_direct
    for client in clients:
        await client.close()


async def test_a_full_stream_refuses_and_keeps_what_it_has(nats_connection: Client) -> None:
    js = nats_connection.jetstream()
    await ensure_stream(js, EVENTS.name, EVENTS.subjects, max_bytes=60_000)
    accepted = 7
    for _ in range(accepted):
        await js.publish("events.big", b"x" * 8_000)
    with pytest.raises(APIError, match="maximum bytes exceeded"):
        await js.publish("events.big", b"x" * 8_000)
    state = (await js.stream_info(EVENTS.name)).state
    assert (state.first_seq, state.messages) == (1, accepted)


async def test_a_stream_that_would_drop_messages_is_put_right_and_stays_as_large_as_it_was(
    nats_connection: Client,
) -> None:
    js = nats_connection.jetstream()
    await js.add_stream(
        StreamConfig(
            name=METERING_IN.name, subjects=["metering.in.0"], max_age=60, max_bytes=7 * MEBIBYTE, duplicate_window=60
        )
    )
    config = (await ensure_stream(js, METERING_IN.name, ["metering.in.0", "metering.in.1"], max_bytes=MEBIBYTE)).config
    assert config.subjects == ["metering.in.0", "metering.in.1"]
    assert config.discard == DiscardPolicy.NEW
    assert not config.max_age
    assert config.max_bytes == 7 * MEBIBYTE


async def test_a_stream_that_forgets_what_was_read_is_refused(nats_connection: Client) -> None:
    js = nats_connection.jetstream()
    await js.add_stream(StreamConfig(name=EVENTS.name, subjects=["events.>"], retention=RetentionPolicy.WORK_QUEUE))
    with pytest.raises(FailedPrecondition) as refused:
        await ensure_stream(js, EVENTS.name, EVENTS.subjects, max_bytes=MEBIBYTE)
    assert refused.value.reason == "STREAM_MISCONFIGURED"
