"""The found figures, under the names that the expected ones have."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from hashlib import sha256
from typing import Any

from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_common.decimals import AMOUNT_PLACES, format_decimal
from apportion_common.money import minor_decimals

from apportion_cli.display import money_decimal, number
from apportion_cli.ingest.rows import Row
from apportion_cli.verify.collect import Collected
from apportion_cli.verify.expected import PAYS, SHOWS
from apportion_cli.verify.figures import Figures, Name, joined
from apportion_cli.verify.file_rows import Content, DeadLetter, Sorted, sort_rows

NANOS_PER_US = 1_000
US_PER_S = 1_000_000


def found_figures(scenario: dict[str, Any], rows: list[Row], told: Collected) -> Figures:
    """Return every figure that the services' answers hold."""
    result = sort_rows(rows, [_letter(letter, told) for letter in told.dead_letters], told.accepted)
    lines = {told.events[line.event_id]: line for line in told.lines if line.event_id in told.events}
    figures = _counts(scenario, rows, told, result)
    for reason, row in result.dead_letters:
        figures["dead_letters", reason, f"row {row.number}"] = joined(row.org, row.request_id)
    for letter in result.unexplained:
        figures["dead_letters", letter.reason, "no row"] = joined(*letter.key)
    for row in result.duplicates:
        figures["duplicates", f"row {row.number}"] = joined(row.org, row.request_id)
    figures |= _sums(told)
    figures |= _partners(scenario, told)
    for account, invoice in told.invoices.items():
        figures |= _account(account, invoice, told)
    by_row = {result.first[key].number: (key, line) for key, line in lines.items()}
    cases = {row["row"]: row["case"] for row in scenario["expected"].get("lines", ())}
    hashed = sha256()
    for row_number in sorted(by_row):
        (org, request_id), line = by_row[row_number]
        values = _line_values(org, request_id, line, told)
        hashed.update((joined(row_number, *values) + "\n").encode())
        if row_number in cases:
            figures["lines", f"row {row_number}", cases[row_number]] = joined(*values)
    figures[("lines_sha256",)] = hashed.hexdigest()
    return figures


def _counts(scenario: dict[str, Any], rows: list[Row], told: Collected, result: Sorted) -> Figures:
    thresholds = {currency: Decimal(value) for currency, value in scenario["real_time_threshold"].items()}
    amounts = [(line.amount_gross.currency_code, money_decimal(line.amount_gross)) for line in told.lines]
    counts = {
        "file_rows": len(rows),
        "accepted": len(told.accepted),
        "duplicates": len(result.duplicates),
        "dead_letters": len(told.dead_letters),
        "lines": len(told.lines),
        "zero_amount_lines": sum(gross == 0 for _, gross in amounts),
        "lines_at_or_above_threshold": sum(
            currency in thresholds and gross >= thresholds[currency] for currency, gross in amounts
        ),
    }
    return {("counts", name): str(count) for name, count in counts.items()}


def _letter(letter: metering.DeadLetter, told: Collected) -> DeadLetter:
    event = letter.event
    key = told.names.orgs.get(letter.org_id, letter.org_id), letter.request_id
    if not letter.HasField("event"):
        return DeadLetter(letter.reason, key, None)
    at_us = event.event_time.seconds * US_PER_S + event.event_time.nanos // NANOS_PER_US
    project = told.names.projects.get(event.project_id, event.project_id)
    return DeadLetter(letter.reason, key, Content(project, event.sku, Decimal(number(event.quantity)), at_us))


def _sums(told: Collected) -> Figures:
    figures: Figures = {}
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in told.gross:
        key = ("by_org_sku", told.names.orgs.get(row.org_id, row.org_id), row.sku, row.period, row.currency)
        figures[*key, "lines"] = str(row.line_count)
        figures[*key, "quantity"] = number(row.quantity)
        figures[*key, "gross"] = number(row.gross)
        totals[row.currency] += Decimal(number(row.gross))
    return figures | {("gross_total", currency): str(total) for currency, total in totals.items()}


def _partners(scenario: dict[str, Any], told: Collected) -> Figures:
    figures: Figures = {}
    weeks = scenario.get("sweep_weeks") or list(scenario["expected"]["sweeps"])
    for partner, statement in told.statements.items():
        for of in statement.currencies:
            figures |= _partner(("partners", partner, of.currency), of)
            # A week without a settlement paid nothing.
            figures |= {("sweeps", week, partner, of.currency): "0" for week in weeks}
    for partner, settlements in told.sweeps.items():
        for settlement in settlements:
            paid = format_decimal(money_decimal(settlement.amount))
            figures["sweeps", settlement.week, partner, settlement.amount.currency_code] = paid
    return figures


def _partner(key: tuple[str, str, str], of: ledger.StatementOfCurrency) -> Figures:
    sums = of.exact
    paid = Decimal(number(sums.paid_real_time))
    return {
        (*key, "payable"): str(of.payable),
        (*key, "earned"): number(sums.earned),
        (*key, "real_time_paid"): format_decimal(paid),
        (*key, "real_time_lines"): str(of.real_time_count),
        (*key, "paid_in_all"): format_decimal(paid + Decimal(number(sums.paid_sweep))),
        (*key, "balance"): number(sums.closing),
    }


def _account(account: str, invoice: orgs.Invoice, told: Collected) -> Figures:
    key: Name = ("accounts", account)
    codes = told.names.orgs
    figures: Figures = {
        (*key, "currency"): invoice.currency,
        (*key, "ledger_total"): number(invoice.ledger_total),
        (*key, "invoice_total"): format_decimal(money_decimal(invoice.total)),
        (*key, "rounding_difference"): number(invoice.rounding_difference),
        (*key, "declared order"): joined(*(codes.get(part.org_id, part.org_id) for part in invoice.parts)),
    }
    for part in invoice.parts:
        org = codes.get(part.org_id, part.org_id)
        if part.late or part.period != invoice.period:
            org = f"{org} {part.period}{' late' if part.late else ''}"
        figures[*key, org, "ledger_total"] = number(part.ledger_total)
        figures[*key, org, "part"] = format_decimal(money_decimal(part.part))
        figures[*key, org, "allocation"] = orgs.Allocation.Name(part.allocation).removeprefix("ALLOCATION_").lower()
        figures[*key, org, "percent"] = part.percent.value or "None"
        figures[*key, org, "owner_pays"] = format_decimal(money_decimal(part.owner_pays))
        figures[*key, org, "org_pays"] = format_decimal(money_decimal(part.org_pays))
    for document in invoice.documents:
        org = codes.get(document.org_id, document.org_id)
        kind = SHOWS if document.copy else PAYS
        figures[*key, org, kind] = format_decimal(money_decimal(document.total))
    return figures


def _line_values(org: str, request_id: str, line: ledger.LedgerLine, told: Collected) -> tuple[object, ...]:
    """Return the values of a line in the text forms that the hash of all lines is made of."""
    currency = line.amount_gross.currency_code
    paid = money_decimal(line.real_time_paid)
    return (
        org,
        request_id,
        line.sku,
        told.names.accounts.get(line.billing_account_id, line.billing_account_id),
        currency,
        _fixed(money_decimal(line.amount_gross), AMOUNT_PLACES),
        told.names.partners.get(line.partner_id, line.partner_id) if line.partner_id else None,
        format_decimal(Decimal(number(line.partner_pct))),
        _fixed(money_decimal(line.partner_amount), AMOUNT_PLACES),
        _fixed(money_decimal(line.net), AMOUNT_PLACES),
        _fixed(paid, minor_decimals(currency)),
    )


def _fixed(value: Decimal, places: int) -> str:
    """Return a decimal with exactly `places` places; what has more is said in full, so that it differs."""
    text = format_decimal(value)
    whole, _, fraction = text.partition(".")
    fraction = fraction.ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole
