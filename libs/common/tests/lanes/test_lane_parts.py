"""Batches in several parts: taken as a whole, published in order, and stopped on rather than guessed at."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lane_toys as toys
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import limits
from apportion_common.lanes.model import LaneOutput
from apportion_common.lanes.parts import check_outputs
from apportion_dev.testing.servers import NatsAccess
from nats.aio.client import Client
from sqlalchemy import text

PROCESS_TIMEOUT_S = 120
SOME_STEPS_S = 0.5
"""Time for what must not happen to happen."""

DOOMED = """
import asyncio, json, os, sys
from pathlib import Path
from pydantic import SecretStr
given = json.loads(os.environ["GIVEN"])
sys.path.insert(0, given["toys"])
import lane_toys as toys
from apportion_common import failpoints
from apportion_common.bus.connection import connect
from apportion_common.clock import SystemClock
from apportion_common.db.engine import make_engine
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes.runner import register_fail_points
from apportion_dev.testing.servers import NatsAccess

async def main():
    access = NatsAccess(
        given["url"], given["user"], SecretStr(given["password"] or ""), Path(given["ca"]) if given["ca"] else None
    )
    client = await connect(access, "doomed")
    database = Database(make_engine(given["database"], "toy/doomed", 4), "toy", SystemClock())
    register_fail_points("toy")
    failpoints.arm(os.environ["FAIL_POINT"], "test")
    await toys.runner(database, client, toys.ToyProcessor(part_values=2), lanes=1).run(asyncio.Event())

asyncio.run(main())
"""


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


async def _stopped_reason(database: Database) -> str | None:
    async with database.read() as connection:
        query = text("SELECT stopped_reason FROM lane WHERE role = 'toy' AND lane = 0")
        return (await connection.execute(query)).scalar_one_or_none()


async def _one(database: Database, query: str) -> object:
    async with database.read() as connection:
        return (await connection.execute(text(query))).scalar_one()


def _run_until_killed(database: Database, access: NatsAccess, fail_point: str) -> None:
    """Run the toy's lane in a process that dies at the fail point."""
    password = access.nats_password
    given = {
        "database": database.engine.url.render_as_string(hide_password=False),
        "url": access.nats_url,
        "user": access.nats_user,
        "password": None if password is None else password.get_secret_value(),
        "ca": None if access.tls_ca_file is None else str(access.tls_ca_file),
        "toys": str(Path(__file__).parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", DOOMED],
        env={**os.environ, "GIVEN": json.dumps(given), "FAIL_POINT": fail_point},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


async def _applied(database: Database, values: list[int]) -> None:
    async def reached() -> bool:
        return await toys.applied(database, 0) == values

    await toys.until(reached)


async def _stops(database: Database, reason: str) -> None:
    async def stopped() -> bool:
        return await _stopped_reason(database) == reason

    await toys.until(stopped)


async def test_a_batch_in_parts_is_applied_as_one_and_counts_its_messages(
    lanes: Database, nats_connection: Client
) -> None:
    await toys.send(nats_connection, 0, [1], 1)
    for part in range(3):
        await toys.send(nats_connection, 0, [10 + part, 20 + part], 2, part, 3)
    await toys.send(nats_connection, 0, [3], 3)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(max_weight=1), lanes=1)):
        await _applied(lanes, [1, 10, 20, 11, 21, 12, 22, 3])
    query = "SELECT string_agg(n::text, ',') FROM (SELECT count(*) n FROM applied GROUP BY pos ORDER BY pos) b"
    assert await _one(lanes, query) == "1,6,1"
    assert await _one(lanes, "SELECT stream_seq FROM lane") == 5


async def test_nothing_of_a_batch_is_applied_before_its_last_part_came(
    lanes: Database, nats_connection: Client
) -> None:
    await toys.send(nats_connection, 0, [1], 1)
    await toys.send(nats_connection, 0, [2], 2, 0, 3)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await _applied(lanes, [1])
        await toys.send(nats_connection, 0, [3], 2, 1, 3)
        await asyncio.sleep(SOME_STEPS_S)
        assert await toys.applied(lanes, 0) == [1]
    # The next owner reads the batch from its first part.
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="two", lanes=1)):
        await toys.send(nats_connection, 0, [4], 2, 2, 3)
        await _applied(lanes, [1, 2, 3, 4])


async def test_a_batch_larger_than_the_buffer_is_taken_as_a_whole(lanes: Database, nats_connection: Client) -> None:
    count = 3 * limits.BUFFERED_BYTES // limits.OUTPUT_PART_BYTES_MAX
    content = {"pos": 1, "parts": count, "padding": " " * (limits.OUTPUT_PART_BYTES_MAX - 1000)}
    for part in range(count):
        await nats_connection.jetstream().publish(
            "toy.in.0", json.dumps({**content, "values": [part], "part": part}).encode()
        )
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await _applied(lanes, list(range(count)))


async def test_parts_of_batches_that_were_applied_before_are_dropped(lanes: Database, nats_connection: Client) -> None:
    again = [(1, 0, 2), (1, 1, 2), (2, 0, 1), (1, 1, 2), (2, 0, 1), (1, 0, 2), (3, 0, 2), (3, 1, 2)]
    for batch_seq, part, parts in again:
        await toys.send(nats_connection, 0, [batch_seq * 10 + part], batch_seq, part, parts)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await _applied(lanes, [10, 11, 20, 30, 31])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([(2, 1, 3)], "BATCH_PART_GAP"),
        ([(2, 0, 3), (2, 2, 3)], "BATCH_PART_GAP"),
        ([(2, 0, 3), (2, 0, 3)], "BATCH_PART_GAP"),
        ([(2, 0, 3), (2, 1, 4)], "BATCH_PART_GAP"),
        ([(2, 0, 3), (3, 0, 1)], "BATCH_PART_GAP"),
        ([(2, 0, 3), (1, 0, 1)], "BATCH_PART_GAP"),
        ([(2, 0, limits.BATCH_PARTS_MAX + 1)], "BATCH_PART_GAP"),
        ([(2, 0, 0)], "BATCH_PART_GAP"),
        ([(3, 0, 2)], "BATCH_SEQ_GAP"),
    ],
    ids=["first", "gap", "repeated", "count", "next batch", "old batch", "too many", "none", "batch gap"],
)
async def test_a_wrong_part_stops_the_lane_behind_what_is_whole(
    lanes: Database, nats_connection: Client, wrong: Sequence[tuple[int, int, int]], reason: str
) -> None:
    await toys.send(nats_connection, 0, [1], 1)
    for batch_seq, part, parts in wrong:
        await toys.send(nats_connection, 0, [2], batch_seq, part, parts)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await _stops(lanes, reason)
    assert await toys.applied(lanes, 0) == [1]


async def test_a_large_batch_is_published_in_parts_that_a_reader_of_the_stream_can_tell(
    lanes: Database, nats_connection: Client
) -> None:
    await toys.send(nats_connection, 0, [1, 2, 3, 4, 5])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(part_values=2), lanes=1)):
        await _applied(lanes, [1, 2, 3, 4, 5])
        await toys.send(nats_connection, 0, [6])
        await _applied(lanes, [1, 2, 3, 4, 5, 6])
    assert await toys.published_parts(nats_connection, 0) == [
        (1, "0/3", [1, 2]),
        (1, "1/3", [3, 4]),
        (1, "2/3", [5]),
        (2, "0/1", [6]),
    ]
    assert await _one(lanes, "SELECT out_pos FROM lane") == 2


@pytest.mark.parametrize(
    ("fail_point", "on_stream"),
    [
        ("toy.after_part", {1}),
        ("toy.after_part:2", {2}),
        ("toy.after_part:3", {4}),
        ("toy.after_publish", {3}),
        ("toy.before_ack", {3, 4, 5, 6}),
    ],
)
async def test_a_publisher_killed_between_two_parts_loses_and_doubles_none(
    lanes: Database, nats_connection: Client, nats_access: NatsAccess, fail_point: str, on_stream: set[int]
) -> None:
    expected = [(pos, part, [10 * pos + part]) for pos in (1, 2) for part in range(3)]
    async with lanes.transaction() as tx:
        await tx.execute("INSERT INTO lane (role, lane, pos, next_seq) VALUES ('toy', 0, 2, 7)")
        for pos, part, values in expected:
            await tx.execute(
                "INSERT INTO lane_outbox (role, lane, pos, part, part_count, subject, payload)"
                " VALUES ('toy', 0, :pos, :part, 3, 'toy.out.0', :payload)",
                {"pos": pos, "part": part, "payload": json.dumps({"pos": pos, "values": values}).encode()},
            )
    await asyncio.to_thread(_run_until_killed, lanes, nats_access, fail_point)
    assert len(await toys.published_parts(nats_connection, 0)) in on_stream
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):

        async def known_as_published() -> bool:
            return await _one(lanes, "SELECT out_pos FROM lane") == 2

        await toys.until(known_as_published)
    out = await toys.published_parts(nats_connection, 0)
    assert out == [(pos, f"{part}/3", values) for pos, part, values in expected]


async def test_a_publisher_that_was_overtaken_in_mid_batch_is_refused_and_goes_on_behind_it(
    lanes: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(part_values=2), lanes=1)):
        await toys.send(nats_connection, 0, [1])

        async def first() -> bool:
            return len(await toys.published_parts(nats_connection, 0)) == 1

        await toys.until(first)
        # Another owner published the first part of batch 2 behind this publisher's back.
        headers = {"Apportion-Batch-Seq": "2", "Apportion-Batch-Part": "0/2"}
        await js.publish("toy.out.0", b'{"values": [2, 3], "pos": 2}', headers=headers)
        await toys.send(nats_connection, 0, [2, 3, 4])

        async def all_out() -> bool:
            return len(await toys.published_parts(nats_connection, 0)) >= 3

        await toys.until(all_out)
        await asyncio.sleep(SOME_STEPS_S)
    assert await toys.published_parts(nats_connection, 0) == [(1, "0/1", [1]), (2, "0/2", [2, 3]), (2, "1/2", [4])]


@pytest.mark.parametrize(
    "processor",
    [
        toys.ToyProcessor(padding=limits.OUTPUT_PART_BYTES_MAX),
        toys.ToyProcessor(part_values=1, max_weight=1000),
    ],
    ids=["part", "parts"],
)
async def test_an_output_above_the_limit_stops_its_lane_and_writes_nothing(
    lanes: Database, nats_connection: Client, processor: toys.ToyProcessor
) -> None:
    await toys.send(nats_connection, 0, list(range(limits.BATCH_PARTS_MAX + 1)))
    async with toys.running(toys.runner(lanes, nats_connection, processor, lanes=1)):
        await _stops(lanes, "OUTPUT_TOO_LARGE")
    assert await toys.applied(lanes, 0) == []
    assert await _one(lanes, "SELECT count(*) FROM lane_outbox") == 0
    assert await _one(lanes, "SELECT stream_seq FROM lane") == 0


@pytest.mark.parametrize("size", [1_048_576, 2_000_000], ids=["with headers", "alone"])
async def test_a_committed_batch_above_the_servers_limit_stops_its_lane_and_no_other(
    lanes: Database, nats_connection: Client, size: int
) -> None:
    async with lanes.transaction() as tx:
        await tx.execute("INSERT INTO lane (role, lane, pos, next_seq) VALUES ('toy', 0, 1, 2)")
        await tx.execute(
            "INSERT INTO lane_outbox (role, lane, pos, subject, payload) VALUES ('toy', 0, 1, 'toy.out.0', :payload)",
            {"payload": bytes(size)},
        )
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=2)):
        await _stops(lanes, "OUTPUT_TOO_LARGE")
        await toys.send(nats_connection, 1, [1])

        async def other_goes_on() -> bool:
            return await toys.published(nats_connection, 1) == [(1, [1])]

        await toys.until(other_goes_on)
    assert nats_connection.stats["reconnects"] == 0


async def test_a_batch_above_the_streams_limit_stops_a_lane_that_waits_for_room(
    lanes: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PUBLISH_BACKLOG", 1)
    js = nats_connection.jetstream()
    await js.delete_stream("TOY_OUT")
    await js.add_stream(name="TOY_OUT", subjects=["toy.out.*"], max_msg_size=1000)
    await toys.send(nats_connection, 0, [1])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(padding=2000), lanes=1)):
        await _stops(lanes, "OUTPUT_TOO_LARGE")
    assert await toys.applied(lanes, 0) == [1]


@pytest.mark.parametrize(
    "parts", [[(0, 2)], [(1, 2), (0, 2)], [(0, 2), (1, 3)], [(0, 1), (1, 2)]], ids=["few", "order", "count", "start"]
)
def test_outputs_whose_parts_are_not_in_order_are_never_stored(parts: Sequence[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r"[Pp]art"):
        check_outputs([LaneOutput(1, b"", part, part_count) for part, part_count in parts])
