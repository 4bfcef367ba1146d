"""Grouping of entries to the messages of their lanes."""

from __future__ import annotations

import pytest
from apportion_common.errors import OutOfRange
from apportion_metering.domain.messages import plan_messages
from apportion_metering.limits import MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX
from hypothesis import given
from hypothesis import strategies as st

ENTRIES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 90)), max_size=60)


@given(ENTRIES, st.integers(1, 5), st.integers(100, 200))
def test_every_entry_is_in_one_message_of_its_lane_in_order_and_within_the_limits(
    entries: list[tuple[int, int]], entries_max: int, bytes_max: int
) -> None:
    lanes, sizes = [lane for lane, _ in entries], [size for _, size in entries]
    messages = plan_messages(lanes, sizes, 10, entries_max, bytes_max)
    for message in messages:
        assert 1 <= len(message.entries) <= entries_max
        assert message.size_bytes == 10 + sum(sizes[i] for i in message.entries) <= bytes_max
    for lane in range(4):
        order = [i for message in messages if message.lane == lane for i in message.entries]
        assert order == [i for i, own in enumerate(lanes) if own == lane]


def test_a_call_has_one_message_per_lane_until_one_is_full() -> None:
    assert len(plan_messages([1] * MESSAGE_ENTRIES_MAX, [10] * MESSAGE_ENTRIES_MAX, 100)) == 1
    assert len(plan_messages([1] * (MESSAGE_ENTRIES_MAX + 1), [10] * (MESSAGE_ENTRIES_MAX + 1), 100)) == 2


def test_a_message_may_be_exactly_as_large_as_allowed() -> None:
    assert plan_messages([1], [MESSAGE_BYTES_MAX - 100], 100)[0].size_bytes == MESSAGE_BYTES_MAX
    with pytest.raises(OutOfRange) as refused:
        plan_messages([1], [MESSAGE_BYTES_MAX - 99], 100)
    assert refused.value.reason == "ENTRY_TOO_LARGE"
