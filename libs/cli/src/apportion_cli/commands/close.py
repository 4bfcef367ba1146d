"""`apportion close` and `apportion reopen`: close a calendar month for usage, and open it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client import naming
from apportion_client.drain import wait_until_closed, wait_until_reopened
from apportion_client.failures import retry_until_available
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import Bar, print_line, progress
from apportion_cli.options import PeriodArgument, PrefixOption
from apportion_cli.run import fail, run

CLOSE_TIMEOUT_S = 60

OrgsOption = Annotated[list[str] | None, typer.Option(help="Only for this organisation; may be repeated.")]
WaitOption = Annotated[int, typer.Option(min=0, help="Seconds to wait until the ledger has it.")]


def close(
    period: PeriodArgument,
    org: OrgsOption = None,
    everyone: Annotated[bool, typer.Option("--all", help="For every organisation.")] = False,
    force: Annotated[bool, typer.Option(help="Although it is not over, or usage is under way.")] = False,
    reason: Annotated[str, typer.Option(help="Why it is forced; audited.")] = "",
    prefix: PrefixOption = "",
    wait: WaitOption = CLOSE_TIMEOUT_S,
) -> None:
    """Close a month: later usage of it is refused. Closing it again changes nothing."""
    names = {str(naming.org_id(code, prefix)): code for code in org or ()}
    request = metering.ClosePeriodRequest(
        period=period,
        org_ids=names,
        all_orgs=everyone,
        force=force,
        reason=reason,
        request_id=f"close:{uuid7()}",
    )
    run(lambda services: _close(services, request, names, wait))


def reopen(
    period: PeriodArgument,
    reason: Annotated[str, typer.Option(help="Why; audited.")],
    org: OrgsOption = None,
    prefix: PrefixOption = "",
    wait: WaitOption = CLOSE_TIMEOUT_S,
) -> None:
    """Open a closed month again for organisations, while no invoice of it is final; then close it once more."""
    names = {str(naming.org_id(code, prefix)): code for code in org or ()}
    if not names:
        fail("Name the organisations with --org.")
    request = orgs.ReopenPeriodRequest(period=period, org_ids=names, reason=reason, request_id=f"reopen:{uuid7()}")
    run(lambda services: _reopen(services, request, names, wait))


async def _close(
    services: Services, request: metering.ClosePeriodRequest, names: Mapping[str, str], wait_s: int
) -> None:
    period = request.period
    whom = "every organisation" if request.all_orgs else ", ".join(names.values())
    if whom:
        print_line(f"Closing {period} for {whom}: usage of it that comes later is refused.")
    with progress("close", None, "calls") as bar:
        answer = await retry_until_available(
            lambda: services.metering.ClosePeriod(request, timeout=CALL_TIMEOUT_S), print_line
        )
        await until_closed(services, period, request.org_ids, wait_s, bar)
    for org_id in answer.org_ids_without_usage:
        print_line(f"No usage of {names[org_id]} has ever come: check its name if there should be any.")
    print_line(f"{period} is closed for {whom}.")


async def _reopen(services: Services, request: orgs.ReopenPeriodRequest, names: Mapping[str, str], wait_s: int) -> None:
    period, whom = request.period, ", ".join(names.values())
    print_line(f"Opening {period} again for {whom}: until it is closed once more, none of its invoices can be final.")
    with progress("reopen", None, "calls") as bar:
        answer = await retry_until_available(
            lambda: services.orgs.ReopenPeriod(request, timeout=CALL_TIMEOUT_S), print_line
        )
        numbers = {reopening.org_id: reopening.number for reopening in answer.reopenings}
        bar.show_note(f"waiting for {period} to be open in every lane")
        if wait_s and not await wait_until_reopened(services, period, numbers, wait_s):
            fail(f"The reopening of {period} has not reached the ledger within {wait_s} s.")
    print_line(f"{period} is open for {whom}.")


async def until_closed(services: Services, period: str, orgs: Sequence[str], wait_s: int, bar: Bar) -> None:
    """Wait until the close of a month has reached the ledger; end the command with exit code 1 when it has not."""

    def waiting() -> None:
        bar.show_note(f"waiting for {period} to be closed in every lane")

    if wait_s and not await wait_until_closed(services, period, orgs, wait_s, waiting):
        fail(f"The close of {period} has not reached the ledger within {wait_s} s.")
