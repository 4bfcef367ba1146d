"""Periodic work: the next one at once after a full one, infrastructure failures are waited out, others raised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

import pytest
from apportion_common.errors import Unavailable
from apportion_common.periodic import run_periodically

FULL = 10
NEVER_S = 3_600
"""Longer than any test: who waits for it is stopped."""


class Rounds:
    """Rounds that come to what is given, an error being raised; after the last one all is stopped."""

    def __init__(self, *outcomes: int | Exception) -> None:
        self.stop = asyncio.Event()
        self.left: Iterator[int | Exception] = iter(outcomes)
        self.done = 0
        self.last = len(outcomes)
        self.failures: list[Exception] = []

    async def one(self) -> int:
        self.done += 1
        if self.done == self.last:
            self.stop.set()
        outcome = next(self.left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def run(self, every_s: float) -> None:
        await run_periodically(self.one, every_s, self.stop, full=FULL, on_failure=self.failures.append)


async def test_a_full_round_is_followed_at_once() -> None:
    rounds = Rounds(FULL, FULL, 3)
    await asyncio.wait_for(rounds.run(NEVER_S), 60)
    assert rounds.done == 3


async def test_a_round_that_was_not_full_is_followed_after_the_pause() -> None:
    rounds = Rounds(3, FULL)
    task = asyncio.create_task(rounds.run(NEVER_S))
    for _ in range(100):
        await asyncio.sleep(0)
    rounds.stop.set()
    await task
    assert rounds.done == 1


async def test_an_infrastructure_failure_is_passed_on_and_waited_out() -> None:
    failure = Unavailable("DATABASE_UNAVAILABLE", "The database does not answer.")
    rounds = Rounds(failure, 3)
    await rounds.run(0)
    assert (rounds.done, rounds.failures) == (2, [failure])


async def test_an_error_of_its_own_ends_the_work() -> None:
    rounds = Rounds(ValueError("wrong"), 3)
    with pytest.raises(ValueError, match="wrong"):
        await rounds.run(0)
    assert rounds.failures == []


async def test_after_a_failure_it_is_tried_again_in_its_own_time() -> None:
    rounds = Rounds(Unavailable("DATABASE_UNAVAILABLE", "Away."), 1)
    await run_periodically(rounds.one, NEVER_S, rounds.stop, retry_s=0, on_failure=rounds.failures.append)
    assert (rounds.done, len(rounds.failures)) == (2, 1)


async def test_the_pause_grows_while_there_is_nothing_to_do_and_starts_again_with_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds = Rounds(0, 0, 0, 5, 0, 0)
    pauses: list[float] = []

    async def skip(waited: Awaitable[object], pause_s: float) -> None:
        pauses.append(pause_s)
        waited.close()  # type: ignore[attr-defined]

    monkeypatch.setattr(asyncio, "wait_for", skip)
    await run_periodically(rounds.one, 2, rounds.stop, idle_s=10, on_failure=rounds.failures.append)
    assert pauses == [4, 8, 10, 2, 4, 8]
