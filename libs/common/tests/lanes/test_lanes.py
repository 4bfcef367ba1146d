"""The lane runtime against real PostgreSQL and NATS: order, fence, recovery, stops."""

from __future__ import annotations

import asyncio

import lane_toys as toys
import psycopg
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.engine import psycopg_url
from apportion_common.db.unit_of_work import Database
from nats.aio.client import Client
from sqlalchemy import text


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


async def _row(database: Database, lane: int) -> dict[str, object]:
    async with database.read() as connection:
        row = (
            await connection.execute(
                text("SELECT pos, out_pos, stopped_reason FROM lane WHERE role = 'toy' AND lane = :lane"),
                {"lane": lane},
            )
        ).one_or_none()
        return {"pos": None, "out_pos": None, "stopped_reason": None} if row is None else dict(row._mapping)


async def test_a_lane_keeps_the_order_of_its_stream_and_gives_places_without_gaps(
    lanes: Database, nats_connection: Client
) -> None:
    for start in range(0, 300, 3):
        await toys.send(nats_connection, 0, [start, start + 1, start + 2])
        await toys.send(nats_connection, 1, [1000 + start])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):

        async def done() -> bool:
            return len(await toys.applied(lanes, 0)) == 300 and len(await toys.applied(lanes, 1)) == 100

        await toys.until(done)
    assert await toys.applied(lanes, 0) == list(range(300))
    assert await toys.applied(lanes, 1) == [1000 + start for start in range(0, 300, 3)]


async def test_batches_are_published_once_in_the_order_of_their_numbers(
    lanes: Database, nats_connection: Client
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):
        for value in range(40):
            await toys.send(nats_connection, 0, [value])

        async def done() -> bool:
            return sum(len(values) for _, values in await toys.published(nats_connection, 0)) == 40

        await toys.until(done)
    out = await toys.published(nats_connection, 0)
    assert [batch_seq for batch_seq, _ in out] == list(range(1, len(out) + 1))
    assert [value for _, values in out for value in values] == list(range(40))


async def test_small_messages_are_taken_together_up_to_the_weight_of_a_transaction(
    lanes: Database, nats_connection: Client
) -> None:
    for value in range(120):
        await toys.send(nats_connection, 0, [value])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):

        async def done() -> bool:
            return len(await toys.applied(lanes, 0)) == 120

        await toys.until(done)
    row = await _row(lanes, 0)
    assert isinstance(row["pos"], int)
    assert row["pos"] < 120, "Messages were written one by one."
    async with lanes.read() as connection:
        largest = (
            await connection.execute(text("SELECT max(n) FROM (SELECT count(*) n FROM applied GROUP BY pos) b"))
        ).scalar_one()
    assert largest <= toys.MAX_WEIGHT


async def test_an_owner_that_lost_its_lane_in_mid_transaction_writes_nothing(
    lanes: Database, nats_connection: Client
) -> None:
    paused = asyncio.Event()
    slow = toys.ToyProcessor(pause_before_commit=paused)
    async with toys.running(toys.runner(lanes, nats_connection, slow, lanes=1)):
        await toys.send(nats_connection, 0, [1])

        async def inside() -> bool:
            async with lanes.read() as connection:
                held = await connection.execute(
                    text(
                        "SELECT 1 FROM pg_stat_activity"
                        " WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO applied%'"
                    )
                )
                return held.first() is not None

        await toys.until(inside)
        # Another owner takes the lane the hard way: it ends the paused session, as the server's time-out would.
        async with lanes.transaction() as tx:
            await tx.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO applied%'"
            )
            await tx.execute(
                "UPDATE lane SET epoch = epoch + 1, owner = 'other',"
                " lease_until = clock_timestamp() + interval '1 hour' WHERE role = 'toy'"
            )
        paused.set()

        async def given_up() -> bool:
            return 0 in slow.forgotten

        await toys.until(given_up)
        assert await toys.applied(lanes, 0) == []
        async with lanes.transaction() as tx:
            await tx.execute("UPDATE lane SET lease_until = '-infinity' WHERE role = 'toy'")

        async def taken_back() -> bool:
            return await toys.applied(lanes, 0) == [1]

        await toys.until(taken_back)


async def test_two_workers_share_the_lanes_and_write_each_number_once(lanes: Database, nats_connection: Client) -> None:
    one = toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="one", lanes=4)
    two = toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="two", lanes=4)
    async with toys.running(one), toys.running(two):
        for value in range(200):
            await toys.send(nats_connection, value % 4, [value])

        async def shared() -> bool:
            async with lanes.read() as connection:
                owners = await connection.execute(
                    text("SELECT owner, count(*) AS n FROM lane WHERE role = 'toy' GROUP BY owner")
                )
                return {row.owner: row.n for row in owners} == {"one": 2, "two": 2}

        await toys.until(shared)

        async def done() -> bool:
            return sum([len(await toys.applied(lanes, lane)) for lane in range(4)]) == 200

        await toys.until(done)
    for lane in range(4):
        assert await toys.applied(lanes, lane) == [value for value in range(200) if value % 4 == lane]


async def test_a_worker_that_is_shut_down_hands_its_lanes_on_at_once(lanes: Database, nats_connection: Client) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="one", lease_s=600)):
        await toys.send(nats_connection, 0, [1])

        async def done() -> bool:
            return await toys.applied(lanes, 0) == [1]

        await toys.until(done)
    await toys.send(nats_connection, 0, [2])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="two", lease_s=600)):

        async def both() -> bool:
            return await toys.applied(lanes, 0) == [1, 2]

        await toys.until(both)


async def test_what_was_committed_and_not_published_is_published_by_the_next_owner_once(
    lanes: Database, nats_connection: Client
) -> None:
    async with lanes.transaction() as tx:
        await tx.execute("INSERT INTO lane (role, lane, pos, next_seq, out_pos) VALUES ('toy', 0, 3, 4, 0)")
        for batch_seq in (1, 2, 3):
            await tx.execute(
                "INSERT INTO lane_outbox (role, lane, pos, subject, payload)"
                " VALUES ('toy', 0, :pos, 'toy.out.0', :payload)",
                {"pos": batch_seq, "payload": f'{{"values": [{batch_seq}], "pos": {batch_seq}}}'.encode()},
            )
    # The first of them had reached the stream before its publisher died.
    headers = {"Apportion-Batch-Seq": "1"}
    await nats_connection.jetstream().publish("toy.out.0", b'{"values": [1], "pos": 1}', headers=headers)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):

        async def done() -> bool:
            return len(await toys.published(nats_connection, 0)) == 3

        await toys.until(done)
        await asyncio.sleep(0.3)
    assert await toys.published(nats_connection, 0) == [(1, [1]), (2, [2]), (3, [3])]


async def test_a_paused_publisher_that_wakes_up_is_refused_by_the_stream(
    lanes: Database, nats_connection: Client
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await toys.send(nats_connection, 0, [1])

        async def first() -> bool:
            return len(await toys.published(nats_connection, 0)) == 1

        await toys.until(first)
        # The new owner published batch 2 behind this publisher's back.
        await nats_connection.jetstream().publish(
            "toy.out.0", b'{"values": [2], "pos": 2}', headers={"Apportion-Batch-Seq": "2"}
        )
        await toys.send(nats_connection, 0, [2])

        async def written() -> bool:
            return await toys.applied(lanes, 0) == [1, 2]

        await toys.until(written)
        await asyncio.sleep(0.5)
    assert await toys.published(nats_connection, 0) == [(1, [1]), (2, [2])]


async def test_batches_that_were_applied_before_are_dropped(lanes: Database, nats_connection: Client) -> None:
    for batch_seq, value in ((1, 10), (2, 20), (1, 10), (2, 20), (3, 30)):
        await toys.send(nats_connection, 0, [value], batch_seq)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):

        async def done() -> bool:
            return await toys.applied(lanes, 0) == [10, 20, 30]

        await toys.until(done)


async def test_a_gap_in_the_batch_numbers_stops_the_lane_and_no_other(lanes: Database, nats_connection: Client) -> None:
    await toys.send(nats_connection, 0, [10], 1)
    await toys.send(nats_connection, 0, [30], 3)
    await toys.send(nats_connection, 1, [10], 1)
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):

        async def stopped() -> bool:
            return (await _row(lanes, 0))["stopped_reason"] == "BATCH_SEQ_GAP" and await toys.applied(lanes, 1) == [10]

        await toys.until(stopped)
        await toys.send(nats_connection, 1, [20], 2)

        async def other_goes_on() -> bool:
            return await toys.applied(lanes, 1) == [10, 20]

        await toys.until(other_goes_on)
    assert await toys.applied(lanes, 0) == [10]


async def test_a_stream_that_was_made_anew_stops_the_lane(lanes: Database, nats_connection: Client) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await toys.send(nats_connection, 0, [1])

        async def done() -> bool:
            return await toys.applied(lanes, 0) == [1]

        await toys.until(done)
    await toys.make_streams(nats_connection)
    await toys.send(nats_connection, 0, [2])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):

        async def stopped() -> bool:
            return (await _row(lanes, 0))["stopped_reason"] == "STREAM_REWOUND"

        await toys.until(stopped)
    assert await toys.applied(lanes, 0) == [1]


async def test_an_output_stream_that_ends_before_what_was_published_stops_the_lane(
    lanes: Database, nats_connection: Client
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):
        await toys.send(nats_connection, 0, [1])

        async def marked() -> bool:
            return (await _row(lanes, 0))["out_pos"] == 1

        await toys.until(marked)
    assert await toys.published(nats_connection, 0) == [(1, [1])]
    await nats_connection.jetstream().purge_stream("TOY_OUT")
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=1)):

        async def stopped() -> bool:
            return (await _row(lanes, 0))["stopped_reason"] == "OUTPUT_REWOUND"

        await toys.until(stopped)
    assert await toys.applied(lanes, 0) == [1]


async def test_a_poison_number_does_not_block_its_lane(lanes: Database, nats_connection: Client) -> None:
    for start in range(0, 30, 3):
        await toys.send(nats_connection, 0, [start, start + 1, start + 2])
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(poison={13}), lanes=1)):

        async def done() -> bool:
            return len(await toys.applied(lanes, 0)) == 29

        await toys.until(done)
    assert await toys.applied(lanes, 0) == [value for value in range(30) if value != 13]


async def test_the_lanes_go_on_after_the_database_ended_every_session(lanes: Database, nats_connection: Client) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):
        for value in range(60):
            await toys.send(nats_connection, value % 2, [value])
            if value == 30:
                async with lanes.transaction() as tx:
                    await tx.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )

        async def done() -> bool:
            return sum([len(await toys.applied(lanes, lane)) for lane in range(2)]) == 60

        await toys.until(done)


@pytest.mark.parametrize("place", ["within a copy", "behind a pipeline"])
async def test_a_worker_that_is_paused_where_no_time_limit_counts_keeps_neither_its_lane_nor_the_others(
    lanes: Database, nats_connection: Client, place: str
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):
        pass
    for lane in range(2):
        await toys.send(nats_connection, lane, [1, 2, 3])
    url = psycopg_url(lanes.engine.url.render_as_string(hide_password=False))
    async with lanes.read() as connection:
        service = (await connection.execute(text("SELECT current_setting('application_name')"))).scalar_one()
    paused = await psycopg.AsyncConnection.connect(url, application_name=f"{service}/paused")
    await paused.execute("SET idle_in_transaction_session_timeout = 100")
    await paused.execute("SELECT 1 FROM lane WHERE role = 'toy' AND lane = 0 FOR NO KEY UPDATE")
    if place == "within a copy":
        # No row is ever sent: PostgreSQL waits for its client within the statement, which no time limit ends.
        await paused.cursor().copy("COPY applied FROM STDIN").__aenter__()
    else:
        # The driver sends a message behind the last statement's end, at which the server forgets the time limit.
        async with paused.pipeline():
            await paused.execute("SELECT 1")
    try:
        async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="other")):

            async def taken_over() -> bool:
                return len(await toys.applied(lanes, 0)) == len(await toys.applied(lanes, 1)) == 3

            await toys.until(taken_over)
    finally:
        await paused.close()


def test_a_lease_is_longer_than_the_time_after_which_a_paused_transaction_is_ended() -> None:
    from apportion_common.db.engine import IDLE_IN_TRANSACTION_TIMEOUT_MS
    from apportion_common.settings import ServiceSettings

    lease_s = ServiceSettings.model_fields["lane_lease_s"].default
    assert lease_s * 1000 >= 3 * IDLE_IN_TRANSACTION_TIMEOUT_MS
