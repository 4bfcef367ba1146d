"""Find the entries of a failing batch that fail alone: halve it, each part under a savepoint of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from apportion_common.db.unit_of_work import Transaction
from apportion_common.faults import classify
from apportion_common.lanes.limits import BISECT_DEPTH_MAX

T = TypeVar("T")
R = TypeVar("R")


async def bisect(
    tx: Transaction,
    items: Sequence[T],
    *,
    attempt: Callable[[Sequence[T]], Awaitable[R]],
    quarantine: Callable[[T, Exception], Awaitable[R]],
    merge: Callable[[list[R]], R],
) -> R:
    """Apply the items in their order, and quarantine those that fail alone.

    `attempt` applies a run of items; what it has written when it raises is undone, so it has no other effect before it
    returns. `quarantine` deals with one item and the error that it fails with, outside that savepoint: what it raises
    ends the whole. `merge` joins the results of the parts, which come in the items' order and are never none.

    Infrastructure errors are raised as they come: they are nobody's entry's fault. So is the error of a batch without
    items, since nothing of it can be quarantined. Raises ValueError for more than 2 ** BISECT_DEPTH_MAX items.
    """
    if len(items) > 1 << BISECT_DEPTH_MAX:
        raise ValueError(f"A batch of {len(items)} items is more than {BISECT_DEPTH_MAX} halvings take apart.")
    results: list[R] = []
    parts = [items]
    while parts:
        part = parts.pop()
        try:
            async with tx.savepoint():
                result = await attempt(part)
        except Exception as error:
            if classify(error) == "infrastructure" or not part:
                raise
            if len(part) > 1:
                middle = len(part) // 2
                parts += (part[middle:], part[:middle])
                continue
            result = await quarantine(part[0], error)
        results.append(result)
    return merge(results)
