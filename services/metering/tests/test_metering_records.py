"""What metering's lanes carry: events packed into records, those that fit into none as messages, and both together."""

from __future__ import annotations

import pytest
from apportion.common.v1.lane_pb2 import PeriodClose
from apportion.metering.v1.lane_pb2 import AcceptedUsage, IntakeMessage, Requeue
from apportion_client.lane_messages import expand_accepted, expand_intake
from apportion_common.decimals import QUANTITY_MAX
from apportion_common.ids import event_id
from apportion_common.lanes.limits import OUTPUT_PART_BYTES_MAX
from apportion_common.lanes.records import UNREADABLE_BATCH_SEQ
from apportion_metering.adapters.intake_messages import usage_message
from apportion_metering.consumers.decision import AcceptedEvent, LateEvent, accepted_to_message
from apportion_metering.consumers.intake import Intake, Undecodable, decode_intake, event_from_message, event_to_message
from apportion_metering.domain.content import content_hash
from apportion_metering.domain.entries import EventGroup, TakenEvent
from apportion_metering.domain.intake import CheckedEvent
from apportion_metering.domain.messages import Envelope
from apportion_metering.limits import MESSAGE_ENTRIES_MAX, REQUEST_ID_CHARS_MAX, SKU_CHARS_MAX
from hypothesis import given
from hypothesis import strategies as st

ORG, OTHER_ORG, PROJECT = (bytes([n]) * 16 for n in (1, 2, 3))
ENVELOPE = Envelope(1_359_676_800_000_000, "producer", "00-trace")
INT64 = 2**63


def checked(
    request_id: str,
    org_id: bytes = ORG,
    project_id: bytes = b"",
    sku: str = "ACT-SMS",
    quantity: int = 1,
    at_us: int = 0,
    labels: dict[str, str] | None = None,
    source: int = 1,
) -> CheckedEvent:
    digest = content_hash(org_id, project_id, sku, quantity, at_us, labels or {})
    return CheckedEvent(org_id, project_id, request_id, sku, quantity, at_us, labels or {}, source, digest)


EVENTS = st.lists(
    st.builds(
        checked,
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=REQUEST_ID_CHARS_MAX),
        st.sampled_from([ORG, OTHER_ORG]),
        st.sampled_from([b"", PROJECT]),
        st.sampled_from(["ACT-SMS", "OBJ-MILE", "A" * SKU_CHARS_MAX]),
        st.one_of(st.integers(-QUANTITY_MAX, QUANTITY_MAX), st.sampled_from([0, INT64 - 1, INT64, -INT64, -INT64 - 1])),
        st.integers(-(2**50), 2**50),
        st.one_of(st.none(), st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=3)),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=30,
)


def taken(event: CheckedEvent) -> TakenEvent:
    group = EventGroup(event.org_id, event.project_id, event.sku, event.source)
    name = event.org_id + event.request_id.encode()
    return TakenEvent(
        name, group, event.quantity, event.event_time_us, event.content_hash, dict(event.metadata) or None
    )


@given(EVENTS)
def test_the_writer_reads_the_events_that_intake_put_on_the_lane_in_their_order(events: list[CheckedEvent]) -> None:
    message = usage_message(ENVELOPE, events, range(len(events)), "reply")
    read = decode_intake(message)
    assert isinstance(read, Intake)
    assert read.items == [taken(event) for event in events]
    assert (read.received_at_us, read.reply_to, read.traceparent) == (ENVELOPE.received_at_us, "reply", "00-trace")


@given(EVENTS)
def test_unpacked_messages_say_the_same_and_a_writer_from_before_records_reads_all_of_them(
    events: list[CheckedEvent],
) -> None:
    unpacked = usage_message(ENVELOPE, events, range(len(events)), "reply", packed=False)
    assert decode_intake(unpacked) == decode_intake(usage_message(ENVELOPE, events, range(len(events)), "reply"))
    assert len(IntakeMessage.FromString(unpacked).entries) == len(events)


@given(EVENTS)
def test_a_writer_from_before_records_finds_no_entry_beside_them_and_keeps_the_message(
    events: list[CheckedEvent],
) -> None:
    message = IntakeMessage.FromString(usage_message(ENVELOPE, events, range(len(events)), "reply"))
    assert not message.records or not message.entries


@given(EVENTS)
def test_a_message_written_out_for_a_person_is_the_same_message(events: list[CheckedEvent]) -> None:
    message = IntakeMessage.FromString(usage_message(ENVELOPE, events, range(len(events)), "reply"))
    plain = expand_intake(message)
    assert (plain.records, len(plain.entries)) == (b"", len(events))
    assert decode_intake(plain.SerializeToString()) == decode_intake(message.SerializeToString())
    assert [event_from_message(entry.event) for entry in plain.entries] == [taken(event) for event in events]


@given(st.lists(st.one_of(EVENTS.map(lambda events: taken(events[0])), st.none()), max_size=20))
def test_accepted_entries_have_numbers_without_gaps_whatever_form_they_travel_in(
    entries: list[TakenEvent | None],
) -> None:
    accepted: list[AcceptedEvent | PeriodClose] = [
        PeriodClose(period="2013-01") if event is None else (event.content_hash[:16], event) for event in entries
    ]
    plain = expand_accepted(accepted_to_message(3, 7, 100, accepted))
    assert [entry.entry_seq for entry in plain.entries] == list(range(100, 100 + len(entries)))
    for entry, event in zip(plain.entries, entries, strict=True):
        if event is None:
            assert entry.period_close.period == "2013-01"
        else:
            usage = entry.usage
            assert usage.event_id == event.content_hash[:16]
            assert (usage.org_id, usage.project_id, usage.sku) == tuple(event.group[:3])
            assert int.from_bytes(usage.quantity, "big", signed=True) == event.quantity
            assert usage.event_time_us == event.event_time_us


def test_the_layout_of_intake_records_never_changes() -> None:
    events = [checked("r-1", quantity=5, at_us=9), checked("r-22", sku="OBJ", quantity=-1, at_us=-2)]
    message = IntakeMessage.FromString(usage_message(ENVELOPE, events, [0, 1], ""))
    assert message.records.hex() == (
        "000003" + events[0].content_hash.hex() + "00000000000000050000000000000009"
        "000104" + events[1].content_hash.hex() + "fffffffffffffffffffffffffffffffe"
    )  # fmt: skip
    assert message.request_ids == b"r-1r-22"


def test_the_layout_of_usage_records_never_changes() -> None:
    one, two = event_id(ORG, "r-1"), event_id(ORG, "r-2")
    accepted: list[AcceptedEvent | PeriodClose] = [(one, taken(checked("r-1", quantity=5, at_us=9)))]
    accepted.append((two, taken(checked("r-2", project_id=PROJECT, quantity=-1, at_us=-2))))
    batch = accepted_to_message(3, 7, 100, accepted)
    assert batch.records.hex() == (
        "0000" + one.hex() + "00000000000000050000000000000009"
        "0001" + two.hex() + "fffffffffffffffffffffffffffffffe"
    )  # fmt: skip
    assert (batch.first_entry_seq, len(batch.groups), len(batch.entries)) == (100, 2, 0)
    # A reader from before records stops its lane at such a number, rather than finding an empty batch.
    assert (batch.batch_seq, batch.packed_batch_seq) == (UNREADABLE_BATCH_SEQ, 7)


def test_an_unpacked_batch_is_one_that_readers_from_before_records_take() -> None:
    accepted: list[AcceptedEvent | PeriodClose] = [(event_id(ORG, "r-1"), taken(checked("r-1")))]
    batch = accepted_to_message(3, 7, 100, accepted, packed=False)
    assert (batch.batch_seq, batch.packed_batch_seq, batch.records) == (7, 0, b"")
    assert batch.entries == expand_accepted(accepted_to_message(3, 7, 100, accepted)).entries


@pytest.mark.parametrize(
    "broken",
    [
        {"records": b"x" * 50},
        {"request_ids": b"r-"},
        {"request_ids": b"r-1r-22more"},
        {"groups": []},
        {"records": bytes(51)},
        {"unpacked_indexes": [0]},
    ],
    ids=["cut", "too few ids", "too many ids", "no group", "no id", "no entry"],
)
def test_records_that_are_none_make_their_message_undecodable(broken: dict[str, object]) -> None:
    message = IntakeMessage.FromString(usage_message(ENVELOPE, [checked("r-1"), checked("r-22")], [0, 1], ""))
    for field, value in broken.items():
        message.ClearField(field)  # type: ignore[arg-type]
        message.MergeFrom(IntakeMessage(**{field: value}))  # type: ignore[arg-type]
    assert isinstance(decode_intake(message.SerializeToString()), Undecodable)


def test_a_message_of_before_records_is_read_as_it_was() -> None:
    message = IntakeMessage(received_at_us=5)
    message.entries.add().event.CopyFrom(event_to_message(taken(checked("r-1", labels={"k": "v"}))))
    message.entries.add().requeue.attempt = 2
    read = decode_intake(message.SerializeToString())
    assert isinstance(read, Intake)
    assert read.items[0] == taken(checked("r-1", labels={"k": "v"}))
    assert read.items[1] == message.entries[1]


def test_a_late_event_travels_as_a_message_that_names_the_period_that_bills_it() -> None:
    late, plain = taken(checked("late")), taken(checked("plain"))
    accepted = [(event_id(ORG, "plain"), plain), LateEvent(event_id(ORG, "late"), late, "2013-02")]
    batch = expand_accepted(accepted_to_message(3, 7, 100, accepted))
    assert [(entry.entry_seq, entry.usage.into_period) for entry in batch.entries] == [(100, ""), (101, "2013-02")]
    # The fields' bytes: number 7 of usage, number 3 of a requeue and of a close.
    assert AcceptedUsage(into_period="2013-02").SerializeToString() == b"\x3a\x072013-02"
    assert Requeue(attempt=1, into_period="2013-02").SerializeToString() == b"\x10\x01\x1a\x072013-02"
    assert PeriodClose(period="2013-02", reopening=2).SerializeToString() == b"\x0a\x072013-02\x18\x02"


def test_the_largest_accepted_batch_fits_into_one_message() -> None:
    fat = [
        checked("r", bytes([n % 256, n // 256]) * 8, PROJECT, "A" * SKU_CHARS_MAX, QUANTITY_MAX, 2**50)
        for n in range(MESSAGE_ENTRIES_MAX)
    ]
    accepted: list[AcceptedEvent | PeriodClose] = [(event.content_hash[:16], taken(event)) for event in fat]
    batch = accepted_to_message(31, 2**62, 2**62, accepted)
    traces_bytes = MESSAGE_ENTRIES_MAX * 80
    assert batch.ByteSize() + traces_bytes < OUTPUT_PART_BYTES_MAX
