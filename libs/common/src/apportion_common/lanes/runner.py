"""Run one role's lanes in a process: take a fair share, keep the leases, work, let go."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Generic, TypeVar

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from apportion_common import failpoints
from apportion_common.backoff import Backoff
from apportion_common.db.unit_of_work import Database
from apportion_common.faults import classify
from apportion_common.lanes import limits, metrics
from apportion_common.lanes.errors import Fenced, LaneStopped, StreamMissing
from apportion_common.lanes.lane import OwnedLane
from apportion_common.lanes.model import LaneProcessor, StreamInput, StreamOutput
from apportion_common.lanes.retries import say_retry
from apportion_common.lanes.store import LaneStore
from apportion_common.lanes.turns import Turns
from apportion_common.logs import get_logger
from apportion_common.tasks import cancel_and_wait
from apportion_common.topology import LANES

T = TypeVar("T")

PURGE_INTERVAL_S = 600.0

log = get_logger(__name__)


WORKING_PLACES = ("before_execute", "after_execute", "after_commit")
PUBLISHING_PLACES = ("after_part", "after_publish", "before_ack")


def _never() -> bool:
    return False


def register_fail_points(role: str, *, publishes: bool = True) -> None:
    """Make the runner's fail points of a role known; a service calls it where it names the role.

    A role that publishes nothing never passes the places of publishing.
    """
    for place in (*WORKING_PLACES, *(PUBLISHING_PLACES if publishes else ())):
        failpoints.register(f"{role}.{place}")


class LaneRunner(Generic[T]):
    """Owns lanes by lease (liveness) and works them under epoch and cursor (safety)."""

    def __init__(
        self,
        database: Database,
        client: Client,
        *,
        role: str,
        source: StreamInput,
        output: StreamOutput | None,
        processor: LaneProcessor[T],
        worker_id: str,
        lease_s: float,
        lanes: int = LANES,
        paused: Callable[[], bool] = _never,
    ) -> None:
        """Work the lanes of `role`. While `paused()` is true none is held and no batch begins: messages wait on the
        stream, and are worked from the lanes' positions when it is over.
        """
        self._database = database
        self._client = client
        self._role = role
        self._source = source
        self._output = output
        self._processor = processor
        self._lease_s = lease_s
        self._lanes = lanes
        self._paused = paused
        self._was_paused = False
        self._missing: set[str] = set()
        self._reconnects = client.stats["reconnects"]
        self._look_at = 0.0
        self._store = LaneStore(database, role, worker_id, lease_s)
        self._turns: Turns[OwnedLane[T]] = Turns(limits.COMMITS_AT_ONCE, limits.TURN_PATIENCE_S)
        self._owned: dict[int, OwnedLane[T]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._backoff = Backoff(limits.RETRY_FIRST_S, limits.RETRY_LAST_S)
        self._failures: dict[int, int] = {}
        self._not_before: dict[int, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work lanes until `stop` is set, then finish the batches under way and release the lanes."""
        await self._create_rows(stop)
        renewing = asyncio.create_task(self._renew_forever(), name=f"{self._role}-leases")
        try:
            while not stop.is_set():
                try:
                    self._notice_reconnection()
                    if self._paused():
                        await self._pause()
                    elif await self._has_streams():
                        await self._balance_in_time()
                except Exception as error:
                    if classify(error) != "infrastructure":
                        raise
                    log.warning("lane.balance.retry", role=self._role, error=type(error).__name__)
                if renewing.done():
                    renewing.result()
                with contextlib.suppress(asyncio.TimeoutError):
                    pause = limits.ACQUIRE_INTERVAL_S * random.uniform(0.7, 1.3)
                    await asyncio.wait_for(stop.wait(), min(pause, self._lease_s / 2))
        finally:
            for lane in self._owned.values():
                lane.end()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await cancel_and_wait(renewing)
            with contextlib.suppress(Exception):
                await self._store.gone()

    async def _create_rows(self, stop: asyncio.Event) -> None:
        """Create the role's lane rows, waiting for the database as long as it takes."""
        failures = 0
        while True:
            try:
                return await self._store.create(self._lanes)
            except Exception as error:
                if classify(error) != "infrastructure" or stop.is_set():
                    raise
                log.warning("lane.rows.retry", role=self._role, error=type(error).__name__)
                failures += 1
                await self._backoff.wait(failures)

    async def _pause(self) -> None:
        """Let every lane go, and no longer count as a worker: others may be open where this one is closed."""
        for lane in self._owned.values():
            lane.end()
        if not self._was_paused:
            log.info("lane.paused", role=self._role)
            await self._store.gone()
        self._was_paused = True
        metrics.OWNED.labels(self._role).set(len(self._owned))

    def _notice_reconnection(self) -> None:
        """Have every lane read on after the connection was lost, without waiting until its silence is noticed."""
        reconnects = self._client.stats["reconnects"]
        if reconnects != self._reconnects:
            self._reconnects = reconnects
            for lane in self._owned.values():
                lane.reconnected()

    async def _has_streams(self) -> bool:
        """Return whether no stream is missing: without one no lane can get on, and none is taken."""
        for name in tuple(self._missing):
            try:
                await self._client.jetstream(timeout=limits.PUBLISH_TIMEOUT_S).stream_info(name)
            except NotFoundError:
                continue
            self._missing.discard(name)
            self._look_at = 0.0
            log.info("lane.stream_found", role=self._role, stream=name)
        return not self._missing

    def _note_missing(self, stream: str) -> None:
        """Say that a stream is missing, once for all the lanes that meet it."""
        if stream not in self._missing:
            self._missing.add(stream)
            log.error("lane.stream_missing", role=self._role, stream=stream, reason="STREAM_MISSING")

    async def _balance_in_time(self) -> None:
        """Balance, but less often while there is nothing to take and nothing to let go."""
        now = asyncio.get_running_loop().time()
        if self._was_paused or now >= self._look_at:
            self._was_paused = False
            settled = await self._balance()
            self._look_at = now + (self._lease_s / limits.LOOKS_PER_LEASE if settled else 0)

    async def _balance(self) -> bool:
        """Take free lanes up to the fair share and let go of what is above it; return whether there was neither."""
        free, workers, stopped = await self._store.look(list(self._owned))
        metrics.STOPPED.labels(self._role).set(stopped)
        share = -(-self._lanes // max(workers, 1))
        now = asyncio.get_running_loop().time()
        for number in list(self._owned)[share:]:
            self._owned[number].end()
        random.shuffle(free)
        for number in free:
            if len(self._owned) >= share:
                break
            if self._not_before.get(number, 0.0) > now:
                continue
            held = await self._store.acquire(number)
            if held is None:
                continue
            lane = OwnedLane(
                held,
                role=self._role,
                database=self._database,
                client=self._client,
                store=self._store,
                source=self._source,
                output=self._output,
                processor=self._processor,
                turns=self._turns,
                paused=self._paused,
            )
            self._owned[number] = lane
            self._tasks[number] = asyncio.create_task(self._work(lane), name=f"{self._role}-{number}")
            log.info(
                "lane.acquired",
                role=self._role,
                lane=number,
                epoch=held.epoch,
                cursor=held.stream_seq,
                batch_seq=held.batch_seq,
                out_batch_seq=held.out_batch_seq,
            )
        metrics.OWNED.labels(self._role).set(len(self._owned))
        return not free and len(self._owned) <= share

    async def _work(self, lane: OwnedLane[T]) -> None:
        """Work one lane to its end, and say why it ended."""
        number, epoch = lane.held.lane, lane.held.epoch
        started = asyncio.get_running_loop().time()
        try:
            await lane.run()
        except Fenced as error:
            log.warning("lane.fenced", role=self._role, lane=number, epoch=epoch, error=str(error))
        except StreamMissing as missing:
            self._note_missing(missing.stream)
            await self._let_go(lane)
        except LaneStopped as stopped:
            log.error("lane.stopped", role=self._role, lane=number, reason=stopped.reason, detail=stopped.detail)
            with contextlib.suppress(Exception):
                await self._store.stop(number, epoch, stopped)
        except Exception as error:
            if classify(error) != "infrastructure":
                log.exception("lane.failed", role=self._role, lane=number)
            else:
                say_retry(log, "lane.retry", self._role, number, error)
            self._back_off(number, started)
        else:
            self._failures.pop(number, None)
            await self._let_go(lane)
        finally:
            self._owned.pop(number, None)
            self._tasks.pop(number, None)

    async def _let_go(self, lane: OwnedLane[T]) -> None:
        """Let another worker take the lane at once; if that cannot be written, its lease runs out."""
        published = lane.publisher.published_batch_seq if lane.publisher else 0
        with contextlib.suppress(Exception):
            await self._store.release(lane.held.lane, lane.held.epoch, published)

    def _back_off(self, number: int, started: float) -> None:
        """Wait longer before a lane that fails again at once is taken again."""
        now = asyncio.get_running_loop().time()
        before = self._failures.get(number, 0) if now - started < limits.RETRY_LAST_S else 0
        self._failures[number] = before + 1
        self._not_before[number] = now + self._backoff.delay_s(before + 1)

    async def _renew_forever(self) -> None:
        purged_at = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(self._lease_s / limits.RENEWALS_PER_LEASE)
            held = [
                (number, lane.held.epoch, lane.publisher.mark() if lane.publisher else 0)
                for number, lane in self._owned.items()
            ]
            if not held:
                continue
            metrics.UNPUBLISHED.labels(self._role).set(
                sum(lane.publisher.backlog for lane in self._owned.values() if lane.publisher)
            )
            try:
                still = await self._store.renew(held)
                if asyncio.get_running_loop().time() - purged_at > PURGE_INTERVAL_S:
                    purged_at = asyncio.get_running_loop().time()
                    await self._store.purge()
            except Exception as error:
                if classify(error) != "infrastructure":
                    raise
                log.warning("lane.renew.retry", role=self._role, error=type(error).__name__)
                continue
            for number, epoch, _ in held:
                lane = self._owned.get(number)
                if lane and lane.held.epoch == epoch and number not in still:
                    log.warning("lane.lost", role=self._role, lane=number, epoch=epoch)
                    lane.end()
