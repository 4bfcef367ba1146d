"""Periods: months in UTC, half-open."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from apportion_common.errors import ApportionError
from apportion_common.instants import us_of_datetime as us
from apportion_common.periods import Period, is_period_start, parse_period, period_of
from hypothesis import given
from hypothesis import strategies as st

JANUARY = parse_period("2013-01")
FEBRUARY = parse_period("2013-02")


def test_a_period_is_a_month_half_open() -> None:
    assert Period("2013-01", 1_356_998_400_000_000, 1_359_676_800_000_000) == JANUARY
    assert period_of(JANUARY.start_us) == period_of(JANUARY.end_us - 1) == JANUARY
    assert period_of(JANUARY.end_us) == FEBRUARY
    assert parse_period("2012-12").end_us == JANUARY.start_us
    assert period_of(0).key == "1970-01"
    assert (is_period_start(JANUARY.start_us), is_period_start(JANUARY.end_us - 1)) == (True, False)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)))
def test_an_instant_falls_in_its_calendar_month(at: datetime) -> None:
    period = period_of(us(at))
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    assert period == Period(f"{at:%Y-%m}", us(first), us(following))
    assert parse_period(period.key) == period
    assert period_of(period.end_us - 1) == period
    assert is_period_start(us(at)) == (at == first)


@pytest.mark.parametrize("key", ["", "2013", "2013-13", "2013-00", "2013-1", "2013-01-01", "２０１３-01", "2013-01\n"])
def test_what_is_no_month_is_malformed(key: str) -> None:
    with pytest.raises(ApportionError) as malformed:
        parse_period(key)
    assert malformed.value.reason == "PERIOD_MALFORMED"


@pytest.mark.parametrize("at_us", [-1, parse_period("2100-12").end_us, -(10**30), 10**30])
def test_times_far_away_are_out_of_range(at_us: int) -> None:
    with pytest.raises(ApportionError) as error:
        period_of(at_us)
    assert error.value.reason == "TIME_OUT_OF_RANGE"
    with pytest.raises(ApportionError):
        parse_period("1969-12")
