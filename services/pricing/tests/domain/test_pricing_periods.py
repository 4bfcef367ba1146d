"""The periods that pricing counts in are calendar months in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from apportion_common.errors import ApportionError
from apportion_common.periods import Period, is_period_start, parse_period, period_of
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(at: datetime) -> int:
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)))
def test_an_instant_falls_in_its_calendar_month(at: datetime) -> None:
    period = period_of(us(at))
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    assert period == Period(f"{at:%Y-%m}", us(first), us(following))
    assert parse_period(period.key) == period
    assert period_of(period.last_us) == period
    assert is_period_start(us(at)) == (at == first)


def test_periods_are_half_open() -> None:
    january = parse_period("2013-01")
    assert period_of(january.end_us).key == "2013-02"
    assert period_of(january.start_us - 1).key == "2012-12"


@pytest.mark.parametrize(
    "key", ["", "2013", "2013-00", "2013-13", "2013-1", "2013-01-01", "\uff12\uff1013-01", "2013-01\n"]
)
def test_what_is_not_a_month_is_malformed(key: str) -> None:
    with pytest.raises(ApportionError) as refused:
        parse_period(key)
    assert refused.value.reason == "PERIOD_MALFORMED"


@pytest.mark.parametrize(
    "at_us", [us(datetime(1970, 1, 1, tzinfo=UTC)) - 1, us(datetime(2101, 1, 1, tzinfo=UTC)), -(10**30), 10**30]
)
def test_times_outside_the_known_years_are_refused(at_us: int) -> None:
    with pytest.raises(ApportionError) as refused:
        period_of(at_us)
    assert refused.value.reason == "TIME_OUT_OF_RANGE"
    with pytest.raises(ApportionError) as refused:
        parse_period("1969-12")
    assert refused.value.reason == "TIME_OUT_OF_RANGE"
