"""`apportion close` and `apportion reopen`: close a calendar month for usage, and open it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.drain import wait_until_closed, wait_until_reopened
from apportion_client.failures import retry_until_available
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import Bar, print_line, progress
from apportion_cli.each import Results, for_each, tell
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

    def request(org_ids: Iterable[str]) -> metering.ClosePeriodRequest:
        return metering.ClosePeriodRequest(
            period=period,
            org_ids=org_ids,
            all_orgs=everyone,
            force=force,
            reason=reason,
            request_id=f"close:{uuid7()}",
        )

    async def main(services: Services) -> None:
        names = await _named(services, org or (), prefix)
        await _close(services, period, request, names, wait, everyone=everyone)

    run(main)


def reopen(
    period: PeriodArgument,
    reason: Annotated[str, typer.Option(help="Why; audited.")],
    org: OrgsOption = None,
    prefix: PrefixOption = "",
    wait: WaitOption = CLOSE_TIMEOUT_S,
) -> None:
    """Open a closed month again for organisations, while no invoice of it is final; then close it once more."""
    if not org:
        fail("Name the organisations with --org.")

    async def main(services: Services) -> None:
        names = await _named(services, org, prefix)
        request = orgs.ReopenPeriodRequest(period=period, org_ids=names, reason=reason, request_id=f"reopen:{uuid7()}")
        await _reopen(services, request, names, wait)

    run(main)


async def _named(services: Services, names: Sequence[str], prefix: str) -> dict[str, str]:
    """Return the organisations' names by their ids. Raises NameUnknownError."""
    return dict(zip(await Names(services, prefix).orgs(names), names, strict=True))


async def _close(
    services: Services,
    period: str,
    request: Callable[[Iterable[str]], metering.ClosePeriodRequest],
    names: Mapping[str, str],
    wait_s: int,
    *,
    everyone: bool,
) -> None:
    whom = "every organisation" if everyone else ", ".join(names.values())
    if whom:
        print_line(f"Closing {period} for {whom}: usage of it that comes later is refused.")

    async def send(org_ids: Sequence[str]) -> metering.ClosePeriodResponse:
        asked = request(org_ids)
        return await retry_until_available(
            lambda: services.metering.ClosePeriod(asked, timeout=CALL_TIMEOUT_S), print_line
        )

    results: Results[metering.ClosePeriodResponse] = Results()
    with progress("close", None, "calls") as bar:
        if names and not everyone:
            # One by one: an organisation that cannot be closed leaves the others as they are asked to be.
            results = await for_each(names, lambda org_id: send([org_id]), lambda: bar.advance(1))
        else:
            await send(list(names))
        closed = list(results.done)
        if closed or everyone:
            await until_closed(services, period, closed, wait_s, bar)
    for answer in results.done.values():
        for org_id in answer.org_ids_without_usage:
            print_line(f"No usage of {names[org_id]} has ever come: check its name if there should be any.")
    if closed or everyone:
        print_line(f"{period} is closed for {whom if everyone else ', '.join(names[org_id] for org_id in closed)}.")
    tell(results, "organisation", "closed", names)


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
