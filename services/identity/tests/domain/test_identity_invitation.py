"""Where an invitation stands, and when its day ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from apportion_common.errors import ApportionError
from apportion_identity.domain.invitations import (
    Ends,
    InvitationState,
    check_acceptable,
    day_of,
    seconds_to_next_day,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("ends", "state", "reason"),
    [
        (Ends(NOW + SECOND), InvitationState.LIVE, ""),
        (Ends(NOW), InvitationState.EXPIRED, "INVITATION_EXPIRED"),
        (Ends(NOW + SECOND, consumed_at=NOW), InvitationState.CONSUMED, "INVITATION_CONSUMED"),
        (Ends(NOW - SECOND, consumed_at=NOW), InvitationState.CONSUMED, "INVITATION_CONSUMED"),
        (Ends(NOW - SECOND, revoked_at=NOW), InvitationState.REVOKED, "INVITATION_REVOKED"),
    ],
)
def test_an_invitation_stands_where_its_ends_say_and_only_a_live_one_is_accepted(
    ends: Ends, state: InvitationState, reason: str
) -> None:
    assert ends.state(NOW) is state
    if not reason:
        check_acceptable(ends, NOW, is_addressee=True)
    else:
        with pytest.raises(ApportionError) as rejected:
            check_acceptable(ends, NOW, is_addressee=True)
        assert rejected.value.reason == reason
    with pytest.raises(ApportionError) as foreign:
        check_acceptable(ends, NOW, is_addressee=False)
    assert foreign.value.reason == "INVITATION_FOREIGN"


def test_a_day_is_utc_wherever_the_clock_hangs() -> None:
    sydney = timezone(timedelta(hours=11))
    assert day_of(datetime(2026, 3, 15, 10, tzinfo=sydney)) == date(2026, 3, 14)
    assert seconds_to_next_day(datetime(2026, 3, 15, 10, tzinfo=sydney)) == 60 * 60


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_who_waits_as_long_as_told_comes_to_the_next_day_and_not_much_later(now: datetime) -> None:
    wait = timedelta(seconds=seconds_to_next_day(now))
    assert day_of(now + wait) == day_of(now) + timedelta(days=1)
    assert day_of(now + wait - SECOND - timedelta(microseconds=1)) == day_of(now) or wait == SECOND
