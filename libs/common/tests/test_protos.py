"""Well-known messages and our numbers: exact both ways, strict about what comes in."""

from __future__ import annotations

from uuid import UUID

import pytest
from apportion_common import protos
from apportion_common.errors import ApportionError, InvalidArgument, OutOfRange
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal as DecimalMessage
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

AMOUNTS = st.integers(-(10**27) + 1, 10**27 - 1)


@given(AMOUNTS)
def test_money_comes_back_as_it_went(amount: int) -> None:
    message = protos.money_to_proto("AUD", amount)
    assert protos.money_from_proto(message, "gross") == ("AUD", amount)
    assert message.units * message.nanos >= 0


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (Money(currency_code="AUD", units=1, nanos=-1), InvalidArgument, "MONEY_MALFORMED"),
        (Money(currency_code="AUD", nanos=1_000_000_000), InvalidArgument, "MONEY_MALFORMED"),
        (Money(currency_code="AUX", units=1), InvalidArgument, "CURRENCY_UNKNOWN"),
        (Money(units=1), InvalidArgument, "CURRENCY_UNKNOWN"),
        (Money(currency_code="AUD", units=10**18), OutOfRange, "AMOUNT_OUT_OF_RANGE"),
    ],
)
def test_money_that_is_none_names_its_field(message: Money, kind: type[ApportionError], reason: str) -> None:
    with pytest.raises(kind) as refusal:
        protos.money_from_proto(message, "budget.limit")
    assert (refusal.value.reason, refusal.value.field) == (reason, "budget.limit")


@given(AMOUNTS)
def test_decimals_come_back_as_they_went(value: int) -> None:
    message = protos.scaled_to_decimal_proto(value, 9)
    assert protos.to_scaled(message, 9, "amount") == value


@pytest.mark.parametrize(
    ("text", "places", "field", "reason"),
    [
        ("", 9, "quantity", "QUANTITY_MALFORMED"),
        ("NaN", 9, "included_qty", "QUANTITY_MALFORMED"),
        ("1e400", 9, "amount", "AMOUNT_OUT_OF_RANGE"),
        ("1e-10", 9, "amount", "AMOUNT_TOO_PRECISE"),
        ("0.0000000000001", 12, "overage_price", "PRICE_TOO_PRECISE"),
        ("1.23456", 4, "pct", "PERCENT_TOO_PRECISE"),
    ],
)
def test_a_decimal_that_is_none_is_refused_by_its_kind(text: str, places: int, field: str, reason: str) -> None:
    with pytest.raises(ApportionError) as refusal:
        protos.to_scaled(DecimalMessage(value=text), places, field)
    assert (refusal.value.reason, refusal.value.field) == (reason, field)


@given(st.integers(protos.TIMESTAMP_S_MIN * 10**6, protos.TIMESTAMP_S_MAX * 10**6 + 999_999))
def test_instants_come_back_to_the_microsecond(value_us: int) -> None:
    message = protos.us_to_timestamp(value_us)
    assert protos.timestamp_to_us(message, "at") == value_us
    assert protos.timestamp_to_us(Timestamp(seconds=message.seconds, nanos=message.nanos + 999), "at") == value_us


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (Timestamp(nanos=-1), InvalidArgument, "TIME_MALFORMED"),
        (Timestamp(nanos=10**9), InvalidArgument, "TIME_MALFORMED"),
        (Timestamp(seconds=protos.TIMESTAMP_S_MIN - 1), OutOfRange, "TIME_OUT_OF_RANGE"),
        (Timestamp(seconds=protos.TIMESTAMP_S_MAX + 1), OutOfRange, "TIME_OUT_OF_RANGE"),
    ],
)
def test_an_instant_that_is_none_is_refused(message: Timestamp, kind: type[ApportionError], reason: str) -> None:
    with pytest.raises(kind) as refusal:
        protos.timestamp_to_us(message, "event_time")
    assert (refusal.value.reason, refusal.value.field) == (reason, "event_time")


@given(st.integers())
def test_integers_of_any_size_come_back_in_the_fewest_bytes(value: int) -> None:
    raw = protos.pack_int(value)
    assert protos.unpack_int(raw) == value
    if len(raw) > 1:
        with pytest.raises(OverflowError):
            value.to_bytes(len(raw) - 1, "big", signed=True)


def test_no_bytes_are_no_integer_and_no_id() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        protos.unpack_int(b"")
    assert refusal.value.reason == "INTEGER_EMPTY"
    for length in (0, 15, 17):
        with pytest.raises(InvalidArgument) as refusal:
            protos.uuid_text(b"a" * length)
        assert refusal.value.reason == "ID_MALFORMED"
    some = UUID("0190b5f2-0000-7000-8000-00000000000A")
    assert protos.uuid_text(some.bytes) == "0190b5f2-0000-7000-8000-00000000000a"
