"""The writer's rules, on a real database: what counts, what does not, and in which order (spec 04)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from apportion.ledger.v1.lane_pb2 import PostedBatch
from apportion.metering.v1 import lane_pb2
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_common.errors import FailedPrecondition
from apportion_common.ids import event_id
from apportion_common.lanes.model import LaneMessage, LanePosition
from apportion_common.topology import (
    CORRECTION_BELOW_ZERO,
    NO_ENTITLEMENT,
    PERIOD_CLOSED,
    PROCESSING_FAILED,
    UNKNOWN_ORG,
    UNKNOWN_SKU,
)
from apportion_dev.testing.locks import until_it_waits
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_metering.consumers.receipts import PostedReceipts, RatedReceipts
from apportion_metering.domain.dead_letters import DeadLetterFilter
from apportion_metering.domain.dedupe import ACCEPTED, DEAD_LETTERED, DUPLICATE, MISMATCH
from apportion_metering.store.dead_letters import DeadLetterStore
from apportion_metering.store.events import KeyTaken
from apportion_metering.store.journal import JournalEntry, JournalStore, PostedReceipt, RatedReceipt
from metering_harness import NOW_US, ORG, OTHER_ORG, LaneHarness, discard, intake_event, intake_message, requeue

MINUTE_US = 60_000_000


def requeue_message(letter: UUID, attempt: int, received_at_us: int = NOW_US) -> lane_pb2.IntakeMessage:
    message = lane_pb2.IntakeMessage(received_at_us=received_at_us)
    message.entries.add().requeue.MergeFrom(lane_pb2.Requeue(dead_letter_id=letter.bytes, attempt=attempt))
    return message


async def outcomes_of(bench: LaneHarness, message: lane_pb2.IntakeMessage) -> list[int]:
    """Write a message and give what its sender would be told."""
    told: list[bytes] = []

    class Ear:
        async def send(self, subject: str, payload: bytes) -> None:
            told.append(payload)

    message.reply_to = "somewhere"
    bench.writer._replies = Ear()
    await bench.write(message)
    return list(lane_pb2.CommitReport.FromString(told[0]).outcomes)


async def the_letter(bench: LaneHarness):
    (letter,) = await bench.rows("SELECT * FROM dead_letter")
    return letter


async def test_an_event_is_stored_at_its_place_with_every_field(bench: LaneHarness):
    event = intake_event("a", quantity=-12, metadata={"colour": "grün", "b": "2"})
    event.project_id = OTHER_ORG.bytes
    batch = await bench.write(intake_message(event))
    (row,) = await bench.rows("SELECT * FROM metering_event")
    assert (row.org_id, row.project_id, row.sku, row.request_id) == (ORG, OTHER_ORG, "ACT-SMS", "a")
    assert str(row.quantity) == "-12.000000000"
    assert row.event_time.timestamp() * 1e6 == NOW_US
    assert row.received_at.timestamp() * 1e6 == NOW_US
    assert (row.lane, row.pos, row.seq, row.source) == (bench.lane, 1, 1, 2)
    assert row.metadata == {"colour": "grün", "b": "2"}
    assert row.event_id.bytes == event_id(ORG.bytes, "a")
    (entry,) = batch.entries
    assert entry.entry_seq == 1
    assert entry.usage == lane_pb2.AcceptedUsage(
        event_id=row.event_id.bytes,
        org_id=ORG.bytes,
        project_id=OTHER_ORG.bytes,
        sku="ACT-SMS",
        quantity=event.quantity,
        event_time_us=NOW_US,
    )


@pytest.mark.parametrize("scaled", [0, 1, -1, 10**9, 9999 * 10**9, 10**18 + 1, 10**27 - 1, 1 - 10**27, 120_000])
async def test_a_quantity_is_stored_to_its_last_digit(bench: LaneHarness, scaled: int):
    event = intake_event("a")
    event.quantity = scaled.to_bytes(13, "big", signed=True)
    await bench.write(intake_message(event))
    (row,) = await bench.rows("SELECT quantity FROM metering_event")
    assert row.quantity.as_tuple().exponent == -9
    assert int(row.quantity.scaleb(9)) == scaled


async def test_a_duplicate_within_a_batch_counts_once(bench: LaneHarness):
    event = intake_event("a")
    assert await outcomes_of(bench, intake_message(event, event, intake_event("b"))) == [ACCEPTED, DUPLICATE, ACCEPTED]
    assert [r.seq for r in await bench.rows("SELECT seq FROM metering_event ORDER BY seq")] == [1, 2]


async def test_a_duplicate_of_an_earlier_batch_counts_once_and_takes_no_place(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    assert await outcomes_of(bench, intake_message(intake_event("a"), intake_event("b"))) == [DUPLICATE, ACCEPTED]
    assert [r.seq for r in await bench.rows("SELECT seq FROM metering_event ORDER BY seq")] == [1, 2]


async def test_a_duplicate_is_known_after_a_restart(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    restarted = LaneHarness(bench.database, position=bench.position)
    assert await outcomes_of(restarted, intake_message(intake_event("a"))) == [DUPLICATE]
    assert len(await bench.rows("SELECT 1 FROM metering_event")) == 1


async def test_the_same_id_in_two_organisations_is_two_events(bench: LaneHarness):
    batch = await bench.write(intake_message(intake_event("a"), intake_event("a", org=OTHER_ORG)))
    assert len({entry.usage.event_id for entry in batch.entries}) == 2


async def test_a_batch_of_duplicates_is_published_empty_so_that_pos_has_no_gap(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    batch = await bench.write(intake_message(intake_event("a")))
    assert (batch.batch_seq, list(batch.entries)) == (2, [])
    (row,) = await bench.rows("SELECT * FROM lane_journal WHERE pos = 2")
    assert (row.seq_from, row.seq_to, row.event_count, row.event_total) == (2, 1, 0, 1)


async def test_other_content_under_a_known_id_is_a_dead_letter_and_the_first_stands(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a", quantity=1)))
    assert await outcomes_of(bench, intake_message(intake_event("a", quantity=2))) == [MISMATCH]
    letter = await the_letter(bench)
    assert (letter.reason, letter.state, letter.request_id) == ("PAYLOAD_MISMATCH", "open", "a")
    (row,) = await bench.rows("SELECT quantity FROM metering_event")
    assert row.quantity == 1


async def test_a_mismatch_within_one_batch_is_found_too(bench: LaneHarness):
    message = intake_message(
        intake_event("a", quantity=1), intake_event("a", quantity=2), intake_event("a", quantity=1)
    )
    assert await outcomes_of(bench, message) == [ACCEPTED, MISMATCH, DUPLICATE]


async def test_a_mismatch_sent_again_makes_no_second_dead_letter(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a", quantity=1)))
    for _ in range(2):
        assert await outcomes_of(bench, intake_message(intake_event("a", quantity=2))) == [MISMATCH]
    assert await outcomes_of(bench, intake_message(intake_event("a", quantity=3))) == [MISMATCH]
    assert len(await bench.rows("SELECT 1 FROM dead_letter")) == 2


async def test_an_event_five_minutes_ahead_is_taken_and_a_later_one_is_a_dead_letter(bench: LaneHarness):
    within = intake_event("a", at_us=NOW_US + 5 * MINUTE_US)
    beyond = intake_event("b", at_us=NOW_US + 5 * MINUTE_US + 1)
    assert await outcomes_of(bench, intake_message(within, beyond)) == [ACCEPTED, DEAD_LETTERED]
    letter = await the_letter(bench)
    assert (letter.reason, letter.request_id) == ("EVENT_IN_FUTURE", "b")
    assert len(await bench.rows("SELECT 1 FROM metering_event")) == 1


async def test_the_id_of_an_event_in_the_future_is_claimed(bench: LaneHarness):
    ahead = intake_event("a", at_us=NOW_US + 6 * MINUTE_US)
    later = NOW_US + 10 * MINUTE_US
    await bench.write(intake_message(ahead))
    assert await outcomes_of(bench, intake_message(ahead, received_at_us=later)) == [DUPLICATE]
    assert await outcomes_of(bench, intake_message(intake_event("a"), received_at_us=later)) == [MISMATCH]
    assert await bench.rows("SELECT 1 FROM metering_event") == []


async def test_an_event_in_the_future_requeued_in_time_is_stored_once(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a", at_us=NOW_US + 6 * MINUTE_US)))
    assert await requeue(bench.dead_letters) == 1
    letter = await the_letter(bench)
    early = await bench.write(requeue_message(letter.dead_letter_id, 1))
    assert list(early.entries) == []
    assert ((await the_letter(bench)).state, (await the_letter(bench)).attempts) == ("open", 2)
    assert await requeue(bench.dead_letters) == 1
    batch = await bench.write(requeue_message(letter.dead_letter_id, 2, NOW_US + 10 * MINUTE_US))
    assert [entry.entry_seq for entry in batch.entries] == [1]
    (row,) = await bench.rows(
        "SELECT e.seq, k.seq AS key_seq FROM metering_event e JOIN metering_event_key k USING (org_id, request_id)"
    )
    assert (row.seq, row.key_seq) == (1, 1)
    assert (await bench.rows("SELECT event_total FROM lane_journal ORDER BY pos DESC LIMIT 1"))[0].event_total == 1


def rejecting(bench: LaneHarness, batch_seq: int, request_id: str, reason: str, entry_seq: int) -> bytes:
    batch = RatedBatch(lane=bench.lane, batch_seq=batch_seq, catalog_revision=3, orgs_revision=4, entry_count=1)
    batch.rejections.add(
        event_id=event_id(ORG.bytes, request_id),
        org_id=ORG.bytes,
        entry_seq=entry_seq,
        reason=reason,
        detail="said pricing",
    )
    return batch.SerializeToString()


@pytest.mark.parametrize(
    "reason",
    [UNKNOWN_ORG, UNKNOWN_SKU, NO_ENTITLEMENT, PERIOD_CLOSED, CORRECTION_BELOW_ZERO, PROCESSING_FAILED],
)
async def test_a_rejection_becomes_a_dead_letter_with_the_event_as_it_came(bench: LaneHarness, reason: str):
    event = intake_event("a", quantity=3, metadata={"k": "v"})
    await bench.write(intake_message(event, intake_event("b")))
    await bench.receive(bench.rated, rejecting(bench, 1, "a", reason, 1))
    letter = await the_letter(bench)
    assert (letter.reason, letter.detail, letter.state, letter.seq) == (reason, "said pricing", "open", 1)
    assert lane_pb2.IntakeEvent.FromString(letter.payload) == event
    (row,) = await bench.rows("SELECT * FROM lane_journal")
    assert (row.catalog_revision, row.orgs_revision, row.refusal_count) == (3, 4, 1)
    assert row.rated_at is not None


async def test_a_requeue_takes_a_new_place_and_a_second_one_of_the_same_attempt_does_nothing(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a"), intake_event("b")))
    await bench.receive(bench.rated, rejecting(bench, 1, "a", "UNKNOWN_SKU", 1))
    assert await requeue(bench.dead_letters) == 1
    assert await requeue(bench.dead_letters) == 0
    letter = (await the_letter(bench)).dead_letter_id
    batch = await bench.write(requeue_message(letter, 1), requeue_message(letter, 1))
    assert [(e.entry_seq, e.usage.event_id) for e in batch.entries] == [(3, event_id(ORG.bytes, "a"))]
    again = await bench.write(requeue_message(letter, 1), intake_message(intake_event("a")))
    assert list(again.entries) == []
    (key,) = await bench.rows("SELECT pos, seq FROM metering_event_key WHERE request_id = 'a'")
    assert (key.pos, key.seq) == (2, 3)
    assert len(await bench.rows("SELECT 1 FROM metering_event")) == 2


async def test_a_requeue_that_is_rejected_again_opens_the_same_dead_letter(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    await bench.receive(bench.rated, rejecting(bench, 1, "a", "UNKNOWN_SKU", 1))
    await requeue(bench.dead_letters)
    letter = (await the_letter(bench)).dead_letter_id
    await bench.write(requeue_message(letter, 1))
    await bench.receive(bench.rated, rejecting(bench, 2, "a", "NO_ENTITLEMENT", 2))
    row = await the_letter(bench)
    assert (row.state, row.attempts, row.reason, row.requeue_attempt) == ("open", 2, "NO_ENTITLEMENT", 1)
    stale = await bench.write(requeue_message(letter, 1))
    assert list(stale.entries) == []


async def test_a_requeue_of_an_older_attempt_that_comes_late_does_nothing(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    await bench.receive(bench.rated, rejecting(bench, 1, "a", "UNKNOWN_SKU", 1))
    letter = (await the_letter(bench)).dead_letter_id
    for batch_seq in (2, 3):
        await requeue(bench.dead_letters)
        if batch_seq == 2:
            await bench.write(requeue_message(letter, 1))
            await bench.receive(bench.rated, rejecting(bench, 2, "a", "UNKNOWN_SKU", 2))
    assert list((await bench.write(requeue_message(letter, 1))).entries) == []
    assert [e.entry_seq for e in (await bench.write(requeue_message(letter, 2))).entries] == [3]


async def test_a_mismatch_and_what_cannot_be_read_are_never_requeued(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a", quantity=1), intake_event("a", quantity=2)), b"\xff\xff")
    assert await requeue(bench.dead_letters) == 0
    assert {r.reason for r in await bench.rows("SELECT reason FROM dead_letter WHERE state = 'open'")} == {
        "PAYLOAD_MISMATCH",
        "UNDECODABLE",
    }


async def test_a_discarded_dead_letter_is_closed_for_good_with_its_reason_and_audited(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a", at_us=NOW_US + 6 * MINUTE_US)))
    assert await discard(bench.dead_letters, DeadLetterFilter(reason="EVENT_IN_FUTURE"), "a test") == 1
    assert await requeue(bench.dead_letters) == 0
    row = await the_letter(bench)
    assert (row.state, row.discard_reason) == ("discarded", "a test")
    (audit,) = await bench.rows("SELECT * FROM audit_entry")
    assert (audit.action, audit.after["count"], audit.after["reason"]) == ("dead_letter.discard", 1, "a test")


async def test_a_period_close_passes_through_with_a_place_of_its_own(bench: LaneHarness):
    message = intake_message(intake_event("a"))
    message.entries.add().period_close.period = "2013-01"
    message.entries.add().event.CopyFrom(intake_event("b"))
    batch = await bench.write(message)
    assert [(e.entry_seq, e.WhichOneof("kind")) for e in batch.entries] == [
        (1, "usage"),
        (2, "period_close"),
        (3, "usage"),
    ]
    assert batch.entries[1].period_close.period == "2013-01"
    (row,) = await bench.rows("SELECT * FROM lane_journal")
    assert (row.seq_from, row.seq_to, row.event_count) == (1, 3, 2)


async def test_a_message_that_cannot_be_read_is_one_raw_dead_letter_and_the_lane_goes_on(bench: LaneHarness):
    batch = await bench.write(intake_message(intake_event("a")), b"\xff\xff", intake_message(intake_event("b")))
    assert [e.entry_seq for e in batch.entries] == [1, 2]
    letter = await the_letter(bench)
    assert (letter.reason, letter.payload, letter.org_id) == ("UNDECODABLE", b"\xff\xff", None)


async def test_an_entry_without_what_every_entry_has_is_dead_lettered_alone(bench: LaneHarness):
    bad = intake_event("b")
    bad.org_id = b"short"
    no_hash = intake_event("c")
    no_hash.content_hash = b""
    message = intake_message(intake_event("a"), bad, no_hash, intake_event("d"))
    message.entries.add()
    assert await outcomes_of(bench, message) == [ACCEPTED, DEAD_LETTERED, DEAD_LETTERED, ACCEPTED, DEAD_LETTERED]
    assert [r.reason for r in await bench.rows("SELECT reason FROM dead_letter")] == ["UNDECODABLE"] * 3


async def test_an_entry_that_the_database_refuses_is_dead_lettered_alone_and_its_id_claimed(bench: LaneHarness):
    poison = intake_event("p", metadata={"k": "\0"})
    message = intake_message(*(intake_event(str(n)) for n in range(5)), poison, intake_event("last"))
    with pytest.raises(Exception, match="unsupported Unicode") as caught:
        await bench.write(message)
    batch = await bench.bisect(message, caught.value)
    assert [e.entry_seq for e in batch.entries] == [1, 2, 3, 4, 5, 6]
    letter = await the_letter(bench)
    assert (letter.reason, letter.request_id, letter.state) == ("PROCESSING_FAILED", "p", "open")
    assert await outcomes_of(bench, intake_message(poison)) == [DUPLICATE]


async def test_an_entry_whose_very_id_the_database_refuses_is_kept_as_raw_bytes(bench: LaneHarness):
    poison = intake_event("p\0p")
    batch = await bench.bisect(intake_message(intake_event("a"), poison), ValueError())
    assert [e.entry_seq for e in batch.entries] == [1]
    letter = await the_letter(bench)
    assert (letter.reason, letter.org_id) == ("PROCESSING_FAILED", None)
    assert lane_pb2.IntakeEntry.FromString(letter.payload).event == poison


async def test_an_id_claimed_between_probe_and_copy_is_probed_again(bench: LaneHarness):
    event = intake_event("a")
    await bench.write(intake_message(event))
    real, asked = bench.events.known, []

    async def blind_once(tx, names):
        asked.append(names)
        return {} if len(asked) == 1 else await real(tx, names)

    bench.events.known = blind_once
    assert await outcomes_of(bench, intake_message(event, intake_event("b"))) == [DUPLICATE, ACCEPTED]
    assert [r.seq for r in await bench.rows("SELECT seq FROM metering_event ORDER BY seq")] == [1, 2]
    assert issubclass(KeyTaken, Exception)


async def test_the_ledgers_receipt_goes_into_the_journal_and_its_conflict_becomes_a_dead_letter(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    posted = PostedBatch(lane=bench.lane, batch_seq=1, ledger_revision=7, line_count=1, lines_digest=bytes(32))
    posted.conflicts.add(
        charge_id=bytes(16), event_id=event_id(ORG.bytes, "a"), org_id=ORG.bytes, entry_seq=1, detail="amount"
    )
    await bench.receive(bench.posted, posted.SerializeToString())
    (row,) = await bench.rows("SELECT * FROM lane_journal")
    assert (row.ledger_revision, row.line_count, bytes(row.lines_digest)) == (7, 1, bytes(32))
    letter = await the_letter(bench)
    assert (letter.reason, letter.detail) == ("PROCESSING_FAILED", "CHARGE_CONFLICT: amount")


async def test_a_receipt_that_cannot_be_read_is_refused_and_never_stepped_over(bench: LaneHarness):
    await bench.write(intake_message(intake_event("a")))
    position = LanePosition(bench.lane, 0, 1)
    for processor in (bench.rated, bench.posted):
        value, weight = processor.decode(b"\xff\xff")
        assert processor.batch_seq_of(value) is None
        message = LaneMessage(1, b"\xff\xff", value, weight)
        with pytest.raises(FailedPrecondition) as refused:
            async with bench.database.transaction() as tx:
                await processor.process(tx, [(position, [message])])
        assert refused.value.reason == "RECEIPT_UNREADABLE"
        with pytest.raises(FailedPrecondition) as again:
            async with bench.database.transaction() as tx:
                await processor.process_failed(tx, position, message, refused.value)
        assert again.value is refused.value
    assert await bench.rows("SELECT 1 FROM dead_letter") == []


async def test_traces_of_several_calls_go_on_with_their_entries(bench: LaneHarness):
    first, second = intake_message(intake_event("a"), intake_event("b")), intake_message(intake_event("c"))
    first.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    second.traceparent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    batch = await bench.write(first, second)
    assert [(r.first, r.count) for r in batch.traces] == [(0, 2), (2, 1)]


@pytest.mark.parametrize("operation", ["requeue", "discard"])
async def test_dead_letters_are_locked_in_the_order_of_their_ids_whatever_theirs_is(
    service_database: MakeServiceDatabase, operation: str
):
    place = service_database("metering")
    bench = LaneHarness(place.database())
    early, late = UUID(int=1), UUID(int=2)
    lock = "SELECT FROM dead_letter WHERE dead_letter_id = :id FOR UPDATE NOWAIT"
    async with bench.database.transaction() as tx:
        for letter in (late, early):
            await tx.execute(
                "INSERT INTO dead_letter (dead_letter_id, reason, payload, lane) VALUES (:id, 'UNKNOWN_SKU', '', 0)",
                {"id": letter},
            )

    async def work() -> int:
        if operation == "requeue":
            return await requeue(bench.dead_letters)
        return await discard(bench.dead_letters, DeadLetterFilter(reason="UNKNOWN_SKU"), "a test")

    async with bench.database.transaction() as tx:
        await tx.execute(lock, {"id": early})
        working = asyncio.create_task(work())
        await until_it_waits(place, working)
        await tx.execute(lock, {"id": late})
        assert not working.done()
    assert await working == 2


@pytest.mark.parametrize("role", ["rated", "posted"])
async def test_receipts_are_noted_in_the_order_of_their_batches(service_database: MakeServiceDatabase, role: str):
    place = service_database("metering")
    database, journal = place.database(), JournalStore()
    lock = "SELECT FROM lane_journal WHERE lane = 0 AND pos = :pos FOR NO KEY UPDATE NOWAIT"
    async with database.transaction() as tx:
        for number in (1, 2):
            await journal.add(tx, [JournalEntry(0, number, number, number, 1)])

    async def note() -> None:
        async with database.transaction() as tx:
            if role == "rated":
                await journal.rated(tx, 0, [RatedReceipt(number, 1, 1, 1, 0) for number in (2, 1)])
            else:
                await journal.posted(tx, 0, [PostedReceipt(number, 1, 1, b"") for number in (2, 1)])

    async with database.transaction() as tx:
        await tx.execute(lock, {"pos": 1})
        noting = asyncio.create_task(note())
        await until_it_waits(place, noting)
        await tx.execute(lock, {"pos": 2})
        assert not noting.done()
    await noting
    (row,) = await LaneHarness(database).rows(f"SELECT count(*) AS noted FROM lane_journal WHERE {role}_at IS NOT NULL")
    assert row.noted == 2


@pytest.mark.parametrize("kind", ["rated", "posted"])
def test_the_parts_of_a_receipt_are_the_same_whole_however_often_they_are_joined(kind: str) -> None:
    # A lane collects what it has buffered again when its transaction fails.
    parts: list[RatedBatch] | list[PostedBatch]
    processor: Any
    if kind == "rated":
        processor = RatedReceipts(DeadLetterStore(), JournalStore())
        parts = [RatedBatch(packed_batch_seq=7, part=n, part_count=2, records=bytes(62)) for n in range(2)]
        for part in parts:
            part.rejections.add(entry_seq=part.part)
    else:
        processor = PostedReceipts(DeadLetterStore(), JournalStore())
        parts = [PostedBatch(packed_batch_seq=7, part=n, part_count=2) for n in range(2)]
        for part in parts:
            part.conflicts.add(entry_seq=part.part)
    first = processor.join(parts)
    assert processor.join(parts) == first
    found = first.rejections if kind == "rated" else first.conflicts
    assert [item.entry_seq for item in found] == [0, 1]
    assert kind != "rated" or len(first.records) == 2 * 62
