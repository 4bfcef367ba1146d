"""`apportion close`: close a calendar month for usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_common.ids import uuid7

from apportion_cli import naming
from apportion_cli.client import CALL_TIMEOUT_S, Services, fail, patiently, run
from apportion_cli.display import Bar, progress, say
from apportion_cli.options import PeriodArgument, PrefixOption

POLL_S = 0.2
CLOSE_TIMEOUT_S = 60


def close(
    period: PeriodArgument,
    org: Annotated[list[str] | None, typer.Option(help="Only for this organisation; may be repeated.")] = None,
    prefix: PrefixOption = "",
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait until the ledger has it.")] = CLOSE_TIMEOUT_S,
) -> None:
    """Close a month: later usage of it is refused. Closing it again changes nothing."""
    orgs = [str(naming.org_id(code, prefix)) for code in org or ()]
    run(lambda services: _close(services, period, orgs, wait))


async def _close(services: Services, period: str, orgs: list[str], wait_s: int) -> None:
    request = metering.ClosePeriodRequest(period=period, org_ids=orgs, request_id=f"close:{uuid7()}")
    with progress("close", None, "calls") as bar:
        await patiently(lambda: services.metering.ClosePeriod(request, timeout=CALL_TIMEOUT_S), bar.say)
        await until_closed(services, period, orgs, wait_s, bar)
    say(f"{period} is closed" + (f" for {len(orgs)} organisations." if orgs else "."))


async def until_closed(services: Services, period: str, orgs: Sequence[str], wait_s: int, bar: Bar) -> None:
    """Wait until the close of a month has come through the lanes: for the organisations, or for all. Fails in time."""
    deadline = time.monotonic() + wait_s
    while wait_s and not await _closed(services, period, set(orgs)):
        if time.monotonic() > deadline:
            fail(f"The close of {period} has not reached the ledger within {wait_s} s.")
        bar.say(f"waiting for {period} to be closed in every lane")
        await asyncio.sleep(POLL_S)


async def _closed(services: Services, period: str, orgs: set[str]) -> bool:
    request = ledger.FixWatermarkRequest(period=period)
    answer = await patiently(lambda: services.ledger.FixWatermark(request, timeout=CALL_TIMEOUT_S), lambda _: None)
    return answer.period_closed or (bool(orgs) and orgs <= set(answer.closed_org_ids))
