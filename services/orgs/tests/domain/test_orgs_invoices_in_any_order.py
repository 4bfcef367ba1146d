"""A year of usage, drawn in any order of months, accounts and mappings: every line is on exactly one invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from apportion_common.errors import ApportionError
from apportion_common.instants import us_of_datetime
from apportion_common.periods import Period, parse_period
from apportion_orgs.domain.allocation import FULL_PERCENT, Allocation
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoice_order import (
    basis_of,
    check_earlier_periods,
    check_final,
    draft_to_finalize,
    draft_to_replace,
    orgs_billed_in,
)
from apportion_orgs.domain.invoices import DRAFT, DrawnInvoice, InvoiceBasis, InvoiceDocument, InvoiceHead, Watermark
from apportion_orgs.domain.invoicing import LineSum, draw_invoice
from apportion_orgs.domain.mappings import MappingRow
from hypothesis import given, settings
from orgs_invoices import (
    ACCOUNTS,
    OWNER,
    Document,
    Drawn,
    Line,
    Mapped,
    Part,
    Season,
    Terms,
    run,
    years,
)

NOW = datetime(2014, 1, 1, tzinfo=UTC)
NAMES = (OWNER, "a", "b", "c")


def id_of(name: str) -> bytes:
    return UUID(int=1 + (*NAMES, *ACCOUNTS).index(name)).bytes


def mapping_id_of(mapped: Mapped) -> bytes:
    return UUID(int=1_000 + mapped.number).bytes


def period_of(month: int) -> Period:
    return parse_period(f"2013-{month:02d}")


@dataclass
class ByTheRules:
    """The steps on the domain's rules alone, beside a ledger that is a list."""

    rows: list[MappingRow] = field(default_factory=list)
    ledger: list[tuple[int, bytes, LineSum]] = field(default_factory=list)
    """Number of the transaction, account and sum of each line."""
    closed: dict[int, set[bytes]] = field(default_factory=dict)
    closed_for_all: set[int] = field(default_factory=set)
    heads: list[InvoiceHead] = field(default_factory=list)
    clock: int = 1

    async def map_org(self, mapped: Mapped) -> bool:
        since = us_of_datetime(datetime(2013, *mapped.since, tzinfo=UTC))
        allocation, percent = Allocation(mapped.terms.allocation), mapped.terms.percent
        self.rows.append(
            MappingRow(
                mapping_id_of(mapped),
                id_of(mapped.org),
                id_of(mapped.account),
                allocation,
                None if percent is None else percent * FULL_PERCENT // 100,
                since,
                mapped.number,
            )
        )
        return True

    async def post(self, line: Line) -> None:
        sums = LineSum(
            org_id=id_of(line.mapped.org),
            project_id=None,
            sku=line.sku,
            kind=line.kind,
            currency="AUD",
            partner_id=None,
            partner_from_account=False,
            mapping_id=mapping_id_of(line.mapped),
            period=period_of(line.at[0]).key,
            billed_period="" if line.billed is None else period_of(line.billed).key,
            line_count=1,
            quantity=10**9,
            gross=line.gross,
            partner_amount=0,
        )
        self.ledger.append((self.clock, id_of(line.mapped.account), sums))
        self.clock += 1

    async def close(self, month: int, org: str | None) -> None:
        if org is None:
            self.closed_for_all.add(month)
        else:
            self.closed.setdefault(month, set()).add(id_of(org))

    async def draw(self, account: str, month: int, *, final: bool) -> Drawn | str:
        try:
            return self._draw(
                BillingAccount(UUID(bytes=id_of(account)), UUID(bytes=id_of(OWNER)), account, "AUD"), month, final
            )
        except ApportionError as rejected:
            return rejected.reason

    def _draw(self, account: BillingAccount, month: int, final: bool) -> Drawn:
        heads = [head for head in self.heads if head.account_id == account.account_id]
        basis = basis_of(account, period_of(month), heads)
        watermark = Watermark(self.clock, month in self.closed_for_all, frozenset(self.closed.get(month, ())))
        sums = self._sums(basis, watermark.watermark)
        check_earlier_periods(basis, sums)
        rows = [row for row in self.rows if row.account_id == account.account_id.bytes]
        content = draw_invoice(account.owner_org_id.bytes, account.account_id.bytes, "AUD", rows, sums)
        drawn = DrawnInvoice(basis, watermark, content, orgs_billed_in(basis, sums))
        replaced = draft_to_replace(drawn, heads)
        allocation = content.allocation
        head = InvoiceHead(
            UUID(int=len(self.heads)) if replaced is None else replaced.invoice_id,
            account.account_id,
            basis.period.key,
            DRAFT,
            "",
            "AUD",
            allocation.ledger_total,
            allocation.invoice_total,
            allocation.rounding_difference,
            watermark.watermark,
            basis.period.end_us,
            NOW,
            None,
        )
        if replaced is None:
            self.heads.append(head)
        else:
            self.heads[self.heads.index(replaced)] = head
        if final:
            assert draft_to_finalize(head.invoice_id, self.heads) == head
            check_final(drawn, self.rows, {})
            self.heads[self.heads.index(head)] = _final(head)
        return _drawn(drawn)

    def _sums(self, basis: InvoiceBasis, watermark: int) -> list[LineSum]:
        """What the ledger has of the account that nothing holds."""
        return [
            sums
            for xid, account, sums in self.ledger
            if account == basis.account.account_id.bytes
            and xid < watermark
            and sums.billing_period <= basis.period.key
            and not any(sums.billing_period <= held.through_period and xid < held.watermark for held in basis.held)
        ]


def _final(head: InvoiceHead) -> InvoiceHead:
    return InvoiceHead(
        head.invoice_id,
        head.account_id,
        head.period,
        "final",
        "1",
        head.currency,
        head.ledger_total,
        head.total,
        head.rounding_difference,
        head.watermark,
        head.until_us,
        NOW,
        NOW,
    )


def _drawn(drawn: DrawnInvoice) -> Drawn:
    name_of = {id_of(name): name for name in NAMES}
    content, allocation = drawn.content, drawn.content.allocation
    parts = [
        Part(
            name_of[part.usage.org_id],
            int(key.period[5:]),
            key.late,
            Terms(key.allocation.value, None if key.percent is None else key.percent * 100 // FULL_PERCENT),
            part.usage.ledger_total,
            part.owner_pays,
            part.org_pays,
        )
        for part, key in zip(allocation.parts, content.keys, strict=True)
    ]
    shown: Sequence[int] = [0] * len(parts)
    for line in content.lines:
        shown[line.part] += line.amount  # type: ignore[index]
    assert list(shown) == [part.owner_pays + part.org_pays for part in parts]
    issued = [(org, total, False) for org, total in allocation.payers]
    issued += [(org, total, True) for org, total in allocation.copies]
    documents = [InvoiceDocument(UUID(int=0), UUID(bytes=org), is_copy, total, "") for org, total, is_copy in issued]
    assert len({line.sums.sku for line in content.lines}) == len(content.lines)
    return Drawn(
        allocation.invoice_total,
        parts,
        {line.sums.sku: (parts[line.part][:3], line.sums.gross) for line in content.lines},
        [
            Document(name_of[one.org_id.bytes], one.total, one.is_payable, one.is_credit_note, one.is_copy)
            for one in documents
        ],
    )


@given(years(12, 4, 20))
@settings(max_examples=250)
async def test_every_line_of_a_year_is_on_exactly_one_invoice_under_its_period_and_mapping(
    year: list[Season],
) -> None:
    driver = ByTheRules()
    model = await run(year, driver)
    finals = [head for head in driver.heads if head.state != DRAFT]
    assert len(finals) == len(model.finals)
    assert sum(head.ledger_total for head in finals) == sum(line.gross for line in model.lines)
