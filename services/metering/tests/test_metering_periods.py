"""Closing, reopening, and requeueing into a period that is open (spec 08 choices 18 and 19)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import pytest
from alembic import command
from apportion.ledger.v1.lane_pb2 import PostedBatch
from apportion.metering.v1 import lane_pb2
from apportion.pricing.v1.lane_pb2 import RatedBatch, Rejection
from apportion_common.errors import ApportionError, FailedPrecondition, InvalidArgument, OutOfRange
from apportion_common.ids import event_id, lane_of
from apportion_common.period_closes import PeriodChange, PeriodCloses
from apportion_common.topology import DEAD_LETTER_REASONS, POSTED_RECEIPTS_ROLE, RATED_RECEIPTS_ROLE, WRITER_ROLE
from apportion_dev.testing.databases import DatabaseFactory, fetch_all
from apportion_metering.app.periods import Closing
from apportion_metering.domain.dead_letters import NEVER_REQUEUED, DeadLetterFilter, IntoPeriods
from apportion_metering.domain.progress import LaneState, LaneTargets
from hypothesis import given
from hypothesis import strategies as st
from metering_harness import (
    ORG,
    OTHER_ORG,
    LaneHarness,
    MeteringHarness,
    close_period,
    discard,
    intake_event,
    intake_message,
    reopen_period,
    requeue,
    usage_event,
)

JANUARY_US: Final = 1_357_000_000_000_000
"""An instant in January 2013."""
PRESENT_US: Final = 1_370_000_000_000_000
"""An instant in May 2013."""
ALL_ROLES: Final = (WRITER_ROLE, RATED_RECEIPTS_ROLE, POSTED_RECEIPTS_ROLE)


def present() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


async def requeued_into(bench: LaneHarness) -> list[str]:
    """The periods that the requeues waiting in the outbox name, oldest first."""
    found = []
    for row in await bench.rows(
        "SELECT payload FROM outbox WHERE starts_with(subject, 'metering.in.') ORDER BY created_at"
    ):
        message = lane_pb2.IntakeMessage.FromString(row.payload)
        found += [entry.requeue.into_period for entry in message.entries if entry.HasField("requeue")]
    return found


async def reject(bench: LaneHarness, request_id: str, reason: str, batch_seq: int = 1, entry_seq: int = 1) -> None:
    """Have pricing reject an event of the lane."""
    rejection = Rejection(
        event_id=event_id(ORG.bytes, request_id), org_id=ORG.bytes, entry_seq=entry_seq, reason=reason, detail="no"
    )
    batch = RatedBatch(lane=bench.lane, batch_seq=batch_seq, entry_count=1, rejections=[rejection])
    await bench.receive(bench.rated, batch.SerializeToString())


async def refusal(work: object) -> str:
    with pytest.raises(ApportionError) as refused:
        await work  # type: ignore[misc]
    return refused.value.reason


async def test_late_usage_is_requeued_into_the_present_period_and_its_place_says_so(bench: LaneHarness) -> None:
    await bench.write(intake_message(intake_event("a", at_us=JANUARY_US)))
    await reject(bench, "a", "PERIOD_CLOSED")
    assert await requeue(bench.dead_letters, DeadLetterFilter(org_id=ORG)) == 1
    assert await requeued_into(bench) == [present()]
    ((letter, attempt),) = await bench.rows("SELECT dead_letter_id, requeue_attempt FROM dead_letter")
    message = lane_pb2.IntakeMessage(received_at_us=PRESENT_US, producer="test")
    message.entries.add().requeue.MergeFrom(
        lane_pb2.Requeue(dead_letter_id=letter.bytes, attempt=attempt, into_period="2013-05")
    )
    batch = await bench.write(message)
    (entry,) = batch.entries
    assert (entry.usage.into_period, entry.usage.event_time_us) == ("2013-05", JANUARY_US)
    assert entry.usage.event_id == event_id(ORG.bytes, "a")


@pytest.mark.parametrize("reason", [reason for reason in DEAD_LETTER_REASONS if reason not in NEVER_REQUEUED])
async def test_every_reason_that_can_be_requeued_is_stored_and_requeued_and_into_a_period_where_one_is_named(
    bench: LaneHarness, reason: str
) -> None:
    await bench.write(intake_message(intake_event("a", at_us=JANUARY_US)))
    await reject(bench, "a", reason)
    assert [row.reason for row in await bench.rows("SELECT reason FROM dead_letter")] == [reason]
    assert await requeue(bench.dead_letters, DeadLetterFilter(reason=reason), into_period="2013-03") == 1
    assert await requeued_into(bench) == ["2013-03"]


async def test_a_requeue_names_no_period_before_the_events_own_and_none_after_the_next(bench: LaneHarness) -> None:
    await bench.write(intake_message(intake_event("a", at_us=JANUARY_US)))
    await reject(bench, "a", "PERIOD_CLOSED")
    mine = DeadLetterFilter(org_id=ORG)
    assert await refusal(requeue(bench.dead_letters, mine, into_period="2012-11")) == "INTO_PERIOD_TOO_EARLY"
    assert await refusal(requeue(bench.dead_letters, mine, into_period="2099-01")) == "INTO_PERIOD_TOO_LATE"
    assert [row.state for row in await bench.rows("SELECT state FROM dead_letter")] == ["open"]


def test_the_period_that_bills_late_usage_is_the_present_one_or_the_next_where_that_is_closed() -> None:
    closes = PeriodCloses([PeriodChange("2013-05", ORG.bytes)])
    into = IntoPeriods("", PRESENT_US, closes)
    assert into.of("PERIOD_CLOSED", ORG.bytes, JANUARY_US) == "2013-06"
    assert into.of("PERIOD_CLOSED", OTHER_ORG.bytes, JANUARY_US) == "2013-05"
    # Its own period needs no other, and what was refused for another reason is not billed elsewhere unasked.
    assert into.of("PERIOD_CLOSED", OTHER_ORG.bytes, PRESENT_US) == ""
    assert into.of("UNKNOWN_SKU", ORG.bytes, JANUARY_US) == ""
    named = IntoPeriods("2013-06", PRESENT_US, closes)
    assert named.of("UNKNOWN_SKU", ORG.bytes, JANUARY_US) == "2013-06"


async def test_what_cannot_be_undone_needs_a_selection_that_was_meant(bench: LaneHarness) -> None:
    await bench.write(intake_message(intake_event("a")))
    await reject(bench, "a", "UNKNOWN_SKU")
    nothing = DeadLetterFilter(state="open")
    assert await refusal(requeue(bench.dead_letters, nothing)) == "SELECTION_EMPTY"
    assert await refusal(discard(bench.dead_letters, nothing, "x")) == "SELECTION_EMPTY"
    call = object()
    both = Closing("2013-01", [ORG], all_orgs=True)
    assert await refusal(bench.periods.close(call, both, "op")) == "SELECTION_AMBIGUOUS"  # type: ignore[arg-type]
    none = Closing("2013-01", [])
    assert await refusal(bench.periods.close(call, none, "op")) == "SELECTION_EMPTY"  # type: ignore[arg-type]
    assert [row.state for row in await bench.rows("SELECT state FROM dead_letter")] == ["open"]


async def test_a_period_is_closed_only_when_it_is_over_unless_it_is_forced_for_a_reason(bench: LaneHarness) -> None:
    with pytest.raises(FailedPrecondition) as early:
        await close_period(bench.periods, present(), [ORG])
    assert early.value.reason == "PERIOD_NOT_OVER"
    assert await refusal(close_period(bench.periods, "2100-01", [ORG])) == "PERIOD_NOT_OVER"
    for period in ("9999-12", "0001-01", "1999-12"):
        with pytest.raises(OutOfRange) as beyond:
            await close_period(bench.periods, period, [ORG], force=True)
        assert beyond.value.reason == "TIME_OUT_OF_RANGE"
    with pytest.raises(InvalidArgument) as unsaid:
        await bench.periods.close(object(), Closing("2013-01", [ORG], force=True, reason=" "), "op")  # type: ignore[arg-type]
    assert unsaid.value.reason == "REASON_MISSING"
    assert await bench.rows("SELECT 1 FROM outbox") == []

    await bench.write(intake_message(intake_event("a")))
    assert await close_period(bench.periods, present(), [ORG, OTHER_ORG], force=True) == [OTHER_ORG]
    (audit,) = await bench.rows("SELECT after FROM audit_entry")
    assert (audit.after["forced"], audit.after["reason"]) == (True, "a test")
    await reject(bench, "a", "PERIOD_CLOSED")
    assert await requeue(bench.dead_letters, DeadLetterFilter(org_id=ORG)) == 1


async def test_a_reopening_is_an_entry_of_each_organisations_lane_and_audited(bench: LaneHarness) -> None:
    await close_period(bench.periods, present(), [ORG], force=True)
    await reopen_period(bench.periods, present(), (ORG, 1), (OTHER_ORG, 4))
    changes = []
    for row in await bench.rows("SELECT payload FROM outbox ORDER BY created_at, subject"):
        changes += [entry.period_close for entry in lane_pb2.IntakeMessage.FromString(row.payload).entries]
    assert {(change.org_id, change.reopening) for change in changes} == {
        (ORG.bytes, 0),
        (ORG.bytes, 1),
        (OTHER_ORG.bytes, 4),
    }
    actions = [row.action for row in await bench.rows("SELECT action FROM audit_entry ORDER BY at")]
    assert actions == ["period.close", "period.reopen"]
    await bench.write(intake_message(intake_event("a", at_us=JANUARY_US)))
    await reject(bench, "a", "PERIOD_CLOSED")
    await requeue(bench.dead_letters, DeadLetterFilter(org_id=ORG))
    assert await requeued_into(bench) == [present()]


async def test_a_close_is_refused_while_usage_that_came_before_it_is_not_posted(
    metering: MeteringHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering.periods, "_wait_s", 0.5)
    lane = lane_of(ORG.bytes)
    await metering.take([usage_event("a")])
    assert await refusal(close_period(metering.periods, "2013-01", [ORG])) == "USAGE_UNDER_WAY"
    elsewhere = next(org for org in (UUID(int=n) for n in range(64)) if lane_of(org.bytes) != lane)
    await close_period(metering.periods, "2013-01", [elsewhere])
    async with metering.worker("one", ALL_ROLES):
        await metering.until_written(1)
        assert await refusal(close_period(metering.periods, "2013-01", [ORG])) == "USAGE_UNDER_WAY"
        monkeypatch.setattr(metering.periods, "_wait_s", 20)
        closing = asyncio.create_task(close_period(metering.periods, "2013-01", [ORG]))
        for subject, batch in (
            ("pricing.rated", RatedBatch(lane=lane, batch_seq=1, entry_count=1)),
            ("ledger.posted", PostedBatch(lane=lane, batch_seq=1)),
        ):
            await metering.js.publish(f"{subject}.{lane}", batch.SerializeToString())
        assert await closing == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)), max_size=20), st.integers(0, 5))
def test_a_lane_is_behind_until_the_batch_that_took_the_last_message_is_posted(
    steps: list[tuple[int, int, int]], last_seq: int
) -> None:
    targets = LaneTargets({3: last_seq})
    stream = batch = posted = 0
    taken_with = None
    for more_stream, more_batch, more_posted in steps:
        stream, batch = stream + more_stream, batch + more_batch
        posted = min(posted + more_posted, batch)
        if taken_with is None and stream >= last_seq:
            taken_with = batch
        is_behind = taken_with is None or posted < taken_with
        assert targets.behind([LaneState(3, stream, batch, posted, posted, "")]) == is_behind


def test_the_revision_for_changes_of_periods_goes_back_unless_a_dead_letter_needs_it(
    database_factory: DatabaseFactory,
) -> None:
    database = database_factory.blank("metering")
    config = database_factory.alembic_config(database)
    command.upgrade(config, "20261130_14_period_changes")
    command.downgrade(config, "20261130_06_metering_outbox_parts")
    command.upgrade(config, "20261130_14_period_changes")
    insert = "INSERT INTO dead_letter (dead_letter_id, reason, payload, lane) VALUES ('{}', '{}', '', 0) RETURNING 1"
    assert fetch_all(database.owner_url, insert.format(uuid4(), "CORRECTION_EXCEEDS_CHARGED")) == [(1,)]
    with pytest.raises(Exception, match="ck_dead_letter_reason"):
        command.downgrade(config, "20261130_06_metering_outbox_parts")
