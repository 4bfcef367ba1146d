"""Cancelling work at each of its awaits, and looking at what it leaves behind.

    with Leftovers.watched(database, place, "name of the engine") as left:
        async for instant in cancelled_everywhere(lambda: use_case(database), "while it waits"):
            await left.expect_none(instant)

Collections of garbage are held off meanwhile, as they hardly ever come in a service's process: what only they would
return counts as left behind.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import psycopg
from apportion_common.db.engine import psycopg_url
from apportion_common.db.unit_of_work import Database
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from apportion_dev.testing.databases import ServiceDatabase

How = Literal["while it waits", "as it begins to wait", "as it is woken", "twice"]
HOWS: Final[tuple[How, ...]] = ("while it waits", "as it begins to wait", "as it is woken", "twice")
AWAITS_MAX: Final = 500
"""Most awaits that a piece of work may have before this counts as going on forever."""
SETTLE_TIMEOUT_S: Final = 30
"""Longest wait for what has been cancelled to be given back."""
SPARE_SESSIONS: Final = 4
"""Sessions whose connections are closed and that the server has not ended yet."""
_POLL_S: Final = 0.005


class _Steps:
    """Work that is cancelled at its n-th await."""

    def __init__(self, work: Coroutine[Any, Any, object], nth: int, how: How) -> None:
        self._work, self._nth, self._how = work, nth, how
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        step: Callable[[], Any] = lambda: next(steps)  # noqa: E731 (it is replaced below)
        while True:
            try:
                awaited = step()
            except StopIteration:
                return
            self.awaits += 1
            if self.awaits == self._nth or (self._how == "twice" and self.awaits == self._nth + 1):
                self._cancel(awaited)
            try:
                value = yield awaited
            except BaseException as error:
                step = _throwing(steps, error)
            else:
                step = _sending(steps, value)

    def _cancel(self, awaited: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._how == "as it begins to wait":
            task.cancel()
        elif self._how == "as it is woken" and asyncio.isfuture(awaited):
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


def _throwing(steps: Generator[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: steps.throw(error)


def _sending(steps: Generator[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: steps.send(value)


async def cancelled_everywhere(
    make: Callable[[], Coroutine[Any, Any, object]], how: How, before: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[str]:
    """Run work again and again, cancelled at its first, second, third … await, until it ends before its turn.

    `before` is awaited before each run. Yields a name of the instant after each run, for messages.
    """
    for nth in range(1, AWAITS_MAX):
        if before is not None:
            await before()
        steps = _Steps(make(), nth, how)
        task = asyncio.create_task(_run(steps))
        await asyncio.wait({task}, timeout=SETTLE_TIMEOUT_S)
        assert task.done(), f"Work that was cancelled at await {nth} ({how}) does not end."
        if not task.cancelled():
            # A cancellation may hit the last await too late to matter; work that was not cancelled does not raise.
            task.result()
        yield f"await {nth}, {how}"
        if steps.awaits < nth:
            return
    raise AssertionError(f"The work has more than {AWAITS_MAX} awaits.")


async def _run(steps: _Steps) -> None:
    await steps


_LOOK: Final = """
SELECT (SELECT count(*) FROM pg_locks
         WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
       count(*) FILTER (WHERE state <> 'idle'),
       count(*)
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = %s
"""


@dataclass(frozen=True)
class Leftovers:
    """What cancelled work may have left behind in this process and on the database's server."""

    database: Database
    application_name: str
    tasks: frozenset[asyncio.Task[Any]]
    """The tasks that were there before."""
    session: psycopg.Connection[Any]
    """To look with, as the same role: the state of the sessions of others is hidden."""

    @classmethod
    @contextmanager
    def watched(cls, database: Database, place: ServiceDatabase, application_name: str) -> Iterator[Leftovers]:
        """Remember how things are now, and hold off collections of garbage until the block ends."""
        gc.collect()
        gc.disable()
        try:
            with psycopg.connect(psycopg_url(place.app_url), autocommit=True) as session:
                yield cls(database, application_name, frozenset(asyncio.all_tasks()), session)
        finally:
            gc.enable()

    async def expect_none(self, when: str) -> None:
        """Fail unless, soon, everything has been given back, and then every pooled connection takes a write."""
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while self.found():  # noqa: ASYNC110 (what it waits for happens in several places)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise AssertionError(f"Left behind after {when}: {self.found()}") from None
        await self.expect_writes(when)

    def found(self) -> dict[str, object]:
        """Return what is left behind at the moment, by kind; nothing when all is well."""
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() - self.tasks if task is not own and not task.done()]
        locks, transactions, sessions = self._look()
        found = {
            "tasks": [str(task.get_coro()) for task in tasks],
            "connections in use": pool_of(self.database.engine).checkedout(),
            "advisory locks": locks,
            "open transactions": transactions,
            "sessions above the pool's size": max(sessions - pool_of(self.database.engine).size(), 0),
        }
        return {kind: what for kind, what in found.items() if what}

    def sessions(self) -> int:
        """Return how many sessions of that name the server has in this database."""
        return self._look()[2]

    async def until_busy(self) -> None:
        """Wait until a session of that name runs a statement."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while not self._look()[1]:  # noqa: ASYNC110 (what it waits for happens on the server)
                await asyncio.sleep(_POLL_S)

    def expect_bounded(self) -> None:
        """Fail when the server has more sessions of that name than the pool may hold, and SPARE_SESSIONS."""
        sessions, size = self.sessions(), pool_of(self.database.engine).size()
        assert sessions <= size + SPARE_SESSIONS, f"{sessions} sessions, where the pool holds at most {size}."

    async def expect_writes(self, when: str) -> None:
        """Fail unless every connection that the pool may hold takes a write, one beside the other."""
        size = pool_of(self.database.engine).size()
        async with AsyncExitStack() as stack:
            transactions = [await stack.enter_async_context(self.database.transaction()) for _ in range(size)]
            for tx in transactions:
                state = (await tx.execute("SELECT current_setting('transaction_read_only')")).scalar_one()
                assert state == "off", f"A connection is read-only after {when}."
                level = (await tx.execute("SELECT current_setting('transaction_isolation')")).scalar_one()
                assert level == "read committed", f"A connection is at {level} after {when}."
                await tx.execute("INSERT INTO inbox (consumer, event_id) VALUES ('left', gen_random_uuid())")

    def _look(self) -> tuple[int, int, int]:
        """Advisory locks of the database, open transactions and sessions of that name."""
        found: tuple[int, int, int] | None = self.session.execute(_LOOK, (self.application_name,)).fetchone()
        assert found is not None
        return found


def pool_of(engine: AsyncEngine) -> QueuePool:
    """Return an engine's pool, which counts."""
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    return pool
