"""Signing keys: at every instant one signs, and whoever polls knows it before it does and as long as it matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_identity.domain.signing_keys import KeyTimes, is_due, is_over, published_at, signing_at, succeed
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
LEAD, LIFE = timedelta(seconds=90), timedelta(seconds=660)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def rotate(keys: list[KeyTimes], now: datetime) -> list[KeyTimes]:
    """The keys with one more, as the store has them afterwards."""
    plan = succeed(keys, now, lead=LEAD, token_life=LIFE)
    ended = [
        KeyTimes(key.kid, key.created_at, key.signs_from, plan.verify_until.get(key.kid, key.verifies_until))
        for key in keys
    ]
    return [*ended, KeyTimes(f"key-{len(keys):03}", now, plan.signs_from)]


def test_the_first_key_signs_at_once_and_the_next_one_after_the_lead() -> None:
    keys = rotate([], NOON)
    assert signing_at(keys, NOON) == keys[0]
    keys = rotate(keys, after(1_000))
    first, second = keys
    assert (second.signs_from, first.verifies_until) == (after(1_090), after(1_090 + 660))
    assert signing_at(keys, after(1_089)) == first
    assert signing_at(keys, after(1_090)) == second
    assert published_at(keys, after(1_000)) == [first, second]
    assert published_at(keys, after(1_749)) == [first, second]
    assert published_at(keys, after(1_750)) == [second]


def test_a_second_rotation_waits_until_the_first_one_s_key_signs() -> None:
    keys = rotate(rotate([], NOON), after(10))
    with pytest.raises(FailedPrecondition) as rejection:
        rotate(keys, after(99))
    assert rejection.value.reason == "ROTATION_IN_PROGRESS"
    assert len(rotate(keys, after(100))) == 3


def test_a_clock_behind_the_one_that_made_the_first_key_signs_with_it_all_the_same() -> None:
    keys = rotate([], NOON)
    assert signing_at(keys, after(-5)) == keys[0]
    assert signing_at([], NOON) is None


def test_a_key_is_due_by_the_age_of_the_newest_one() -> None:
    keys, month = rotate([], NOON), timedelta(days=30)
    assert not is_due(keys, NOON + month - timedelta(seconds=1), month)
    assert is_due(keys, NOON + month, month)
    assert not is_due(rotate(keys, NOON + month), NOON + month, month)
    assert not is_due([], NOON, month)


@given(pauses_s=st.lists(st.integers(0, 2_000), max_size=12), offsets_s=st.lists(st.integers(0, 12_000), max_size=30))
def test_whoever_polls_in_time_can_verify_every_token_for_its_whole_life(
    pauses_s: list[int], offsets_s: list[int]
) -> None:
    history: list[tuple[datetime, list[KeyTimes]]] = [(NOON, rotate([], NOON))]
    now = NOON
    for pause_s in pauses_s:
        now += timedelta(seconds=pause_s)
        try:
            history.append((now, rotate(history[-1][1], now)))
        except FailedPrecondition:
            continue

    def keys_at(instant: datetime) -> list[KeyTimes]:
        return [keys for since, keys in history if since <= instant][-1]

    for offset_s in offsets_s:
        issued = after(offset_s)
        signing = signing_at(keys_at(issued), issued)
        assert signing is not None
        for seen_s in (-LEAD.total_seconds() + 1, 0, 300, 600, 659):
            # A verifier that looked at this instant, up to a whole lead before the token was made.
            looked = max(issued + timedelta(seconds=seen_s), NOON)
            known = {key.kid for key in published_at(keys_at(looked), looked)}
            assert signing.kid in known, (offset_s, seen_s)


def test_a_key_without_a_successor_is_never_over() -> None:
    assert not is_over(KeyTimes("a", NOON, NOON), after(10**9))
