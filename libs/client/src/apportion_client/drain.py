"""How far the pipeline is: what is under way, and waiting until nothing is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering

from apportion_client.failures import OUTAGE_S_MAX, OutageTooLongError, retry_until_available
from apportion_client.services import CALL_TIMEOUT_S, Services

POLL_S: Final = 0.25
"""Pause between two looks at the pipeline."""
LAST_CALL_S: Final = 1.0
"""The least time that a call is given, also when the time of the whole is over."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is under way: messages not stored, batches not rated, batches not posted."""

    stored: int | None
    """None while the stream is unreachable: nobody knows."""
    rated: int
    posted: int

    def __str__(self) -> str:
        stored = "what the stream does not tell now" if self.stored is None else f"{self.stored:,} messages"
        return f"to store {stored}, to rate {self.rated:,} batches, to post {self.posted:,}"


def backlog_of(answer: metering.GetPipelineStatusResponse) -> Backlog:
    """Return the backlog of all lanes."""
    unreachable = answer.stream_condition == metering.STREAM_CONDITION_UNREACHABLE
    return Backlog(
        None if unreachable else sum(max(lane.stream_last_seq - lane.stream_seq, 0) for lane in answer.lanes),
        sum(lane.batch_seq - lane.rated_batch_seq for lane in answer.lanes),
        sum(lane.batch_seq - lane.posted_batch_seq for lane in answer.lanes),
    )


async def pipeline_status(
    services: Services, say: Callable[[str], None], outage_s_max: float = OUTAGE_S_MAX
) -> metering.GetPipelineStatusResponse:
    """Return the state of the lanes; while metering cannot be reached, say so and retry. Raises OutageTooLongError.

    No call lasts longer than what is left of that time, so it ends even where metering takes calls and answers none.
    """
    request = metering.GetPipelineStatusRequest()
    deadline = time.monotonic() + outage_s_max

    def call() -> Awaitable[metering.GetPipelineStatusResponse]:
        timeout_s = min(CALL_TIMEOUT_S, max(deadline - time.monotonic(), LAST_CALL_S))
        return services.metering.GetPipelineStatus(request, timeout=timeout_s)

    try:
        async with asyncio.timeout(outage_s_max + LAST_CALL_S):
            return await retry_until_available(call, say, outage_s_max)
    except TimeoutError:
        raise OutageTooLongError(f"Given up: no answer for {outage_s_max:.0f} s.") from None


async def wait_until_drained(
    services: Services,
    timeout_s: float,
    on_status: Callable[[metering.GetPipelineStatusResponse], None],
    say: Callable[[str], None],
) -> metering.GetPipelineStatusResponse:
    """Wait until everything that was sent is stored, rated and posted; return the last state, drained or not.

    Raises OutageTooLongError when metering does not answer for the rest of the time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = await pipeline_status(services, say, max(deadline - time.monotonic(), 0))
        if answer.drained or time.monotonic() > deadline:
            return answer
        on_status(answer)
        await asyncio.sleep(POLL_S)


async def is_closed(
    services: Services, period: str, org_ids: Sequence[str] = (), outage_s_max: float = OUTAGE_S_MAX
) -> bool:
    """Return whether a month's close has reached the ledger: for the organisations, or for all where none is named.

    Raises OutageTooLongError.
    """
    request = ledger.FixWatermarkRequest(period=period)
    answer = await retry_until_available(
        lambda: services.ledger.FixWatermark(request, timeout=CALL_TIMEOUT_S), lambda _: None, outage_s_max
    )
    reopened = {org.org_id: org.closed for org in answer.reopened}
    closed = set(answer.closed_org_ids)
    return all(reopened.get(org_id, answer.period_closed or org_id in closed) for org_id in org_ids) and (
        bool(org_ids) or (answer.period_closed and all(reopened.values()))
    )


async def is_reopened(services: Services, period: str, numbers: Mapping[str, int]) -> bool:
    """Return whether a month's reopenings, by organisation with their numbers, have reached the ledger.

    Raises OutageTooLongError.
    """
    request = ledger.FixWatermarkRequest(period=period)
    answer = await retry_until_available(
        lambda: services.ledger.FixWatermark(request, timeout=CALL_TIMEOUT_S), lambda _: None
    )
    seen = {org.org_id: org.reopening for org in answer.reopened}
    return all(seen.get(org_id, 0) >= number for org_id, number in numbers.items())


async def wait_until_reopened(services: Services, period: str, numbers: Mapping[str, int], timeout_s: float) -> bool:
    """Wait until a month's reopenings have reached the ledger; return whether they have within the time.

    Raises OutageTooLongError.
    """
    deadline = time.monotonic() + timeout_s
    while not await is_reopened(services, period, numbers):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def wait_until_closed(
    services: Services, period: str, org_ids: Sequence[str], timeout_s: float, on_wait: Callable[[], None]
) -> bool:
    """Wait until a month's close has reached the ledger; return whether it has within the time.

    Raises OutageTooLongError when the ledger does not answer for the rest of the time.
    """
    deadline = time.monotonic() + timeout_s
    while not await is_closed(services, period, org_ids, max(deadline - time.monotonic(), 0)):
        if time.monotonic() > deadline:
            return False
        on_wait()
        await asyncio.sleep(POLL_S)
    return True
