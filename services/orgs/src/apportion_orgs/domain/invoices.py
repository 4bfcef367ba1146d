"""Invoices as use cases and stores pass them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
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
    """An org's part of an invoice."""

    org_id: UUID
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
    payable: bool
    total: int
    number: str


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A subtotal and what is shown for it."""

    org_id: UUID
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
    """An invoice with what is on it."""

    head: InvoiceHead
    parts: Sequence[InvoicePart]
    documents: Sequence[InvoiceDocument]
    lines: Sequence[InvoiceLine]


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


@dataclass(frozen=True, slots=True)
class InvoiceBasis:
    """What an invoice of an account and period follows on: it is drawn from the ledger under this, or drawn again."""

    account: BillingAccount
    period: Period
    previous_id: UUID | None
    previous_watermark: int
    previous_until_us: int
    last_declared: int
    """The account's last mapping that counts."""


@dataclass(frozen=True, slots=True)
class DrawnInvoice:
    """What the ledger said for a basis, and the invoice that it comes to."""

    basis: InvoiceBasis
    watermark: Watermark
    content: InvoiceContent
