"""The binary COPY packers against psycopg's own loaders and dumpers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from struct import pack, unpack
from typing import Any
from uuid import UUID

import pytest
from apportion_common.db import copy
from apportion_common.decimals import from_scaled
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import adapters
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

MAX = 10**30 - 1


def loaded(type_name: str, field: bytes) -> Any:
    """What psycopg reads in a packed field."""
    (length,) = unpack(">i", field[:4])
    assert length == len(field) - 4
    loader = adapters.get_loader(adapters.types[type_name].oid, Format.BINARY)
    assert loader is not None
    return loader(adapters.types[type_name].oid, None).load(field[4:])


def dumped(value: Any) -> bytes:
    """What psycopg packs for a value."""
    raw = Transformer().get_dumper(value, PyFormat.BINARY).dump(value)
    assert raw is not None
    return pack(">i", len(raw)) + bytes(raw)


@given(st.integers(-MAX, MAX) | st.integers(-(10**16), 10**16), st.sampled_from([0, 2, 4, 7, 9, 12]))
@example(0, 9)
@example(1, 9)
@example(-1, 12)
@example(10_000, 0)
@example(10**9, 9)
@example(MAX, 9)
@example(9_999 * 10**9, 9)
@example(9_999_999_999_999, 9)
@example(10_000_000_000_000, 9)
@example(-9_999_000_000_000_000, 12)
def test_a_numeric_is_the_number_that_its_scaled_int_means(scaled: int, places: int) -> None:
    value = loaded("numeric", copy.pack_numeric(scaled, places))
    assert value == from_scaled(scaled, places)
    assert value.as_tuple().exponent == -places


@given(st.integers(-(10**27), 10**27))
def test_a_numeric_is_packed_as_psycopg_packs_its_decimal(scaled: int) -> None:
    ours, theirs = copy.pack_numeric(scaled, 9), dumped(from_scaled(scaled, 9))
    assert loaded("numeric", ours) == loaded("numeric", theirs)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_bigint_is_packed_as_psycopg_loads_it(value: int) -> None:
    assert loaded("int8", copy.pack_int8(value)) == value


@given(st.uuids())
def test_a_uuid_is_packed_as_psycopg_packs_it(value: UUID) -> None:
    assert copy.pack_uuid(value.bytes) == dumped(value)


def test_no_bytes_are_a_null_id() -> None:
    assert copy.pack_uuid(b"") == copy.NULL == pack(">i", -1)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))
def test_an_instant_is_packed_as_psycopg_packs_its_datetime(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    at_us = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert copy.pack_timestamptz(at_us) == dumped(at)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_is_packed_as_psycopg_packs_them(value: str) -> None:
    assert copy.pack_text(value) == dumped(value)


@pytest.mark.parametrize("value", [-32768, -1, 0, 7, 32767])
def test_small_integers_are_packed_in_their_width(value: int) -> None:
    assert loaded("int2", copy.pack_int2(value)) == loaded("int4", copy.pack_int4(value)) == value


def test_booleans_and_json_are_packed_as_psycopg_loads_them() -> None:
    assert [loaded("bool", copy.pack_bool(value)) for value in (True, False)] == [True, False]
    assert loaded("jsonb", copy.pack_jsonb('{"a": "1"}')) == {"a": "1"}


def test_a_row_begins_with_the_count_of_its_columns() -> None:
    assert copy.BinaryCopy("charge", ("a", "b", "c")).row_head == b"\x00\x03"
    assert loaded("numeric", copy.pack_numeric(-1_500_000_000, 9)) == Decimal("-1.5")
