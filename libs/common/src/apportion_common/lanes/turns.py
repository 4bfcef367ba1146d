"""Whose turn it is to commit: a few lanes of a role at once, each taking along others that wait with little to write.

What a transaction costs by itself is the same for one lane as for eight, and lanes mostly have their messages at the
same time: a call brings some to each. So a lane whose turn comes takes the work of lanes that wait with it, and those
wait for its commit only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

L = TypeVar("L", bound=Hashable)


class Turns(Generic[L]):
    """Turns of one role's lanes: a lane takes one, may take waiting lanes along, and ends it."""

    def __init__(self, at_once: int, patience_s: float) -> None:
        """Allow `at_once` turns; a second one begins only for a lane that has waited for `patience_s`.

        So lanes gather while a transaction is under way, and none waits long behind one that is held up.
        """
        self._free = at_once
        self._at_once = at_once
        self._patience_s = patience_s
        self._waiting: dict[L, asyncio.Future[bool]] = {}

    async def take(self, lane: L) -> bool:
        """Wait for a turn: True when it is this lane's, False when another lane's turn has served it."""
        if self._free == self._at_once:
            self._free -= 1
            return True
        served: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[lane] = served
        try:
            await asyncio.wait({served}, timeout=self._patience_s)
            if lane in self._waiting and self._free:
                del self._waiting[lane]
                self._free -= 1
                return True
            return await served
        except asyncio.CancelledError:
            self._waiting.pop(lane, None)
            if served.done() and not served.cancelled() and served.result():
                self.end()
            raise

    def end(self) -> None:
        """End a turn: the lane that has waited longest is next."""
        for lane, served in tuple(self._waiting.items()):
            del self._waiting[lane]
            if not served.done():
                served.set_result(True)
                return
        self._free += 1

    def waiting(self) -> Iterator[L]:
        """Yield the lanes that wait, the longest first; each may be taken along meanwhile."""
        for lane, served in tuple(self._waiting.items()):
            if not served.done():
                yield lane

    def take_along(self, lane: L) -> asyncio.Future[bool]:
        """Take a lane out of the waiting ones: it waits until the returned future is given False."""
        return self._waiting.pop(lane)


def serve(along: list[asyncio.Future[bool]]) -> None:
    """Let lanes that were taken along go on."""
    for served in along:
        if not served.done():
            served.set_result(False)
