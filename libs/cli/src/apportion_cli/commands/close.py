"""`apportion close`: close a calendar month for usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.drain import wait_until_closed
from apportion_client.failures import retry_until_available
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import Bar, print_line, progress
from apportion_cli.options import PeriodArgument, PrefixOption
from apportion_cli.run import fail, run

CLOSE_TIMEOUT_S = 60


def close(
    period: PeriodArgument,
    org: Annotated[
        list[str] | None, typer.Option(help="Slug or id; closes for this one only; may be repeated.")
    ] = None,
    prefix: PrefixOption = "",
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait until the ledger has it.")] = CLOSE_TIMEOUT_S,
) -> None:
    """Close a month: later usage of it is refused. Closing it again changes nothing."""

    async def main(services: Services) -> None:
        await _close(services, period, await Names(services, prefix).orgs(org or ()), wait)

    run(main)


async def _close(services: Services, period: str, orgs: list[str], wait_s: int) -> None:
    request = metering.ClosePeriodRequest(period=period, org_ids=orgs, request_id=f"close:{uuid7()}")
    with progress("close", None, "calls") as bar:
        await retry_until_available(lambda: services.metering.ClosePeriod(request, timeout=CALL_TIMEOUT_S), print_line)
        await until_closed(services, period, orgs, wait_s, bar)
    print_line(f"{period} is closed" + (f" for {len(orgs)} organisations." if orgs else "."))


async def until_closed(services: Services, period: str, orgs: Sequence[str], wait_s: int, bar: Bar) -> None:
    """Wait until the close of a month has reached the ledger; end the command with exit code 1 when it has not."""

    def waiting() -> None:
        bar.show_note(f"waiting for {period} to be closed in every lane")

    if wait_s and not await wait_until_closed(services, period, orgs, wait_s, waiting):
        fail(f"The close of {period} has not reached the ledger within {wait_s} s.")
