"""Rate limits hold back a key that asks too often, and no other; they cannot be emptied by inventing keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apportion_common.errors import ResourceExhausted
from apportion_common.rate_limit import RateLimit
from apportion_dev.testing.clocks import FixedClock
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2025, 9, 20, 12, tzinfo=UTC)


def make(clock: FixedClock, *, capacity: int = 3, refill_per_s: float = 0.5, max_keys: int = 100) -> RateLimit:
    return RateLimit("tries", capacity, refill_per_s, clock, max_keys)


def is_let_through(limit: RateLimit, key: str) -> bool:
    try:
        limit.take(key, reason="TRIES_RATE_LIMITED")
    except ResourceExhausted:
        return False
    return True


def test_a_key_gets_its_capacity_and_then_a_refusal_that_says_when_to_come_back() -> None:
    clock = FixedClock(NOON)
    limit = make(clock)
    assert [is_let_through(limit, "a") for _ in range(3)] == [True] * 3

    with pytest.raises(ResourceExhausted, match="too many tries") as refused:
        limit.take("a", reason="TRIES_RATE_LIMITED")

    assert (refused.value.reason, refused.value.retry_after_s) == ("TRIES_RATE_LIMITED", 2)


def test_who_waits_as_long_as_told_is_let_through_and_who_comes_earlier_is_not() -> None:
    clock = FixedClock(NOON)
    limit = make(clock)
    for _ in range(3):
        limit.take("a", reason="TRIES_RATE_LIMITED")

    clock.advance(timedelta(seconds=1.9))
    assert not is_let_through(limit, "a")
    clock.advance(timedelta(seconds=0.1))
    assert is_let_through(limit, "a")
    assert not is_let_through(limit, "a")


def test_one_key_s_tries_cost_another_nothing() -> None:
    limit = make(FixedClock(NOON), capacity=1)
    assert is_let_through(limit, "a")
    assert is_let_through(limit, "b")
    assert not is_let_through(limit, "a")


def test_a_try_given_back_can_be_taken_again_and_no_more_than_the_capacity_is_ever_there() -> None:
    limit = make(FixedClock(NOON), capacity=1)
    limit.take("a", reason="TRIES_RATE_LIMITED")
    limit.give_back("a")
    limit.give_back("a")
    assert is_let_through(limit, "a")
    assert not is_let_through(limit, "a")


def test_whether_a_key_is_spent_can_be_asked_without_taking_a_try_or_a_place() -> None:
    limit = make(FixedClock(NOON), capacity=1, max_keys=1)
    assert not limit.is_spent("a")
    assert is_let_through(limit, "b")
    assert limit.is_spent("b")
    assert not limit.is_spent("a")


def test_a_clock_that_is_set_back_refills_nothing() -> None:
    clock = FixedClock(NOON)
    limit = make(clock, capacity=1)
    assert is_let_through(limit, "a")
    clock.advance(timedelta(hours=-1))
    assert not is_let_through(limit, "a")
    clock.advance(timedelta(seconds=2))
    assert is_let_through(limit, "a")


def test_inventing_keys_neither_frees_a_spent_one_nor_gives_more_than_the_newcomers_shared_bucket() -> None:
    clock = FixedClock(NOON)
    limit = make(clock, capacity=1, refill_per_s=0.1, max_keys=5)
    assert is_let_through(limit, "victim")

    let_through = sum(is_let_through(limit, f"invented-{number}") for number in range(1_000))

    assert let_through == 4 + 1
    assert not is_let_through(limit, "victim")


def test_a_key_whose_bucket_is_full_again_gives_its_place_to_a_newcomer() -> None:
    clock = FixedClock(NOON)
    limit = make(clock, capacity=1, refill_per_s=0.1, max_keys=2)
    assert is_let_through(limit, "a")
    assert is_let_through(limit, "b")
    clock.advance(timedelta(seconds=10))
    assert is_let_through(limit, "c")
    assert is_let_through(limit, "d")
    assert is_let_through(limit, "e")  # The shared bucket's only one.
    assert not is_let_through(limit, "f")


def test_the_place_of_the_newcomers_shared_bucket_never_becomes_a_key_s_own() -> None:
    clock = FixedClock(NOON)
    limit = make(clock, capacity=1, refill_per_s=1, max_keys=1)
    for _ in range(3):
        assert is_let_through(limit, "a")
        assert is_let_through(limit, "b")  # The shared bucket's only one.
        assert not is_let_through(limit, "c")
        clock.advance(timedelta(seconds=2))


@pytest.mark.parametrize(("capacity", "refill_per_s", "max_keys"), [(0, 1.0, 1), (1, 0.0, 1), (1, 1.0, 0)])
def test_a_limit_that_could_never_let_anybody_through_is_refused(
    capacity: int, refill_per_s: float, max_keys: int
) -> None:
    with pytest.raises(ValueError, match="above zero"):
        RateLimit("tries", capacity, refill_per_s, FixedClock(NOON), max_keys)


@given(
    capacity=st.integers(1, 5),
    refill_per_s=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    waits_ms=st.lists(st.integers(0, 4_000), max_size=40),
)
def test_over_any_stretch_of_time_no_more_is_let_through_than_capacity_and_refill_allow(
    capacity: int, refill_per_s: float, waits_ms: list[int]
) -> None:
    clock = FixedClock(NOON)
    limit = make(clock, capacity=capacity, refill_per_s=refill_per_s)
    taken_at_ms: list[int] = []
    now_ms = 0
    for wait_ms in waits_ms:
        now_ms += wait_ms
        clock.advance(timedelta(milliseconds=wait_ms))
        if is_let_through(limit, "a"):
            taken_at_ms.append(now_ms)
    for first in range(len(taken_at_ms)):
        for last in range(first, len(taken_at_ms)):
            allowed = capacity + (taken_at_ms[last] - taken_at_ms[first]) / 1_000 * refill_per_s
            assert last - first + 1 <= allowed + 1e-6
