"""`apportion close`: close a calendar month for usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client import naming
from apportion_client.drain import wait_until_closed
from apportion_client.failures import retry_until_available
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import Bar, counted, print_line, progress
from apportion_cli.each import Results, for_each, tell
from apportion_cli.options import PeriodArgument, PrefixOption
from apportion_cli.run import fail, run

CLOSE_TIMEOUT_S = 60


def close(
    period: PeriodArgument,
    org: Annotated[list[str] | None, typer.Option(help="Only for this organisation; may be repeated.")] = None,
    prefix: PrefixOption = "",
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait until the ledger has it.")] = CLOSE_TIMEOUT_S,
) -> None:
    """Close a month: later usage of it is refused. Closing it again changes nothing."""
    orgs = [str(naming.org_id(code, prefix)) for code in org or ()]
    names = dict(zip(orgs, org or (), strict=True))
    run(lambda services: _close(services, period, names, wait))


async def _close(services: Services, period: str, names: dict[str, str], wait_s: int) -> None:
    async def send(org_ids: list[str]) -> None:
        request = metering.ClosePeriodRequest(period=period, org_ids=org_ids, request_id=f"close:{uuid7()}")
        await retry_until_available(lambda: services.metering.ClosePeriod(request, timeout=CALL_TIMEOUT_S), print_line)

    results: Results[None] = Results()
    with progress("close", None, "calls") as bar:
        if names:
            # One by one: an organisation that cannot be closed leaves the others as they are asked to be.
            results = await for_each(names, lambda org_id: send([org_id]), lambda: bar.advance(1))
        else:
            await send([])
        closed = list(results.done)
        if closed or not names:
            await until_closed(services, period, closed, wait_s, bar)
    if closed or not names:
        print_line(f"{period} is closed" + (f" for {counted(len(closed), 'organisation')}." if names else "."))
    tell(results, "organisation", "closed", names)


async def until_closed(services: Services, period: str, orgs: Sequence[str], wait_s: int, bar: Bar) -> None:
    """Wait until the close of a month has reached the ledger; end the command with exit code 1 when it has not."""

    def waiting() -> None:
        bar.show_note(f"waiting for {period} to be closed in every lane")

    if wait_s and not await wait_until_closed(services, period, orgs, wait_s, waiting):
        fail(f"The close of {period} has not reached the ledger within {wait_s} s.")
