"""Invoices as use cases and stores pass them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from apportion_common.periods import Period

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoicing import InvoiceContent

DRAFT: Final = "draft"


@dataclass(frozen=True, slots=True)
class InvoiceHead:
    """An invoice without what is on it; amounts are scaled by 9 places."""

    invoice_id: UUID
    account_id: UUID
    period: str
    state: str
    number: str
    currency: str
    ledger_total: int
    total: int
    rounding_difference: int
    watermark: int
    until_us: int
    created_at: datetime
    finalized_at: datetime | None


@dataclass(frozen=True, slots=True)
class InvoicePart:
    """An org's part of an invoice: of a period, marked late where that was closed when its lines came."""

    org_id: UUID
    period: str
    late: bool
    ledger_total: int
    part: int
    allocation: Allocation
    percent: int | None
    owner_pays: int
    org_pays: int


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """What a payer gets, or an org's copy."""

    document_id: UUID
    org_id: UUID
    is_copy: bool
    total: int
    number: str

    @property
    def is_credit_note(self) -> bool:
        """Return whether its total is negative."""
        return self.total < 0

    @property
    def is_payable(self) -> bool:
        """Return whether its org has to pay it: what is negative is never payable (spec 08 choice 15)."""
        return not self.is_copy and not self.is_credit_note


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A subtotal of a part, and what is shown for it."""

    org_id: UUID
    period: str
    late: bool
    sku: str
    project_id: UUID | None
    kind: str
    quantity: int
    gross: int
    partner_id: UUID | None
    partner_amount: int
    partner_from_account: bool
    line_count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice with the first parts, documents and lines that are on it, and how many there are."""

    head: InvoiceHead
    parts: Sequence[InvoicePart]
    documents: Sequence[InvoiceDocument]
    lines: Sequence[InvoiceLine]
    part_count: int
    document_count: int
    line_count: int


@dataclass(frozen=True, slots=True)
class Watermark:
    """A point in the ledger below which nothing can appear any more."""

    watermark: int
    period_closed: bool
    closed_org_ids: frozenset[bytes]
    reopened: Mapping[bytes, tuple[int, bool]] = field(default_factory=dict)
    """By organisation, the number of its last reopening of the period, and whether it closed again."""

    def is_closed(self, org_id: bytes) -> bool:
        """Return whether the period is closed for an organisation."""
        _, closed = self.reopened.get(org_id, (0, self.period_closed or org_id in self.closed_org_ids))
        return closed

    def has_seen(self, org_id: bytes, reopening: int) -> bool:
        """Return whether the ledger had an organisation's reopening of the period."""
        return self.reopened.get(org_id, (0, False))[0] >= reopening


class HeldLines(NamedTuple):
    """What final invoices hold of their account: its lines below a watermark that are billed in a period or before."""

    through_period: str
    watermark: int


@dataclass(frozen=True, slots=True)
class InvoiceBasis:
    """What an invoice of an account and period follows on: it is drawn from the ledger under this, or drawn again."""

    account: BillingAccount
    period: Period
    previous_id: UUID | None
    """The account's last final invoice."""
    held: tuple[HeldLines, ...]
    invoiced: frozenset[str]
    """Periods of which the account has a final invoice: what comes later of them goes on later ones."""


@dataclass(frozen=True, slots=True)
class DrawnInvoice:
    """What the ledger said for a basis, and the invoice that it comes to."""

    basis: InvoiceBasis
    watermark: Watermark
    content: InvoiceContent
    org_ids: frozenset[bytes]
    """The orgs with lines that are billed in the period, and not carried over from an earlier one."""
