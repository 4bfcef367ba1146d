"""`apportion dead-letters`: usage that was taken and not charged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.failures import retry_until_available
from apportion_client.names import Names
from apportion_client.pages import dead_letters_of
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, figure, print_line, show_table
from apportion_cli.each import NotDone, for_each, tell
from apportion_cli.exit_codes import MISUSED
from apportion_cli.labels import Labels
from apportion_cli.options import IdsOption, OrgOption, PrefixOption
from apportion_cli.run import errors, fail, run

app = typer.Typer(help="Usage that was taken and not charged, and why.", no_args_is_help=True)

ReasonOption = Annotated[str, typer.Option("--reason", help="Such as UNKNOWN_SKU.")]
AllOption = Annotated[bool, typer.Option("--all", help="All open dead letters, of everybody and whatever reason.")]
IdOption = Annotated[list[str] | None, typer.Option("--id", help="Id of a dead letter; may be repeated.")]


class State(StrEnum):
    """Where a dead letter stands."""

    ANY = "any"
    OPEN = "open"
    REQUEUED = "requeued"
    DISCARDED = "discarded"


_STATES = {
    State.ANY: metering.DEAD_LETTER_STATE_UNSPECIFIED,
    State.OPEN: metering.DEAD_LETTER_STATE_OPEN,
    State.REQUEUED: metering.DEAD_LETTER_STATE_REQUEUED,
    State.DISCARDED: metering.DEAD_LETTER_STATE_DISCARDED,
}


@app.command(name="list")
def list_(
    reason: ReasonOption = "",
    org: OrgOption = "",
    state: Annotated[State, typer.Option(help="Where it stands.")] = State.ANY,
    limit: Annotated[int, typer.Option(min=1, help="Dead letters at most.")] = 100,
    ids: IdsOption = False,
    prefix: PrefixOption = "",
) -> None:
    """Show dead letters, oldest first."""

    async def main(services: Services) -> None:
        wanted = await _filter(services, reason, org, prefix)
        wanted.state = _STATES[state]
        await _list(services, wanted, limit, Labels(services, ids=ids))

    run(main)


@app.command()
def requeue(
    reason: ReasonOption = "",
    org: OrgOption = "",
    ids: IdOption = None,
    everything: AllOption = False,
    into_period: Annotated[
        str,
        typer.Option(
            help="Month that bills usage whose own is closed, such as 2013-02; PERIOD_CLOSED: the present one."
        ),
    ] = "",
    prefix: PrefixOption = "",
) -> None:
    """Assign the open dead letters that match a new place in their lane, when their cause is mended.

    Those of --id that are not open, or are unknown, are named at the end, with exit code 1.
    """
    _check_meant(reason, org, ids, everything)

    async def send(services: Services, wanted: metering.DeadLetterFilter) -> int:
        request = metering.RequeueDeadLettersRequest(
            filter=wanted,
            all=everything,
            into_period=into_period,
            request_id=f"requeue:{uuid7()}",
        )
        answer = await retry_until_available(
            lambda: services.metering.RequeueDeadLetters(request, timeout=CALL_TIMEOUT_S), errors.print
        )
        return int(answer.requeued_count)

    async def main(services: Services) -> None:
        wanted = await _filter(services, reason, org, prefix)
        await _change(partial(send, services), wanted, ids, "on the way again", "requeued")

    run(main)


@app.command()
def discard(
    because: Annotated[str, typer.Option("--because", help="Why they are given up.")],
    reason: ReasonOption = "",
    org: OrgOption = "",
    ids: IdOption = None,
    everything: AllOption = False,
    prefix: PrefixOption = "",
) -> None:
    """Close the open dead letters that match, for good.

    Those of --id that are not open, or are unknown, are named at the end, with exit code 1.
    """
    _check_meant(reason, org, ids, everything)

    async def send(services: Services, wanted: metering.DeadLetterFilter) -> int:
        request = metering.DiscardDeadLettersRequest(
            filter=wanted, reason=because, all=everything, request_id=f"discard:{uuid7()}"
        )
        answer = await retry_until_available(
            lambda: services.metering.DiscardDeadLetters(request, timeout=CALL_TIMEOUT_S), errors.print
        )
        return int(answer.discarded_count)

    async def main(services: Services) -> None:
        wanted = await _filter(services, reason, org, prefix)
        await _change(partial(send, services), wanted, ids, "given up", "discarded")

    run(main)


def _check_meant(reason: str, org: str, ids: list[str] | None, everything: bool) -> None:
    """Refuse a selection that says nothing: everything has to be said."""
    if everything == bool(reason or org or ids):
        fail("Say which ones are meant by --reason, --org or --id, or else --all.", MISUSED)


async def _change(
    send: Callable[[metering.DeadLetterFilter], Awaitable[int]],
    wanted: metering.DeadLetterFilter,
    ids: list[str] | None,
    now: str,
    done: str,
) -> None:
    """Change what matches and say how many; where ids are given, one by one, and name those that could not be."""
    if ids is None:
        print_line(f"{counted(await send(wanted), 'dead letter')} {now}.")
        return

    async def one(dead_letter_id: str) -> None:
        wanted.dead_letter_ids[:] = [dead_letter_id]
        if not await send(wanted):
            raise NotDone("it is not open or does not match, or there is none with this id")

    results = await for_each(dict.fromkeys(ids), one)
    if results.done:
        print_line(f"{counted(len(results.done), 'dead letter')} {now}.")
    tell(results, "dead letter", done)


async def _filter(services: Services, reason: str, org: str, prefix: str) -> metering.DeadLetterFilter:
    return metering.DeadLetterFilter(org_id=await Names(services, prefix).org(org), reason=reason)


async def _list(services: Services, wanted: metering.DeadLetterFilter, limit: int, labels: Labels) -> None:
    found = [letter async for letter in dead_letters_of(services, wanted, limit)]
    await labels.learn({letter.org_id for letter in found if letter.org_id})
    rows = [
        (
            letter.dead_letter_id,
            letter.reason,
            metering.DeadLetterState.Name(letter.state).removeprefix("DEAD_LETTER_STATE_").lower(),
            str(letter.attempts),
            labels[letter.org_id],
            letter.request_id,
            letter.event.sku,
            figure(letter.event.quantity) if letter.HasField("event") else "",
            letter.event.event_time.ToJsonString() if letter.HasField("event") else "",
        )
        for letter in found
    ]
    columns = ("id", "reason", "state", ">tries", "org", "request id", "sku", ">quantity", "event time")
    show_table(counted(len(found), "dead letter"), columns, rows, drop=("tries", "request id", "state", "event time"))
