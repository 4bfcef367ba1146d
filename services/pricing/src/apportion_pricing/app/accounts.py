"""Billing accounts as orgs knows them: kept in memory under the revision they are from, confirmed before each batch.

A batch may only be rated under a revision of orgs that was the newest at some instant after the batch was read: so a
mapping made just before an event was sent is known when the event is rated. Confirming costs one call with no items;
lanes that wait at the same time share it. Orgs not answering makes the lane wait, it never refuses an event.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from apportion_pricing import errors, limits
from apportion_pricing.app import metrics
from apportion_pricing.app.ports import AccountInterval, OrgsGateway

Need = tuple[bytes, int]
"""An organisation and an instant in microseconds."""


class AccountsView:
    """What is known under one revision of orgs. It only grows; another revision is another view."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self._intervals: dict[bytes, list[AccountInterval]] = {}

    def __len__(self) -> int:
        return len(self._intervals)

    def find(self, org_id: bytes, at_us: int) -> AccountInterval | None:
        """The interval of an organisation that holds at the instant, or None when it has not been asked for."""
        intervals = self._intervals.get(org_id)
        if intervals is None:
            return None
        index = bisect_right(intervals, at_us, key=lambda interval: interval.start_us)
        if index == 0 or intervals[index - 1].end_us <= at_us:
            return None
        return intervals[index - 1]

    def add(self, org_id: bytes, interval: AccountInterval) -> None:
        """Remember an interval; it is one that was not known."""
        intervals = self._intervals.setdefault(org_id, [])
        intervals.insert(bisect_right(intervals, interval.start_us, key=lambda known: known.start_us), interval)

    def missing(self, needs: Iterable[Need]) -> list[Need]:
        """One need of each organisation that the view cannot answer yet, the earliest, in a fixed order."""
        earliest: dict[bytes, int] = {}
        for org_id, at_us in needs:
            if self.find(org_id, at_us) is None and at_us < earliest.get(org_id, at_us + 1):
                earliest[org_id] = at_us
        return sorted(earliest.items())


class OrgsAccounts:
    """Asks orgs, as seldom as the promise above allows."""

    def __init__(self, gateway: OrgsGateway) -> None:
        self._gateway = gateway
        self._view = AccountsView(0)
        self._waiting: list[tuple[Sequence[Need], asyncio.Future[AccountsView]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def confirm(self, needs: Sequence[Need]) -> AccountsView:
        """A view under orgs' newest revision, confirmed by a call that began after this one, answering all `needs`.

        Raises Unavailable ORGS_UNAVAILABLE.
        """
        answer: asyncio.Future[AccountsView] = asyncio.get_running_loop().create_future()
        self._waiting.append((needs, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_for_waiting(), name="orgs-accounts")
        return await answer

    async def fill(self, view: AccountsView, needs: Sequence[Need]) -> None:
        """Make a view answer all `needs` too, as of its own revision. Raises Unavailable ORGS_UNAVAILABLE."""
        for _ in range(limits.RESOLVE_ROUNDS):
            missing = view.missing(needs)
            if not missing:
                return
            await self._ask(view, missing[: limits.RESOLVE_ITEMS])
        raise errors.orgs_unavailable("its answers come in too many pieces")

    async def _ask_for_waiting(self) -> None:
        """Serve everyone who waits now with one confirmation; who comes meanwhile gets the next."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    view = await self._confirmed([need for needs, _ in waiting for need in needs])
                except BaseException as error:
                    for _, answer in waiting:
                        if not answer.done():
                            answer.set_exception(error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    for _, answer in waiting:
                        if not answer.done():
                            answer.set_result(view)
        finally:
            self._asking = None
            for _, answer in self._waiting:
                answer.cancel()

    async def _confirmed(self, needs: Sequence[Need]) -> AccountsView:
        if len(self._view) > limits.CACHED_ORGS:
            self._view = AccountsView(self._view.revision)
        items = self._view.missing(needs)[: limits.RESOLVE_ITEMS]
        answer = await self._gateway.resolve(items, 0)
        metrics.ORGS_CALLS.labels("confirm").inc()
        if answer.revision != self._view.revision:
            self._view = AccountsView(answer.revision)
        self._remember(self._view, items, answer.intervals)
        await self.fill(self._view, needs)
        return self._view

    async def _ask(self, view: AccountsView, items: Sequence[Need]) -> None:
        answer = await self._gateway.resolve(items, view.revision)
        metrics.ORGS_CALLS.labels("fill").inc()
        # Revision 0 is asked for as "the newest": orgs may have been written to meanwhile.
        if answer.revision != view.revision:
            raise errors.orgs_unavailable(f"it answered as of revision {answer.revision} instead of {view.revision}")
        self._remember(view, items, answer.intervals)

    @staticmethod
    def _remember(view: AccountsView, items: Sequence[Need], intervals: Sequence[AccountInterval]) -> None:
        if len(items) != len(intervals):
            raise errors.orgs_unavailable("it answered another number of items than it was asked")
        for (org_id, at_us), interval in zip(items, intervals, strict=True):
            if not interval.start_us <= at_us < interval.end_us:
                raise errors.orgs_unavailable("an interval does not contain its own instant")
            if view.find(org_id, at_us) is None:
                view.add(org_id, interval)
