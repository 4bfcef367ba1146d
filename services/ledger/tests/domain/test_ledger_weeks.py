"""ISO weeks in UTC, half-open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apportion_common.errors import ApportionError
from apportion_ledger.domain.weeks import parse_week
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


@given(st.datetimes(datetime(2000, 1, 4), datetime(2100, 12, 26), timezones=st.just(UTC)))
def test_a_week_holds_its_instants(at: datetime) -> None:
    year, number, _ = at.isocalendar()
    week = parse_week(f"{year}-W{number:02d}")
    assert week.key == f"{year}-W{number:02d}"
    assert week.start_us <= us(at) < week.end_us


def test_the_first_week_of_2013_begins_in_2012() -> None:
    week = parse_week("2013-W01")
    assert week.start_us == us(datetime(2012, 12, 31, tzinfo=UTC))
    assert week.end_us == us(datetime(2013, 1, 7, tzinfo=UTC)) == parse_week("2013-W02").start_us


@pytest.mark.parametrize(
    "key",
    [
        "",
        "2013",
        "2013-01",
        "2013-W00",
        "2013-W53",
        "2013-W54",
        "2013-w01",
        "2013-W1",
        "1999-W01",
        "2101-W01",
        "x" * 99,
    ],
)
def test_what_is_not_a_week_is_malformed(key: str) -> None:
    with pytest.raises(ApportionError) as rejected:
        parse_week(key)
    assert rejected.value.reason == "WEEK_MALFORMED"


def test_only_some_years_have_a_week_53() -> None:
    assert parse_week("2015-W53").end_us == parse_week("2016-W01").start_us
