"""Run one role's lanes in a process: take a fair share, keep the leases, work, let go."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
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
from apportion_common.lanes.store import LaneStore
from apportion_common.lanes.turns import Turns
from apportion_common.logs import get_logger
from apportion_common.standstill import (
    CERTAIN,
    LANE_FAILED,
    LANE_ROW_HELD,
    LANE_STUCK,
    PAUSED_BY_FLAG,
    STANDSTILLS,
    STREAM_MISSING,
    state_of,
)
from apportion_common.tasks import cancel_and_wait
from apportion_common.topology import LANES

T = TypeVar("T")

PURGE_INTERVAL_S = 600.0
LANES_NAMED_MAX = 6

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
        self._waiting: dict[int, tuple[str, str]] = {}
        """Lanes that fail again and again: the state, and what is known of it."""
        self._trouble: dict[str, tuple[str, str]] = {}
        """What keeps this runner from balancing, or from renewing."""
        self._stopped: dict[int, str] = {}
        self._given_up: dict[OwnedLane[T], float] = {}
        """Lanes whose work was given up and has not ended yet, and when it was told to."""
        self._not_taken: dict[int, float] = {}
        """Free lanes that could not be taken, since when."""
        self._held_by: dict[int, int] = {}
        self._others = 0
        self._stuck_rounds = 0
        self._back_at = 0.0
        """When this worker counts again, after its work was stuck while there are others."""

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
                    self._trouble.pop("balance", None)
                except Exception as error:
                    if classify(error) != "infrastructure":
                        raise
                    self._retry("balance", error)
                self._report()
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
            STANDSTILLS.set(self._role, {})
            with contextlib.suppress(Exception):
                await self._store.gone()

    def _retry(self, what: str, error: Exception) -> None:
        """Note that something failed for the surroundings' sake; it is said in the log at the first failure only."""
        if what not in self._trouble:
            log.warning(f"lane.{what}.retry", role=self._role, error=type(error).__name__)
        self._trouble[what] = state_of(error)

    def _report(self) -> None:
        """Say in which states this role's work stands still now."""
        for number in list(self._waiting):
            lane = self._owned.get(number)
            if lane is not None and lane.is_working:
                del self._waiting[number]
                self._log_acquired(lane)
        troubles: dict[tuple[str, str], list[int]] = {}
        for number, trouble in self._waiting.items():
            troubles.setdefault(trouble, []).append(number)
        for number, lane in self._owned.items():
            if lane.publisher and lane.publisher.trouble:
                troubles.setdefault(lane.publisher.trouble, []).append(number)
        states = {state: f"{_lanes(numbers)}: {detail}" for (state, detail), numbers in troubles.items()}
        states |= dict(self._trouble.values())
        if self._missing:
            states[STREAM_MISSING] = f"stream {', '.join(sorted(self._missing))} is not there"
        for reason in set(self._stopped.values()):
            numbers = [other for other, its in self._stopped.items() if its == reason]
            states[reason] = f"{_lanes(numbers)} stopped until an operator has looked"
        if self._held_by:
            holders = ", ".join(f"{number} by server process {pid}" for number, pid in self._held_by.items())
            states[LANE_ROW_HELD] = f"rows of lanes are held: {holders}"
        if self._was_paused:
            states[PAUSED_BY_FLAG] = f"the feature flag of {self._role} is closed; messages wait on the stream"
        STANDSTILLS.set(self._role, states)

    async def _create_rows(self, stop: asyncio.Event) -> None:
        """Create the role's lane rows, waiting for the database as long as it takes."""
        failures = 0
        while True:
            try:
                await self._store.create(self._lanes)
                self._trouble.pop("rows", None)
                return
            except Exception as error:
                if classify(error) != "infrastructure" or stop.is_set():
                    raise
                self._retry("rows", error)
                self._report()
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
        return not self._missing

    async def _balance_in_time(self) -> None:
        """Balance, but less often while there is nothing to take and nothing to let go."""
        now = asyncio.get_running_loop().time()
        if any(lane.has_committed for lane in self._owned.values()):
            self._stuck_rounds = 0
        if now < self._back_at:
            return
        if self._was_paused or now >= self._look_at:
            self._was_paused = False
            settled = await self._balance()
            self._look_at = now + (self._lease_s / limits.LOOKS_PER_LEASE if settled else 0)

    async def _balance(self) -> bool:
        """Take free lanes up to the fair share and let go of what is above it; return whether there was neither."""
        free, workers, self._stopped = await self._store.look(list(self._owned))
        metrics.STOPPED.labels(self._role).set(len(self._stopped))
        self._others = workers - 1
        for number in self._waiting.keys() - self._owned.keys() - set(free):
            # Another worker has it, or it has stopped.
            del self._waiting[number]
        self._not_taken = {number: since for number, since in self._not_taken.items() if number in free}
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
                self._not_taken.setdefault(number, now)
                continue
            self._not_taken.pop(number, None)
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
            # One that failed before is acquired again and again; that is told when it works.
            if number not in self._waiting:
                self._log_acquired(lane)
        metrics.OWNED.labels(self._role).set(len(self._owned))
        await self._find_holders(now)
        return not free and len(self._owned) <= share

    async def _find_holders(self, now: float) -> None:
        """Find who holds the rows of lanes that cannot be taken for long."""
        long = [n for n, since in self._not_taken.items() if now - since > limits.ROW_HELD_LEASES_MAX * self._lease_s]
        self._held_by = await self._store.holders(long) if long else {}

    def _log_acquired(self, lane: OwnedLane[T]) -> None:
        held = lane.held
        log.info(
            "lane.acquired",
            role=self._role,
            lane=held.lane,
            epoch=held.epoch,
            cursor=held.stream_seq,
            batch_seq=held.batch_seq,
            out_batch_seq=held.out_batch_seq,
        )

    async def _work(self, lane: OwnedLane[T]) -> None:
        """Work one lane to its end, and say why it ended."""
        number, epoch = lane.held.lane, lane.held.epoch
        started = asyncio.get_running_loop().time()
        try:
            await lane.run()
        except asyncio.CancelledError:
            if lane not in self._given_up:
                raise
            self._back_off(number, started)
            await self._stand_back()
        except Fenced as error:
            log.warning("lane.fenced", role=self._role, lane=number, epoch=epoch, error=str(error))
        except StreamMissing as missing:
            self._missing.add(missing.stream)
            self._waiting.pop(number, None)
            await self._let_go(lane)
        except LaneStopped as stopped:
            log.error("lane.stopped", role=self._role, lane=number, reason=stopped.reason, detail=stopped.detail)
            with contextlib.suppress(Exception):
                await self._store.stop(number, epoch, stopped)
        except Exception as error:
            if classify(error) != "infrastructure":
                log.exception("lane.failed", role=self._role, lane=number)
                trouble = (LANE_FAILED, f"{type(error).__name__}, see lane.failed in the log")
            else:
                trouble = state_of(error, stream=self._source.stream)
                if not self._failed_before(number, started) and trouble[0] not in CERTAIN:
                    words = f"{type(error).__name__}: {error}"[:300]
                    log.warning("lane.retry", role=self._role, lane=number, error=words)
            if self._failed_before(number, started) or trouble[0] in CERTAIN:
                self._waiting[number] = trouble
            self._back_off(number, started)
        else:
            self._failures.pop(number, None)
            self._waiting.pop(number, None)
            await self._let_go(lane)
        finally:
            self._given_up.pop(lane, None)
            self._owned.pop(number, None)
            self._tasks.pop(number, None)

    async def _let_go(self, lane: OwnedLane[T]) -> None:
        """Let another worker take the lane at once; if that cannot be written, its lease runs out."""
        published = lane.publisher.published_batch_seq if lane.publisher else 0
        with contextlib.suppress(Exception):
            await self._store.release(lane.held.lane, lane.held.epoch, published)

    def _give_up_stuck(self) -> None:
        """Give up the work under way of lanes that do not get on, so that it is begun again, here or elsewhere.

        A lease that was renewed all the same would keep the lane from everybody without end.
        """
        now = asyncio.get_running_loop().time()
        limit_s = max(limits.STUCK_LEASES_MAX * self._lease_s, limits.STUCK_S_MIN)
        for number, lane in self._owned.items():
            stuck_s = lane.stuck_s()
            if lane in self._given_up:
                if now - self._given_up[lane] <= limit_s:
                    continue
            elif stuck_s <= limit_s:
                continue
            else:
                known = lane.publisher.trouble if lane.publisher else None
                self._waiting[number] = known or (LANE_STUCK, "what was under way made no progress and is begun again")
                metrics.STUCK.labels(self._role).inc()
                if not known:
                    told = {"epoch": lane.held.epoch, "seconds": round(stuck_s, 1)}
                    log.warning("lane.stuck", role=self._role, lane=number, **told)
            self._given_up[lane] = now
            self._tasks[number].cancel()

    async def _stand_back(self) -> None:
        """Let other workers, if there are any, have all lanes that are free: what this one waits for may be amiss here
        only. It counts for the fair share no longer, the longer the more often its work is stuck.
        """
        now = asyncio.get_running_loop().time()
        if not self._others or now < self._back_at:
            return
        self._stuck_rounds += 1
        leases = min(2**self._stuck_rounds, limits.STAND_BACK_LEASES_MAX)
        self._back_at = now + leases * self._lease_s
        with contextlib.suppress(Exception):
            await self._store.gone()

    def _failed_before(self, number: int, started: float) -> bool:
        """Return whether a lane that began at `started` and fails now had failed before that, too."""
        now = asyncio.get_running_loop().time()
        return number in self._failures and now - started < limits.RETRY_LAST_S

    def _back_off(self, number: int, started: float) -> None:
        """Wait longer before a lane that fails again at once is taken again."""
        now = asyncio.get_running_loop().time()
        before = self._failures[number] if self._failed_before(number, started) else 0
        self._failures[number] = before + 1
        self._not_before[number] = now + self._backoff.delay_s(before + 1)

    async def _renew_forever(self) -> None:
        purged_at = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(self._lease_s / limits.RENEWALS_PER_LEASE)
            self._give_up_stuck()
            held = [
                (number, lane.held.epoch, lane.publisher.mark() if lane.publisher else 0)
                for number, lane in self._owned.items()
                if lane not in self._given_up
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
                self._retry("renew", error)
                continue
            self._trouble.pop("renew", None)
            for number, epoch, _ in held:
                lane = self._owned.get(number)
                if lane and lane.held.epoch == epoch and number not in still:
                    log.warning("lane.lost", role=self._role, lane=number, epoch=epoch)
                    lane.end()


def _lanes(numbers: Sequence[int]) -> str:
    """Return the lanes in words: each of a few, the number of many."""
    if len(numbers) > LANES_NAMED_MAX:
        return f"{len(numbers)} lanes"
    return f"lane{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"
