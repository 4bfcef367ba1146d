"""Periods: months in UTC, half-open."""

from __future__ import annotations

import pytest
from apportion_common.errors import ApportionError
from apportion_common.periods import Period, is_period_start, parse_period, period_of

JANUARY = parse_period("2013-01")
FEBRUARY = parse_period("2013-02")


def test_a_period_is_a_month_half_open() -> None:
    assert Period("2013-01", 1_356_998_400_000_000, 1_359_676_800_000_000) == JANUARY
    assert period_of(JANUARY.start_us) == period_of(JANUARY.end_us - 1) == JANUARY
    assert period_of(JANUARY.end_us) == FEBRUARY
    assert parse_period("2012-12").end_us == JANUARY.start_us
    assert period_of(0).key == "1970-01"
    assert (is_period_start(JANUARY.start_us), is_period_start(JANUARY.end_us - 1)) == (True, False)


@pytest.mark.parametrize("key", ["", "2013", "2013-13", "2013-00", "2013-1", "2013-01-01", "２０１３-01"])
def test_what_is_no_month_is_malformed(key: str) -> None:
    with pytest.raises(ApportionError) as malformed:
        parse_period(key)
    assert malformed.value.reason == "PERIOD_MALFORMED"


@pytest.mark.parametrize("at_us", [-1, parse_period("2100-12").end_us])
def test_times_far_away_are_out_of_range(at_us: int) -> None:
    with pytest.raises(ApportionError) as error:
        period_of(at_us)
    assert error.value.reason == "TIME_OUT_OF_RANGE"
    with pytest.raises(ApportionError):
        parse_period("1969-12")
