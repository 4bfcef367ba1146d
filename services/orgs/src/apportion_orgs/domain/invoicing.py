"""What an invoice shows: parts of orgs, documents of payers, lines that add up to both (spec 05)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from apportion_common.decimals import AMOUNT_SUM, QUANTITY_SUM, check_scaled
from apportion_common.money import minor_unit

from apportion_orgs.domain.allocation import AccountAllocation, OrgUsage, allocate
from apportion_orgs.domain.apportionment import apportion_to
from apportion_orgs.domain.mappings import MappingRow, declared_order, last_rows_before
from apportion_orgs.errors import currency_mismatch, invoice_amount_out_of_range, mapping_missing
from apportion_orgs.limits import INVOICE_AMOUNT_MAX


@dataclass(frozen=True, slots=True)
class LineSum:
    """What the ledger has for one key of an account. Ids are 16 bytes, numbers scaled ints at 9 places."""

    org_id: bytes
    project_id: bytes | None
    sku: str
    kind: str
    currency: str
    partner_id: bytes | None
    partner_from_account: bool
    line_count: int
    quantity: int
    gross: int
    partner_amount: int

    @property
    def key(self) -> tuple[bytes, str, bytes, str, bytes, bool]:
        """Return what an invoice tells apart; the order of its lines within an org."""
        return (
            self.org_id,
            self.sku,
            self.project_id or b"",
            self.kind,
            self.partner_id or b"",
            self.partner_from_account,
        )


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A subtotal on an invoice, and the amount in whole minor units that is shown for it."""

    sums: LineSum
    amount: int


@dataclass(frozen=True, slots=True)
class InvoiceContent:
    """What an invoice says: who pays what, and the lines, by org in declared order."""

    currency: str
    allocation: AccountAllocation
    lines: tuple[ShownLine, ...]


def draw_invoice(
    owner_id: bytes,
    account_id: bytes,
    currency: str,
    until_us: int,
    rows: Sequence[MappingRow],
    sums: Sequence[LineSum],
) -> InvoiceContent:
    """Return the content of an account's invoice up to an instant, from the ledger's sums.

    `rows` are the account's mapping rows in declared order. An org's allocation is that of its last row to the account
    before `until_us`. Of an org's part each line shows its amount by largest remainder, so shown lines add up to shown
    totals. Raises FailedPrecondition CURRENCY_MISMATCH or MAPPING_MISSING, OutOfRange AMOUNT_OUT_OF_RANGE.
    """
    lines = _merged(sums)
    if any(line.currency != currency for line in lines):
        raise currency_mismatch(currency)
    by_org = {org: list(held) for org, held in groupby(lines, key=lambda line: line.org_id)}
    order = [org for org in declared_order(rows, account_id) if org in by_org]
    if len(order) != len(by_org):
        raise mapping_missing()
    terms = last_rows_before(rows, account_id, until_us)
    usages = [_usage(org, terms.get(org), by_org[org]) for org in order]
    allocation = allocate(owner_id, currency, usages)
    unit = minor_unit(currency)
    shown = [
        ShownLine(line, amount)
        for part in allocation.parts
        for held in (by_org[part.usage.org_id],)
        for line, amount in zip(held, apportion_to(part.part, [line.gross for line in held], unit), strict=True)
    ]
    content = InvoiceContent(currency, allocation, tuple(shown))
    _check_amounts(content)
    return content


def _merged(sums: Sequence[LineSum]) -> list[LineSum]:
    """Return one sum per key, sorted by it: what differs only in the mapping row is one line of an invoice."""
    merged: list[LineSum] = []
    for one in sorted(sums, key=lambda s: (s.key, s.currency)):
        if merged and (merged[-1].key, merged[-1].currency) == (one.key, one.currency):
            last = merged[-1]
            merged[-1] = replace(
                last,
                line_count=last.line_count + one.line_count,
                quantity=check_scaled(last.quantity + one.quantity, QUANTITY_SUM),
                gross=check_scaled(last.gross + one.gross, AMOUNT_SUM),
                partner_amount=check_scaled(last.partner_amount + one.partner_amount, AMOUNT_SUM),
            )
        else:
            merged.append(one)
    return merged


def _check_amounts(content: InvoiceContent) -> None:
    """Raise OutOfRange AMOUNT_OUT_OF_RANGE for an amount that no Money holds, also where others make up for it."""
    allocation = content.allocation
    amounts = [allocation.invoice_total, *(line.amount for line in content.lines)]
    amounts += [amount for part in allocation.parts for amount in (part.part, part.owner_pays, part.org_pays)]
    amounts += [total for _, total in (*allocation.payers, *allocation.copies)]
    if any(abs(amount) > INVOICE_AMOUNT_MAX for amount in amounts):
        raise invoice_amount_out_of_range(content.currency)


def _usage(org_id: bytes, row: MappingRow | None, lines: Sequence[LineSum]) -> OrgUsage:
    if row is None:
        raise mapping_missing()
    total = check_scaled(sum(line.gross for line in lines), AMOUNT_SUM)
    return OrgUsage(org_id, total, row.allocation, row.percent)
