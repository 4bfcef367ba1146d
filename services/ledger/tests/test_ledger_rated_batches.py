"""What the poster reads of rated batches: records, messages, both together, and batches in parts."""

from __future__ import annotations

import pytest
from apportion.common.v1.lane_pb2 import ChargeKind, PeriodClose, TraceRange
from apportion.pricing.v1.lane_pb2 import ChargeGroup, RatedBatch, RatedCharge
from apportion_client.lane_messages import expand_rated
from apportion_common.lanes.records import CHARGE_RECORD, UNREADABLE_BATCH_SEQ
from apportion_common.protos import pack_int
from apportion_ledger.consumers.rated_batches import decode_rated, join_rated
from apportion_ledger.domain.charges import Charge
from apportion_ledger.domain.kinds import LINE_KINDS

ORG, ACCOUNT, MAPPING, EVENT, CLOSE = (bytes([n]) * 16 for n in range(1, 6))
GROUP = ChargeGroup(
    kind=ChargeKind.CHARGE_KIND_USAGE,
    org_id=ORG,
    billing_account_id=ACCOUNT,
    mapping_id=MAPPING,
    sku="ACT-SMS",
    sku_type="action",
    currency="AUD",
    period="2013-01",
    caused_by_events=True,
)
GOLDEN = bytes.fromhex(
    "000000000002" + "aa" * 16 + "04" * 16 + "0000000000000005fffffffffffffff60000000000000009"
)  # fmt: skip
"""A record: group 0, the third entry, ids, 5e-9 of usage for -10e-9, at 9 microseconds."""


def values(charge: Charge) -> tuple[object, ...]:
    """What a charge says, whatever group it is in."""
    group = charge.group
    shared = (group.kind, group.org_id, group.project_id, group.account_id, group.mapping_id, group.sku)
    billed = group.billed_period
    return (*shared, group.sku_type, group.currency, group.period, billed, *charge._replace(group=None))  # type: ignore[arg-type]


def read(*messages: RatedBatch) -> list[tuple[object, ...]]:
    parts = [decode_rated(message.SerializeToString()) for message in messages]
    return [values(charge) for charge in join_rated(parts).batch.charges]


def test_the_layout_of_charge_records_never_changes() -> None:
    (charge,) = decode_rated(
        RatedBatch(lane=3, batch_seq=7, first_entry_seq=100, groups=[GROUP], records=GOLDEN).SerializeToString()
    ).batch.charges
    assert values(charge) == (
        *("usage", ORG, b"", ACCOUNT, MAPPING, "ACT-SMS", "action", "AUD", "2013-01", ""),
        *(b"\xaa" * 16, EVENT, EVENT, None, 5, -10, 9, 102),
    )
    assert len(GOLDEN) == CHARGE_RECORD.size


@pytest.mark.parametrize("kind", LINE_KINDS)
def test_a_charge_that_no_event_caused_has_a_cause_and_no_event(kind: str) -> None:
    group = ChargeGroup()
    group.CopyFrom(GROUP)
    group.kind = ChargeKind.Value(f"CHARGE_KIND_{kind.upper()}")
    group.caused_by_events = False
    batch = RatedBatch(batch_seq=1, groups=[group], records=CHARGE_RECORD.pack(0, 0, b"a" * 16, CLOSE, 1, 2, 3))
    (charge,) = decode_rated(batch.SerializeToString()).batch.charges
    assert (charge.group.kind, charge.event_id, charge.cause_id) == (kind, b"", CLOSE)
    assert read(expand_rated(batch)) == read(batch)


def test_charges_that_fit_into_no_record_stand_where_they_belong() -> None:
    batch = RatedBatch(batch_seq=1, groups=[GROUP], first_entry_seq=1)
    batch.records = b"".join(CHARGE_RECORD.pack(0, n, bytes([n]) * 16, EVENT, n, n, n) for n in (0, 2, 3))
    for index, number in ((1, 1), (4, 4)):
        batch.charges.add(
            charge_id=bytes([number]) * 16,
            event_id=EVENT,
            org_id=ORG,
            billing_account_id=ACCOUNT,
            mapping_id=MAPPING,
            sku="ACT-SMS",
            sku_type="action",
            quantity=pack_int(number * 10**26),
            currency="AUD",
            amount=pack_int(-number * 10**26),
            event_time_us=number,
            period="2013-01",
            entry_seq=1 + number,
            kind=ChargeKind.CHARGE_KIND_USAGE,
            cause_id=EVENT,
            index=index,
        )
    charges = decode_rated(batch.SerializeToString()).batch.charges
    assert [charge.entry_seq for charge in charges] == [1, 2, 3, 4, 5]
    assert [charge.gross for charge in charges] == [0, -(10**26), 2, 3, -4 * 10**26]
    assert read(expand_rated(batch)) == read(batch)


def test_late_charges_are_read_with_the_period_that_bills_them_from_groups_and_messages() -> None:
    late = ChargeGroup()
    late.CopyFrom(GROUP)
    late.billed_period = "2013-04"
    batch = RatedBatch(batch_seq=1, groups=[GROUP, late], first_entry_seq=1)
    batch.records = b"".join(CHARGE_RECORD.pack(n, n, bytes([n]) * 16, EVENT, 1, 2, 3) for n in (0, 1))
    charges = decode_rated(batch.SerializeToString()).batch.charges
    assert [charge.group.billed_period for charge in charges] == ["", "2013-04"]
    assert [charge.billed_period for charge in expand_rated(batch).charges] == ["", "2013-04"]
    assert read(expand_rated(batch)) == read(batch)
    # The field's bytes: number 11 of a group, number 18 of a charge.
    assert late.SerializeToString() == GROUP.SerializeToString() + b"\x5a\x072013-04"
    assert RatedCharge(billed_period="2013-04").SerializeToString() == b"\x92\x01\x072013-04"


def test_a_message_of_before_records_is_read_as_usage_that_its_event_caused() -> None:
    batch = RatedBatch(batch_seq=1)
    batch.charges.add(charge_id=b"a" * 16, event_id=EVENT, quantity=b"\x01", amount=b"\x02", entry_seq=9)
    (charge,) = decode_rated(batch.SerializeToString()).batch.charges
    assert (charge.group.kind, charge.event_id, charge.cause_id, charge.entry_seq) == ("usage", EVENT, EVENT, 9)


def test_the_parts_of_a_batch_are_one_batch() -> None:
    parts = [
        RatedBatch(
            lane=3,
            batch_seq=7,
            part=number,
            part_count=3,
            groups=[GROUP],
            records=CHARGE_RECORD.pack(0, number, bytes([number]) * 16, EVENT, 1, 2, 3),
            period_closes=[PeriodClose(period=f"2013-0{number + 1}")],
            traces=[TraceRange(first=number, count=1)],
        )
        for number in range(3)
    ]
    decoded = [decode_rated(part.SerializeToString()) for part in parts]
    assert [(part.batch_seq, part.part, part.part_count) for part in decoded] == [(7, 0, 3), (7, 1, 3), (7, 2, 3)]
    whole = join_rated(decoded)
    assert [charge.charge_id[0] for charge in whole.batch.charges] == [0, 1, 2]
    assert [close.period for close in whole.period_closes] == ["2013-01", "2013-02", "2013-03"]
    assert [trace.first for trace in whole.traces] == [0, 1, 2]
    assert len(expand_rated(*parts).charges) == 3


@pytest.mark.parametrize(
    "batch",
    [
        RatedBatch(batch_seq=1, groups=[GROUP], records=GOLDEN[:-1]),
        RatedBatch(batch_seq=1, records=GOLDEN),
        RatedBatch(batch_seq=1, charges=[RatedCharge(kind=99)]),  # type: ignore[arg-type]
    ],
    ids=["cut", "no group", "unknown kind"],
)
def test_a_batch_that_cannot_be_read_has_a_number_that_never_comes_next(batch: RatedBatch) -> None:
    assert decode_rated(batch.SerializeToString()).batch_seq == UNREADABLE_BATCH_SEQ
