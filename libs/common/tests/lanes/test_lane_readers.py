"""A lane at rest waits without asking again and again, and still notices whatever happens to its reader."""

from __future__ import annotations

import asyncio
from typing import Any

import lane_toys as toys
import pytest
from apportion_common.bus.connection import connect
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import LaneRunner, limits
from apportion_dev.testing.servers import NatsAccess
from nats.aio.client import Client

NEVER_S = 3_600.0
"""Longer than any test: what waits for it is seen to be woken by something else."""


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


def _reader(runner: LaneRunner[toys.Numbers]) -> Any:
    return runner._owned[0]._reader


async def _applied(database: Database, values: list[int]) -> None:
    async def reached() -> bool:
        return await toys.applied(database, 0) == values

    await toys.until(reached)


async def test_a_reader_that_hears_nothing_any_more_is_opened_again_within_a_bounded_time(
    lanes: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READ_HEARTBEAT_S", 0.3)
    monkeypatch.setattr(limits, "READ_SILENCE_S", 1.0)
    runner = toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)
    async with toys.running(runner):
        await toys.send(nats_connection, 0, [1])
        await _applied(lanes, [1])
        # Nobody is told: the server goes on sending, and here nobody listens.
        await _reader(runner)._subscription.unsubscribe()
        await toys.send(nats_connection, 0, [2])
        await _applied(lanes, [1, 2])


async def test_a_consumer_that_the_server_forgot_is_made_again_at_once(
    lanes: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READ_SILENCE_S", NEVER_S)
    runner = toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)
    async with toys.running(runner):
        await toys.send(nats_connection, 0, [1])
        await _applied(lanes, [1])
        await nats_connection.jetstream().delete_consumer("TOY_IN", _reader(runner)._consumer)
        await toys.send(nats_connection, 0, [2])
        await _applied(lanes, [1, 2])


async def test_a_lost_connection_is_noticed_by_its_return_and_not_by_silence(
    lanes: Database, nats_connection: Client, nats_access: NatsAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READ_SILENCE_S", NEVER_S)
    client = await connect(nats_access, "to be cut")
    try:
        async with toys.running(toys.runner(lanes, client, toys.ToyProcessor(), lanes=1)):
            await toys.send(nats_connection, 0, [1])
            await _applied(lanes, [1])
            transport: Any = client._transport
            transport._io_writer.transport.abort()
            await toys.send(nats_connection, 0, [2])
            await _applied(lanes, [1, 2])
            assert client.stats["reconnects"] == 1
    finally:
        await client.close()


async def test_a_request_that_waits_for_longer_than_an_idle_reader_is_kept_keeps_its_reader(
    lanes: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READER_INACTIVE_S", 1.0)
    assert limits.READ_EXPIRES_S > limits.READER_INACTIVE_S
    runner = toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)
    async with toys.running(runner):
        await toys.send(nats_connection, 0, [1])
        await _applied(lanes, [1])
        consumer = _reader(runner)._consumer
        await asyncio.sleep(3)
        await nats_connection.jetstream().consumer_info("TOY_IN", consumer)
        assert _reader(runner)._consumer == consumer


async def test_a_worker_at_rest_ends_and_lets_its_lanes_go_at_once(
    lanes: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READ_SILENCE_S", NEVER_S)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lease_s=NEVER_S)):
        await toys.send(nats_connection, 0, [1])
        await _applied(lanes, [1])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="two", lease_s=NEVER_S)):
        await toys.send(nats_connection, 0, [2])
        await _applied(lanes, [1, 2])


def test_the_server_takes_the_heartbeat_of_a_request_and_silence_is_longer_than_three() -> None:
    assert limits.READ_EXPIRES_S >= 2 * limits.READ_HEARTBEAT_S
    assert limits.READ_SILENCE_S > 3 * limits.READ_HEARTBEAT_S
