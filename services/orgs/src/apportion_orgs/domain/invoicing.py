"""What an invoice shows: parts of orgs by period, documents of payers, lines that add up to both (spec 05)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from apportion_common.decimals import AMOUNT_SUM, QUANTITY_SUM, check_scaled
from apportion_common.money import minor_unit

from apportion_orgs.domain.allocation import AccountAllocation, Allocation, OrgUsage, allocate
from apportion_orgs.domain.apportionment import apportion_to
from apportion_orgs.domain.mappings import MappingRow, declared_order
from apportion_orgs.errors import currency_mismatch, invoice_amount_out_of_range, mapping_missing
from apportion_orgs.limits import INVOICE_AMOUNT_MAX


@dataclass(frozen=True, slots=True)
class LineSum:
    """What the ledger has for one key of an account. Ids are 16 bytes, numbers scaled ints at 9 places.

    `mapping_id` is the mapping in force at the lines' event times, `period` the period of these; `billed_period` the
    later one that bills them, where theirs was closed when they came, empty otherwise.
    """

    org_id: bytes
    project_id: bytes | None
    sku: str
    kind: str
    currency: str
    partner_id: bytes | None
    partner_from_account: bool
    mapping_id: bytes
    period: str
    billed_period: str
    line_count: int
    quantity: int
    gross: int
    partner_amount: int

    @property
    def billing_period(self) -> str:
        """Return the period that bills the lines."""
        return self.billed_period or self.period

    @property
    def key(self) -> tuple[str, bytes, str, bytes, bool]:
        """Return what an invoice tells apart within a part; the order of its lines there."""
        return self.sku, self.project_id or b"", self.kind, self.partner_id or b"", self.partner_from_account


class PartKey(NamedTuple):
    """What makes a part: whose lines, of which period, whether it was closed when they came, and who pays.

    `place` is the org's in declared order; parts stand in the order of their keys.
    """

    place: int
    period: str
    late: bool
    allocation: Allocation
    percent: int | None


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A subtotal of a part, and the amount in whole minor units that is shown for it."""

    part: int
    """The part's place among the invoice's parts, from 0 on."""
    sums: LineSum
    amount: int


@dataclass(frozen=True, slots=True)
class InvoiceContent:
    """What an invoice says: who pays what, what each part is about, and the lines, by part."""

    currency: str
    allocation: AccountAllocation
    keys: tuple[PartKey, ...]
    lines: tuple[ShownLine, ...]


def draw_invoice(
    owner_id: bytes, account_id: bytes, currency: str, rows: Sequence[MappingRow], sums: Sequence[LineSum]
) -> InvoiceContent:
    """Return the content of an account's invoice, from the ledger's sums.

    `rows` are the account's mapping rows in declared order. Who pays a line says the mapping that it names: the one
    that was in force at its event time. Of a part each line shows its amount by largest remainder, so shown lines add
    up to shown totals. Raises FailedPrecondition CURRENCY_MISMATCH or MAPPING_MISSING, OutOfRange AMOUNT_OUT_OF_RANGE.
    """
    if any(line.currency != currency for line in sums):
        raise currency_mismatch(currency)
    places = {org: place for place, org in enumerate(declared_order(rows, account_id))}
    mappings = {row.mapping_id: row for row in rows if row.account_id == account_id}
    keyed = [(_part_of(line, mappings, places), line) for line in sums]
    keyed.sort(key=lambda pair: (_order(pair[0]), pair[1].key))
    parts = [(key, _merged([line for _, line in held])) for key, held in groupby(keyed, key=lambda pair: pair[0])]
    usages = [
        OrgUsage(
            lines[0].org_id, check_scaled(sum(line.gross for line in lines), AMOUNT_SUM), key.allocation, key.percent
        )
        for key, lines in parts
    ]
    allocation = allocate(owner_id, currency, usages)
    unit = minor_unit(currency)
    shown = [
        ShownLine(place, line, amount)
        for place, (share, (_, lines)) in enumerate(zip(allocation.parts, parts, strict=True))
        for line, amount in zip(lines, apportion_to(share.part, [line.gross for line in lines], unit), strict=True)
    ]
    content = InvoiceContent(currency, allocation, tuple(key for key, _ in parts), tuple(shown))
    _check_amounts(content)
    return content


def _part_of(line: LineSum, mappings: dict[bytes, MappingRow], places: dict[bytes, int]) -> PartKey:
    row = mappings.get(line.mapping_id)
    if row is None or row.org_id != line.org_id:
        raise mapping_missing()
    return PartKey(places[line.org_id], line.period, bool(line.billed_period), row.allocation, row.percent)


def _order(key: PartKey) -> tuple[int, str, bool, str, int]:
    return key.place, key.period, key.late, key.allocation.value, key.percent or 0


def _merged(lines: Sequence[LineSum]) -> list[LineSum]:
    """Return one sum per key of a part's sorted lines: what differs only in the mapping row is one line."""
    merged: list[LineSum] = []
    for one in lines:
        if merged and merged[-1].key == one.key:
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
