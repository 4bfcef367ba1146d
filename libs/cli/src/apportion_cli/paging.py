"""Lists that come in pages, read to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from apportion.common.v1 import audit_pb2
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs

from apportion_cli.client import CALL_TIMEOUT_S, Services

PAGE_SIZE = 1_000


async def every(call: Any, request: Any, items: str) -> list[Any]:
    """All items of a list of moderate length; `items` is the name of their field in the answer."""
    found: list[Any] = []
    request.page_size = PAGE_SIZE
    while True:
        answer = await call(request, timeout=CALL_TIMEOUT_S)
        found += getattr(answer, items)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


async def audit_of(call: Any, request: Any, limit: int) -> AsyncIterator[audit_pb2.AuditEntry]:
    """The first `limit` audit entries that a service's request asks for, newest first."""
    left = limit
    while left > 0:
        request.query.page_size = min(left, PAGE_SIZE)
        answer = await call(request, timeout=CALL_TIMEOUT_S)
        for entry in answer.entries:
            yield entry
        left -= len(answer.entries)
        request.query.page_token = answer.next_page_token
        if not request.query.page_token:
            return


async def lines_of(
    services: Services, wanted: ledger.LineFilter, limit: int | None = None
) -> AsyncIterator[ledger.LedgerLine]:
    """The lines that match, by entry id; the first `limit` of them where there is one."""
    left = limit
    request = ledger.ListLinesRequest(filter=wanted)
    while left is None or left > 0:
        request.page_size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
        answer = await services.ledger.ListLines(request, timeout=CALL_TIMEOUT_S)
        for line in answer.lines:
            yield line
        left = None if left is None else left - len(answer.lines)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


async def dead_letters_of(
    services: Services, wanted: metering.DeadLetterFilter, limit: int | None = None
) -> AsyncIterator[metering.DeadLetter]:
    """The dead letters that match, oldest first; the first `limit` of them where there is one."""
    left = limit
    request = metering.ListDeadLettersRequest(filter=wanted)
    while left is None or left > 0:
        request.page_size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
        answer = await services.metering.ListDeadLetters(request, timeout=CALL_TIMEOUT_S)
        for letter in answer.dead_letters:
            yield letter
        left = None if left is None else left - len(answer.dead_letters)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


async def settlements_of(
    services: Services, partner_id: str, kind: ledger.SettlementKind
) -> AsyncIterator[ledger.Settlement]:
    """A partner's settlements of one kind."""
    request = ledger.ListSettlementsRequest(partner_id=partner_id, kind=kind, page_size=PAGE_SIZE)
    while True:
        answer = await services.ledger.ListSettlements(request, timeout=CALL_TIMEOUT_S)
        for settlement in answer.settlements:
            yield settlement
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


async def invoices_of(services: Services, period: str, account_id: str = "") -> AsyncIterator[orgs.Invoice]:
    """The invoices of a period, without their lines."""
    request = orgs.ListInvoicesRequest(period=period, billing_account_id=account_id, page_size=PAGE_SIZE)
    while True:
        answer = await services.orgs.ListInvoices(request, timeout=CALL_TIMEOUT_S)
        for invoice in answer.invoices:
            yield invoice
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


async def mapped_accounts(services: Services) -> list[str]:
    """Ids of the billing accounts that an organisation is or was billed on, in the order of their first mapping."""
    found: dict[str, None] = {}
    request = orgs.ListMappingsRequest(page_size=PAGE_SIZE)
    while True:
        answer = await services.orgs.ListMappings(request, timeout=CALL_TIMEOUT_S)
        found.update(dict.fromkeys(mapping.billing_account_id for mapping in answer.mappings))
        request.page_token = answer.next_page_token
        if not request.page_token:
            return list(found)
