"""Waits between tries: their bounds, their spread, and that a stop ends them."""

from __future__ import annotations

import asyncio

import pytest
from apportion_common.backoff import Backoff, until_stopped
from hypothesis import given
from hypothesis import strategies as st


def test_the_bound_doubles_with_each_failure_up_to_its_maximum() -> None:
    backoff = Backoff(0.5, 6, draw=lambda: 1.0)
    assert [backoff.delay_s(failures) for failures in range(1, 7)] == [0.5, 1, 2, 4, 6, 6]
    assert backoff.delay_s(1_000_000) == 6


def test_a_wait_lies_anywhere_below_its_bound() -> None:
    drawn = iter([0.0, 0.25, 0.99])
    backoff = Backoff(1, 10, draw=lambda: next(drawn))
    assert [backoff.delay_s(3) for _ in range(3)] == [0, 1, pytest.approx(3.96)]


@given(st.floats(0.001, 10), st.floats(1, 100), st.integers(0, 10**9))
def test_no_wait_is_negative_or_above_the_maximum(first_s: float, factor: float, failures: int) -> None:
    backoff = Backoff(first_s, first_s * factor)
    assert 0 <= backoff.delay_s(failures) <= first_s * factor


async def test_waiting_sleeps_as_long_as_was_drawn() -> None:
    slept: list[float] = []

    async def sleep(wait_s: float) -> None:
        slept.append(wait_s)

    backoff = Backoff(2, 100, draw=lambda: 0.5, sleep=sleep)
    for failures in (1, 2, 3):
        await backoff.wait(failures)
    assert slept == [1, 2, 4]


@pytest.mark.parametrize(("first_s", "max_s"), [(0, 1), (-1, 1), (2, 1)])
def test_bounds_that_make_no_sense_are_refused(first_s: float, max_s: float) -> None:
    with pytest.raises(ValueError, match="back-off"):
        Backoff(first_s, max_s)


async def test_a_stop_ends_a_wait_at_once() -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(Backoff(3_600, 3_600, draw=lambda: 1.0, sleep=until_stopped(stop)).wait(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    async with asyncio.timeout(30):
        await waiting


async def test_a_wait_that_nothing_stops_ends_by_itself() -> None:
    async with asyncio.timeout(30):
        await until_stopped(asyncio.Event())(0.01)
