"""Resolves billing accounts as orgs knows them: kept under the revision they are from, confirmed before each batch.

A batch may only be rated under a revision of orgs that was the newest at some instant after the batch was read: so a
mapping made just before an event was sent is known when the event is rated. Confirming costs one call with no items;
lanes that wait at the same time share it. Orgs not answering makes the lane wait, it never rejects an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from apportion_pricing import errors, limits
from apportion_pricing.app import metrics
from apportion_pricing.app.edges import OrgsClient
from apportion_pricing.domain.accounts import AccountInterval, AccountsView, Need


class AccountResolver:
    """Asks orgs, as seldom as the promise above allows."""

    def __init__(self, orgs: OrgsClient) -> None:
        """Begin with nothing known."""
        self._orgs = orgs
        self._view = AccountsView(0)
        self._waiting: list[tuple[Sequence[Need], asyncio.Future[AccountsView]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def confirm(self, needs: Sequence[Need]) -> AccountsView:
        """Return a view under orgs' newest revision that answers `needs`, confirmed by a call that began after this.

        Raises Unavailable ORGS_UNAVAILABLE.
        """
        answer: asyncio.Future[AccountsView] = asyncio.get_running_loop().create_future()
        self._waiting.append((needs, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_for_waiting(), name="orgs-accounts")
        return await answer

    async def fill(self, view: AccountsView, needs: Sequence[Need]) -> None:
        """Make a view answer all `needs` too, as of its own revision. Raises Unavailable ORGS_UNAVAILABLE."""
        for _ in range(limits.RESOLVE_ROUNDS_MAX):
            missing = view.missing(needs)
            if not missing:
                return
            await self._ask(view, missing[: limits.RESOLVE_ITEMS_MAX])
        raise errors.orgs_unavailable("its answers come in too many pieces")

    async def _ask_for_waiting(self) -> None:
        """Answer everyone who waits now with one confirmation; who comes meanwhile gets the next."""
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
        if len(self._view) > limits.CACHED_ORGS_MAX:
            self._view = AccountsView(self._view.revision)
        items = self._view.missing(needs)[: limits.RESOLVE_ITEMS_MAX]
        answer = await self._orgs.resolve(items, 0)
        metrics.ORGS_CALLS.labels("confirm").inc()
        if answer.revision != self._view.revision:
            self._view = AccountsView(answer.revision)
        self._remember(self._view, items, answer.intervals)
        await self.fill(self._view, needs)
        return self._view

    async def _ask(self, view: AccountsView, items: Sequence[Need]) -> None:
        answer = await self._orgs.resolve(items, view.revision)
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
