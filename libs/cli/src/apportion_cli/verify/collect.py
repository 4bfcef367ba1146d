"""What the services say about a scenario: events, dead letters, lines, sums, partners, sweeps, invoices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client import naming
from apportion_client.pages import dead_letters_of, invoices_of, lines_of, settlements_of, whole_invoice
from apportion_client.services import CALL_TIMEOUT_S, Services

from apportion_cli.display import Bar
from apportion_cli.ingest.rows import Row
from apportion_cli.verify.file_rows import Key

STATUSES_A_CALL: Final = 1_000
CALLS_AT_ONCE: Final = 4
_ACCEPTED: Final = frozenset(
    {
        metering.EVENT_STATE_ACCEPTED,
        metering.EVENT_STATE_RATED,
        metering.EVENT_STATE_POSTED,
        metering.EVENT_STATE_DEAD_LETTERED,
    }
)


@dataclass
class Names:
    """The file's codes of the ids that the services answer with."""

    orgs: dict[str, str]
    projects: dict[str, str]
    accounts: dict[str, str]
    partners: dict[str, str]


@dataclass
class Collected:
    """Everything that figures are made of."""

    names: Names
    events: dict[str, Key]
    """The accepted events of the file, by event id."""
    accepted: dict[Key, bool]
    dead_letters: list[metering.DeadLetter]
    lines: list[ledger.LedgerLine]
    gross: list[ledger.GrossOfKey]
    statements: dict[str, ledger.GetPartnerStatementResponse]
    sweeps: dict[str, list[ledger.Settlement]]
    invoices: dict[str, orgs.Invoice]


def names_of(scenario: dict[str, Any], rows: Iterable[Row], prefix: str) -> Names:
    """Return the codes of a scenario and of the rows of its file, by id."""
    keys = {(row.org, row.project) for row in rows}
    codes = {org for org, _ in keys} | set(scenario.get("orgs", ())) | set(scenario.get("groups", ()))
    codes |= {account["owner"] for account in scenario.get("billing_accounts", {}).values()}
    accounts = scenario.get("billing_accounts") or {
        group["billing_account"]: group for group in scenario["groups"].values()
    }
    return Names(
        {str(naming.org_id(code, prefix)): code for code in codes},
        {str(naming.project_id(org, code, prefix)): code for org, code in keys if code},
        {str(naming.account_id(code, prefix)): code for code in accounts},
        {str(naming.partner_id(code)): code for code in scenario["partners"]},
    )


async def collect(services: Services, names: Names, rows: list[Row], period: str, prefix: str, bar: Bar) -> Collected:
    """Ask the services, a few calls at a time."""
    org_ids = {str(naming.org_id(code, prefix)): code for code in {row.org for row in rows}}
    turn = asyncio.Semaphore(CALLS_AT_ONCE)

    async def lines(org_id: str) -> list[ledger.LedgerLine]:
        async with turn:
            found = [line async for line in lines_of(services, ledger.LineFilter(org_id=org_id))]
        bar.advance(len(found))
        return found

    async def statuses(code: str, request_ids: list[str]) -> list[tuple[Key, metering.EventStatus]]:
        request = metering.GetEventStatusRequest(org_id=str(naming.org_id(code, prefix)), request_ids=request_ids)
        async with turn:
            answer = await services.metering.GetEventStatus(request, timeout=CALL_TIMEOUT_S)
        bar.advance(len(answer.statuses))
        return [((code, status.request_id), status) for status in answer.statuses]

    async def gross(org_id: str) -> list[ledger.GrossOfKey]:
        request = ledger.GetDigestRequest(scope=ledger.DigestScope(org_id=org_id))
        async with turn:
            answer = await services.ledger.GetDigest(request, timeout=CALL_TIMEOUT_S)
        return list(answer.gross)

    bar.show_note("events")
    answers = await asyncio.gather(*(statuses(code, chunk) for code, chunk in _chunks(rows)))
    known = [(key, status) for answer in answers for key, status in answer if status.state in _ACCEPTED]
    bar.show_note("lines")
    found_lines = await asyncio.gather(*(lines(org_id) for org_id in org_ids))
    bar.show_note("sums, partners, invoices")
    sums = await asyncio.gather(*(gross(org_id) for org_id in org_ids))
    return Collected(
        names=names,
        events={status.event_id: key for key, status in known},
        accepted={key: True for key, _ in known},
        dead_letters=await _dead_letters(services, set(names.orgs)),
        lines=[line for page in found_lines for line in page],
        gross=[row for page in sums for row in page],
        statements={code: await _statement(services, one) for one, code in names.partners.items()},
        sweeps={
            code: [item async for item in settlements_of(services, one, ledger.SETTLEMENT_KIND_SWEEP)]
            for one, code in names.partners.items()
        },
        invoices=await _invoices(services, names, period),
    )


def _chunks(rows: list[Row]) -> list[tuple[str, list[str]]]:
    ids: dict[str, dict[str, None]] = {}
    for row in rows:
        ids.setdefault(row.org, {})[row.request_id] = None
    return [
        (code, list(found)[start : start + STATUSES_A_CALL])
        for code, found in ids.items()
        for start in range(0, len(found), STATUSES_A_CALL)
    ]


async def _dead_letters(services: Services, org_ids: set[str]) -> list[metering.DeadLetter]:
    wanted = metering.DeadLetterFilter(state=metering.DEAD_LETTER_STATE_OPEN)
    return [letter async for letter in dead_letters_of(services, wanted) if letter.org_id in org_ids]


async def _statement(services: Services, partner_id: str) -> ledger.GetPartnerStatementResponse:
    request = ledger.GetPartnerStatementRequest(partner_id=partner_id)
    try:
        return await services.ledger.GetPartnerStatement(request, timeout=CALL_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return ledger.GetPartnerStatementResponse()


async def _invoices(services: Services, names: Names, period: str) -> dict[str, orgs.Invoice]:
    """Return the invoice of each account, a final one before a draft."""
    found: dict[str, orgs.Invoice] = {}
    for account_id, code in names.accounts.items():
        standing = [
            one async for one in invoices_of(services, period, account_id) if one.state != orgs.INVOICE_STATE_VOID
        ]
        if standing:
            newest = max(standing, key=lambda one: one.state)
            found[code] = await whole_invoice(services, newest.invoice_id)
    return found
