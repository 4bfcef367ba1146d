"""What pricing publishes of a rated batch: records where they hold the numbers, parts where a message is too small."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from apportion.common.v1.lane_pb2 import PeriodClose, TraceRange
from apportion.metering.v1.lane_pb2 import AcceptedBatch
from apportion.pricing.v1.lane_pb2 import RatedBatch, Rejection
from apportion_client.lane_messages import expand_rated
from apportion_common.decimals import AMOUNT_MAX
from apportion_common.lanes.limits import OUTPUT_PART_BYTES_MAX
from apportion_common.lanes.model import LaneOutput
from apportion_common.lanes.records import UNREADABLE_BATCH_SEQ, batch_seq_of
from apportion_pricing.consumers.batches import decode_accepted
from apportion_pricing.consumers.rated_batches import Charge, Rated, rated_to_outputs
from apportion_pricing.domain.accounts import BillingAccount
from hypothesis import given, settings
from hypothesis import strategies as st

ACCOUNT = BillingAccount(b"a" * 16, b"m" * 16, "AUD")
INT64 = 2**63
NUMBERS = st.one_of(st.integers(-AMOUNT_MAX, AMOUNT_MAX), st.sampled_from([0, INT64 - 1, INT64, -INT64, -INT64 - 1]))


def segment(org: int) -> Any:
    """A segment, as far as publishing looks into it."""
    return SimpleNamespace(
        account=ACCOUNT,
        terms=SimpleNamespace(sku_type="action", currency="AUD"),
        period="2013-01",
        billed_period="",
        position=SimpleNamespace(key=(org.to_bytes(16, "big"), "ACT-SMS", "2013-01")),
    )


class _Key(tuple[Any, bytes]):
    """A group's key, whose segment has no hash of its own."""

    def __hash__(self) -> int:
        return id(self[0])


def rated(charges: Sequence[tuple[int, int, int]], segments: Sequence[Any]) -> Rated:
    """What entries came to: per charge the number of its segment, its quantity and its amount."""
    result = Rated(3, 7, 10, 11)
    keys = [_Key((one, b"")) for one in segments]
    for number, (org, quantity, amount) in enumerate(charges):
        charge: Charge = (keys[org], 100 + number, number.to_bytes(16, "big"), b"e" * 16, quantity, amount, number)
        result.charges.append(charge)
    return result


def read(outputs: Sequence[LaneOutput]) -> RatedBatch:
    return expand_rated(*[RatedBatch.FromString(output.payload) for output in outputs])


def test_the_layout_of_charge_records_never_changes() -> None:
    (output,) = rated_to_outputs(rated([(0, 5, -10), (1, 6, 7)], [segment(0), segment(1)]), 2, [])
    batch = RatedBatch.FromString(output.payload)
    assert batch.records.hex() == (
        "000000000000" + "00" * 16 + "65" * 16 + "0000000000000005fffffffffffffff60000000000000000"
        "000100000001" + "00" * 15 + "01" + "65" * 16 + "000000000000000600000000000000070000000000000001"
    )  # fmt: skip
    assert (batch.first_entry_seq, len(batch.groups), len(batch.charges)) == (100, 2, 0)
    # A reader from before records stops its lane at such a number, rather than finding an empty batch.
    assert (batch.batch_seq, batch.packed_batch_seq) == (UNREADABLE_BATCH_SEQ, 7)


def test_an_unpacked_batch_is_one_that_readers_from_before_records_take() -> None:
    result = rated([(0, 5, -10), (1, 6, AMOUNT_MAX)], [segment(0), segment(1)])
    (output,) = rated_to_outputs(result, 2, [], packed=False)
    batch = RatedBatch.FromString(output.payload)
    assert (batch.batch_seq, batch.packed_batch_seq, batch.records) == (7, 0, b"")
    assert batch.charges == read(rated_to_outputs(result, 2, [])).charges


@given(st.lists(st.tuples(st.integers(0, 2), NUMBERS, NUMBERS), max_size=30))
def test_charges_are_published_in_their_order_whatever_form_they_travel_in(drawn: list[tuple[int, int, int]]) -> None:
    batch = read(rated_to_outputs(rated(drawn, [segment(n) for n in range(3)]), len(drawn), []))
    assert [charge.entry_seq for charge in batch.charges] == list(range(100, 100 + len(drawn)))
    for charge, (org, quantity, amount) in zip(batch.charges, drawn, strict=True):
        assert int.from_bytes(charge.org_id, "big") == org
        assert int.from_bytes(charge.quantity, "big", signed=True) == quantity
        assert int.from_bytes(charge.amount, "big", signed=True) == amount
        assert charge.event_id == charge.cause_id == b"e" * 16


@settings(max_examples=10)
@given(st.integers(1, 3_000), st.sampled_from([1, AMOUNT_MAX]), st.integers(0, 1_500), st.integers(0, 30))
def test_a_batch_of_any_size_travels_in_parts_that_fit_and_are_the_batch_together(
    charge_count: int, amount: int, rejection_count: int, every: int
) -> None:
    segments = [segment(n) for n in range(charge_count)]
    result = rated([(n, 1, amount if n % (every + 1) == 0 else 2) for n in range(charge_count)], segments)
    result.rejections = [
        Rejection(event_id=b"e" * 16, entry_seq=n, reason="UNKNOWN_SKU", detail="d" * 500)
        for n in range(rejection_count)
    ]
    result.period_closes = [PeriodClose(period="2013-01")]
    traces = [TraceRange(traceparent="t" * 55, first=n, count=1) for n in range(charge_count)]
    outputs = rated_to_outputs(result, charge_count, traces)
    assert max(len(output.payload) for output in outputs) <= OUTPUT_PART_BYTES_MAX
    assert [(output.batch_seq, output.part, output.part_count) for output in outputs] == [
        (7, number, len(outputs)) for number in range(len(outputs))
    ]
    parts = [RatedBatch.FromString(output.payload) for output in outputs]
    assert {
        (part.lane, batch_seq_of(part), part.catalog_revision, part.orgs_revision, part.entry_count) for part in parts
    } == {(3, 7, 10, 11, charge_count)}
    batch = read(outputs)
    assert [charge.entry_seq for charge in batch.charges] == list(range(100, 100 + charge_count))
    assert list(batch.rejections) == result.rejections
    assert list(batch.period_closes) == result.period_closes
    assert list(batch.traces) == traces


def test_a_batch_of_many_charges_needs_several_parts() -> None:
    one = segment(1)
    outputs = rated_to_outputs(rated([(0, 1, 1)] * 20_000, [one]), 20_000, [])
    assert len(outputs) == 3
    assert len(read(outputs).charges) == 20_000


def test_usage_that_cannot_be_read_stops_the_lane_and_is_never_skipped() -> None:
    for broken in (b"\xff", AcceptedBatch(batch_seq=1, records=b"x" * 33).SerializeToString()):
        assert decode_accepted(broken).batch_seq == UNREADABLE_BATCH_SEQ
    no_group = AcceptedBatch(batch_seq=1, records=bytes(34))
    assert decode_accepted(no_group.SerializeToString()).batch_seq == UNREADABLE_BATCH_SEQ
