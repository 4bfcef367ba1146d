"""Intake to accepted batch through a real stream, with the lane runtime: order, commit answers, restarts, controls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest
from apportion.ledger.v1.lane_pb2 import PostedBatch
from apportion.metering.v1 import lane_pb2
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_client.lane_messages import expand_accepted
from apportion_common.errors import Unavailable
from apportion_common.ids import event_id, lane_of
from apportion_common.topology import POSTED_RECEIPTS_ROLE, RATED_RECEIPTS_ROLE, WRITER_ROLE
from apportion_metering.domain.dead_letters import DeadLetterFilter
from metering_harness import (
    ORG,
    OTHER_ORG,
    MeteringHarness,
    close_period,
    intake_event,
    intake_message,
    requeue,
    usage_event,
)

LANE = lane_of(ORG.bytes)


async def accepted(metering: MeteringHarness, lane: int) -> list[lane_pb2.AcceptedBatch]:
    raw = await metering.published("METERING_OUT", f"metering.accepted.{lane}")
    return [expand_accepted(lane_pb2.AcceptedBatch.FromString(item)) for item in raw]


async def until_published(metering: MeteringHarness) -> None:
    """Wait until every committed batch is on the stream."""

    async def published() -> bool:
        (row,) = await metering.rows("SELECT sum(pos) AS batches FROM lane WHERE role = 'metering_writer'")
        return (await metering.js.stream_info("METERING_OUT")).state.messages == row.batches

    await metering.until(published)


async def test_committed_tells_accepted_duplicate_and_mismatch_apart(metering: MeteringHarness):
    async with metering.worker("one"):
        first = await metering.take([usage_event("a"), usage_event("b"), usage_event("a")], committed=True)
        assert (first.accepted_count, first.duplicate_count) == (2, 1)
        assert first.outcomes == [(2, lane_pb2.ENTRY_OUTCOME_DUPLICATE)]
        other = usage_event("c", org=OTHER_ORG)
        again = await metering.take([usage_event("a"), usage_event("b", quantity="2"), other], committed=True)
        assert (again.accepted_count, again.duplicate_count, again.mismatch_count) == (1, 1, 1)
        assert again.outcomes == [(0, lane_pb2.ENTRY_OUTCOME_DUPLICATE), (1, lane_pb2.ENTRY_OUTCOME_PAYLOAD_MISMATCH)]


async def test_a_readable_and_a_compact_event_of_one_use_are_duplicates(metering: MeteringHarness):
    request_id = uuid4()
    readable = usage_event(str(request_id), quantity="1.50")
    compact = pb.CompactUsageEvent(
        org_id=ORG.bytes,
        request_id=request_id.bytes,
        sku="ACT-SMS",
        quantity_unscaled=15,
        quantity_scale=1,
        event_time_us=readable.event_time.seconds * 10**6,
    )
    async with metering.worker("one"):
        result = await metering.take([readable], [compact], committed=True)
    assert (result.accepted_count, result.duplicate_count) == (1, 1)


async def test_committed_without_a_writer_is_unknown_and_the_events_are_stored_later(metering: MeteringHarness):
    with pytest.raises(Unavailable) as caught:
        await metering.take([usage_event("a")], committed=True, wait_s=0.3)
    assert caught.value.reason == "COMMIT_UNKNOWN"
    async with metering.worker("one"):
        again = await metering.take([usage_event("a")], committed=True)
        assert (again.accepted_count, again.duplicate_count) == (0, 1)


async def test_enqueued_events_are_stored_once_however_often_they_are_sent(metering: MeteringHarness):
    events = [usage_event(f"r-{n}", org=UUID(int=n % 40 + 1)) for n in range(2_000)]
    for _ in range(2):
        result = await metering.take(events)
        assert result.accepted_count == 2_000
    async with metering.worker("one"):
        await metering.until_written(2_000)
        status = await metering.lanes.status()
        assert status.event_count == 2_000
        assert status.stream.is_durable
        assert not status.drained
    stored = await metering.rows(
        "SELECT count(*) AS n, count(DISTINCT (org_id, request_id)) AS keys FROM metering_event"
    )
    assert tuple(stored[0]) == (2_000, 2_000)


async def test_two_workers_share_the_lanes_and_seq_and_pos_have_no_gap(metering: MeteringHarness):
    orgs = [UUID(int=n + 1) for n in range(64)]
    sent = 0

    async def shared() -> bool:
        owners = await metering.rows("SELECT count(DISTINCT owner) AS n FROM lane WHERE role = 'metering_writer'")
        return owners[0].n == 2

    async with AsyncExitStack() as workers:
        await workers.enter_async_context(metering.worker("one"))
        for part in range(6):
            await metering.take([usage_event(f"{part}-{n}", org=orgs[n % 64]) for n in range(512)])
            sent += 512
            if part == 1:
                await metering.until_written(sent // 2)
                await workers.enter_async_context(metering.worker("two"))
            elif part == 3:
                await metering.until(shared)
        await metering.until_written(sent)
        await until_published(metering)
    rows = await metering.rows("SELECT lane, array_agg(seq ORDER BY seq) AS seqs FROM metering_event GROUP BY lane")
    for row in rows:
        assert row.seqs == list(range(1, len(row.seqs) + 1))
    journal = await metering.rows(
        "SELECT lane, array_agg(pos ORDER BY pos) AS numbers, max(seq_to) AS last, sum(event_count) AS events,"
        " max(event_total) AS total FROM lane_journal GROUP BY lane"
    )
    assert sum(row.events for row in journal) == sent
    for row in journal:
        assert row.numbers == list(range(1, len(row.numbers) + 1))
        assert row.last == row.events == row.total
        batches = await accepted(metering, row.lane)
        assert [batch.batch_seq for batch in batches] == row.numbers
        assert [entry.entry_seq for batch in batches for entry in batch.entries] == list(range(1, row.last + 1))


async def test_the_order_of_an_organisation_is_the_order_of_its_calls(metering: MeteringHarness):
    for part in range(5):
        await metering.take([usage_event(f"{part:02}-{n:04}") for n in range(300)])
    async with metering.worker("one"):
        await metering.until_written(1_500)
    rows = await metering.rows("SELECT request_id FROM metering_event ORDER BY seq")
    assert [row.request_id for row in rows] == sorted(row.request_id for row in rows)


async def test_a_restarted_worker_goes_on_where_it_stopped(metering: MeteringHarness):
    for part in range(3):
        await metering.take([usage_event(f"{part}-{n}") for n in range(100)])
        async with metering.worker("same"):
            await metering.until_written((part + 1) * 100)
        await metering.take([usage_event(f"{part}-{n}") for n in range(100)])
    async with metering.worker("same"):
        await metering.take([usage_event("last")], committed=True)
    assert (await metering.lanes.status()).event_count == 301


async def test_a_message_that_cannot_be_read_does_not_stop_its_lane(metering: MeteringHarness):
    await metering.take([usage_event("a")])
    await metering.js.publish(f"metering.in.{LANE}", b"\xff\xfe not a message")
    await metering.take([usage_event("b")])
    async with metering.worker("one"):
        await metering.until_written(2)
    letters = await metering.rows("SELECT reason, payload FROM dead_letter")
    assert [(letter.reason, bytes(letter.payload)) for letter in letters] == [
        ("UNDECODABLE", b"\xff\xfe not a message")
    ]


async def test_an_event_that_the_database_refuses_does_not_stop_its_lane(metering: MeteringHarness):
    poison = intake_message(intake_event("a"), intake_event("poison", metadata={"k": "\0"}), intake_event("b"))
    await metering.js.publish(f"metering.in.{LANE}", poison.SerializeToString())
    await metering.take([usage_event("c")])
    async with metering.worker("one"):
        await metering.until_written(3)
    letters = await metering.rows("SELECT reason, request_id FROM dead_letter")
    assert [tuple(letter) for letter in letters] == [("PROCESSING_FAILED", "poison")]
    rows = await metering.rows("SELECT seq FROM metering_event ORDER BY seq")
    assert [row.seq for row in rows] == [1, 2, 3]


async def test_receipts_tell_how_far_an_event_has_come_and_a_requeue_is_charged_once(metering: MeteringHarness):
    async def states(*ids: str) -> list[tuple[str, str]]:
        return [(event.state.name, event.reason) for event in await metering.parts.usage_events.status(ORG, ids)]

    async with metering.worker("one", (WRITER_ROLE, RATED_RECEIPTS_ROLE, POSTED_RECEIPTS_ROLE)):
        await metering.take([usage_event("good"), usage_event("bad")], committed=True)
        assert await states("good", "bad", "never") == [("ACCEPTED", ""), ("ACCEPTED", ""), ("UNKNOWN", "")]
        rated = RatedBatch(lane=LANE, batch_seq=1, catalog_revision=1, orgs_revision=1, entry_count=2)
        rated.rejections.add(event_id=event_id(ORG.bytes, "bad"), org_id=ORG.bytes, entry_seq=2, reason="UNKNOWN_SKU")
        await metering.js.publish(f"pricing.rated.{LANE}", rated.SerializeToString())

        async def refused() -> bool:
            return await states("good", "bad") == [("RATED", ""), ("DEAD_LETTERED", "UNKNOWN_SKU")]

        await metering.until(refused)
        assert (await metering.lanes.status()).open_dead_letters == {"UNKNOWN_SKU": 1}
        await metering.js.publish(f"ledger.posted.{LANE}", PostedBatch(lane=LANE, batch_seq=1).SerializeToString())

        async def drained() -> bool:
            return (await metering.lanes.status()).drained

        await metering.until(drained)
        assert await states("good") == [("POSTED", "")]
        for _ in range(2):
            await requeue(metering.dead_letters, DeadLetterFilter(org_id=ORG))
        assert not await drained()

        async def published() -> bool:
            return len(await accepted(metering, LANE)) >= 2

        await metering.until(published)
        await asyncio.sleep(0.5)
        batches = await accepted(metering, LANE)
        assert [[entry.entry_seq for entry in batch.entries] for batch in batches] == [[1, 2], [3]]
        assert await states("bad") == [("ACCEPTED", "")]
        for subject, batch in (
            ("pricing.rated", RatedBatch(lane=LANE, batch_seq=2, entry_count=1)),
            ("ledger.posted", PostedBatch(lane=LANE, batch_seq=2)),
        ):
            await metering.js.publish(f"{subject}.{LANE}", batch.SerializeToString())
        await metering.until(drained)
        assert await states("bad") == [("POSTED", "")]


async def test_closing_a_period_reaches_every_lane_or_those_of_the_named_organisations(metering: MeteringHarness):
    assert await close_period(metering.periods, "2013-01", [ORG, OTHER_ORG], force=True) == sorted([ORG, OTHER_ORG])
    assert await close_period(metering.periods, "2012-12", [], force=True) == []
    async with metering.worker("one"):

        async def committed() -> bool:
            (row,) = await metering.rows("SELECT sum(next_seq - 1) AS n FROM lane WHERE role = 'metering_writer'")
            return row.n == 34

        await metering.until(committed)
        await until_published(metering)
    closes = [
        (entry.period_close.period, entry.period_close.org_id)
        for lane in {LANE, lane_of(OTHER_ORG.bytes)}
        for batch in await accepted(metering, lane)
        for entry in batch.entries
    ]
    assert ("2013-01", ORG.bytes) in closes
    assert ("2013-01", OTHER_ORG.bytes) in closes
    assert ("2012-12", b"") in closes
    (audit, *_) = await metering.rows("SELECT action, resource FROM audit_entry ORDER BY resource")
    assert tuple(audit) == ("period.close", "period/2012-12")


async def test_lanes_taken_away_in_mid_load_lose_and_double_nothing(metering: MeteringHarness):
    sent = 0
    async with metering.worker("one"), metering.worker("two"):
        for part in range(8):
            await metering.take([usage_event(f"{part}-{n}", org=UUID(int=n % 64 + 1)) for n in range(512)])
            sent += 512
            async with metering.database.transaction() as tx:
                # As if another worker had taken and lost every lane: whoever worked it now remembers a dead epoch.
                # In an order: the workers hold rows too, and may wait for one that this holds already.
                await tx.execute(
                    "UPDATE lane SET epoch = epoch + 1, lease_until = '-infinity', owner = 'thief'"
                    " FROM (SELECT role, lane FROM lane ORDER BY role, lane FOR NO KEY UPDATE) AS held"
                    " WHERE lane.role = held.role AND lane.lane = held.lane"
                )
            await asyncio.sleep(0.2)
        await metering.until_written(sent)
        await until_published(metering)
    rows = await metering.rows("SELECT lane, array_agg(seq ORDER BY seq) AS seqs FROM metering_event GROUP BY lane")
    assert sum(len(row.seqs) for row in rows) == sent
    for row in rows:
        assert row.seqs == list(range(1, len(row.seqs) + 1))
        batches = await accepted(metering, row.lane)
        assert [entry.entry_seq for batch in batches for entry in batch.entries] == row.seqs
