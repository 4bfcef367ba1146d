"""Event times to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from apportion_common.errors import ApportionError
from apportion_metering.domain.times import check_time, parse_time, time_of
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2000, 1, 3), datetime(2100, 12, 29), timezones=ZONES))
def test_a_time_is_read_as_the_standard_library_reads_it(at: datetime) -> None:
    assert parse_time(at.isoformat()) == (at - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2013-01-31T10:00:00.0000001Z", "TIME_TOO_PRECISE"),
        ("2013-01-31T10:00:00.000000001Z", "TIME_TOO_PRECISE"),
        ("2013-01-31T10:00:00", "TIME_MALFORMED"),
        ("2013-01-31", "TIME_MALFORMED"),
        ("2013-02-29T10:00:00Z", "TIME_MALFORMED"),
        ("2013-01-31T24:00:00Z", "TIME_MALFORMED"),
        ("2012-06-30T23:59:60Z", "TIME_MALFORMED"),
        ("2013-01-31T10:00:00+24:00", "TIME_MALFORMED"),
        ("2013-01-31T10:00:00+1100", "TIME_MALFORMED"),
        ("2013-01-31T10:00:00.Z", "TIME_MALFORMED"),
        ("2013-01-31T10:00:00Z\n", "TIME_MALFORMED"),
        ("\uff12013-01-31T10:00:00Z", "TIME_MALFORMED"),
        ("0000-01-01T00:00:00Z", "TIME_MALFORMED"),
        ("1" * 10_000_000, "TIME_MALFORMED"),
        ("1999-12-31T23:59:59.999999Z", "TIME_OUT_OF_RANGE"),
        ("2000-01-01T00:00:00+00:01", "TIME_OUT_OF_RANGE"),
        ("2101-01-01T00:00:00Z", "TIME_OUT_OF_RANGE"),
        ("9999-12-31T23:59:59Z", "TIME_OUT_OF_RANGE"),
    ],
    ids=lambda value: value[:32],
)
def test_a_time_that_is_not_one_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ApportionError) as refused:
        parse_time(text)
    assert refused.value.reason == reason


def test_zeros_beyond_the_microsecond_are_the_same_instant() -> None:
    assert parse_time("2013-01-31T10:00:00.500000000Z") == parse_time("2013-01-31T10:00:00.5Z")


def test_seconds_and_nanos_are_a_time_too() -> None:
    assert time_of(1_359_626_400, 1_000) == 1_359_626_400_000_001
    assert check_time(1_359_626_400_000_001) == 1_359_626_400_000_001
    for nanos in (-1, 1_000_000_000):
        with pytest.raises(ApportionError) as refused:
            time_of(1_359_626_400, nanos)
        assert refused.value.reason == "TIME_MALFORMED"
