"""A task that is cancelled ends, also when a cancellation is lost on the way."""

from __future__ import annotations

import asyncio

import pytest
from apportion_common import tasks
from apportion_common.tasks import cancel_and_wait, until_done


async def test_a_task_that_loses_a_cancellation_is_cancelled_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_S", 0.01)
    lost = 0

    async def work() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                if lost == 3:
                    raise
                lost += 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert task.cancelled()
    assert lost == 3


async def test_what_a_task_ends_with_is_nothing_to_who_ends_it() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            raise OSError("the connection is gone")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert isinstance(task.exception(), OSError)
    await cancel_and_wait(task)


async def test_who_waits_can_be_cancelled_too() -> None:
    stubborn = asyncio.Event()

    async def work() -> None:
        while not stubborn.is_set():
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel_and_wait(task))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    stubborn.set()
    await cancel_and_wait(task)


async def test_what_was_begun_comes_to_its_end_before_a_cancellation_is_raised() -> None:
    ended = asyncio.Event()
    go_on = asyncio.Event()

    async def work() -> str:
        await go_on.wait()
        ended.set()
        return "done"

    waiting = asyncio.create_task(until_done(asyncio.create_task(work())))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
    assert await until_done(asyncio.create_task(work())) == "done"
