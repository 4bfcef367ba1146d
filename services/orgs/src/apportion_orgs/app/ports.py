"""What the use cases need of the outside, as they need it; `store` and `rpc.ledger_client` fulfil it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.invoicing import InvoiceContent, LineSum
from apportion_orgs.domain.mappings import MappingRow
from apportion_orgs.domain.periods import Period


@dataclass(frozen=True, slots=True)
class OrgRecord:
    """An organisation; empty texts for what is not known of it."""

    org_id: UUID
    legal_name: str
    slug: str
    billing_email: str
    default_timezone: str
    tax_id: str
    visibility: str
    parent_org_id: UUID | None


class OrgAt(NamedTuple):
    """An organisation so many steps away from another."""

    org: OrgRecord
    depth: int


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A billing account."""

    account_id: UUID
    owner_org_id: UUID
    name: str
    currency: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class MappingRecord:
    """An org on an account from an instant (in microseconds) on; `percent` is scaled by 4 places."""

    mapping_id: UUID
    org_id: UUID
    account_id: UUID
    allocation: Allocation
    percent: int | None
    effective_at_us: int
    revision: int
    declared_order: int

    def row(self) -> MappingRow:
        """The row as the domain rules take it."""
        return MappingRow(
            self.mapping_id.bytes,
            self.org_id.bytes,
            self.account_id.bytes,
            self.allocation,
            self.percent,
            self.effective_at_us,
            self.revision,
        )


class ResolvedAccount(NamedTuple):
    """The answer for one (organisation, instant); ids as text, instants in microseconds, None for open ends."""

    org_known: bool
    mapping_id: str | None
    account_id: str | None
    currency: str | None
    valid_from_us: int | None
    valid_until_us: int | None


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
class InvoiceRecord:
    """An invoice with what is on it."""

    head: InvoiceHead
    parts: Sequence[InvoicePart]
    documents: Sequence[InvoiceDocument]
    lines: Sequence[InvoiceLine]


@dataclass(frozen=True, slots=True)
class InvoiceBasis:
    """What an invoice of an account and period follows on: it is drawn from the ledger under this, or drawn again."""

    account: AccountRecord
    period: Period
    previous_id: UUID | None
    previous_watermark: int
    previous_until_us: int
    last_declared: int
    """The account's last mapping that counts."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """A point in the ledger below which nothing can appear any more."""

    watermark: int
    period_closed: bool
    closed_org_ids: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class DrawnInvoice:
    """What the ledger said for a basis, and the invoice that it comes to."""

    basis: InvoiceBasis
    watermark: Watermark
    content: InvoiceContent


class LedgerPort(Protocol):
    """The ledger, as invoices need it. Raises Unavailable when it does not answer."""

    async def fix_watermark(self, period: str) -> Watermark:
        """Fix a watermark, and say whether the period is closed up to it."""
        ...

    async def summarize_lines(
        self, account_id: UUID, watermark: int, until_us: int, previous_watermark: int, previous_until_us: int
    ) -> Sequence[LineSum]:
        """Sums of the account's lines up to the watermark and before `until_us` that the previous bounds leave out."""
        ...


class AuditTrail(Protocol):
    """The service's audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last)."""
        ...


class OrgStore(Protocol):
    """organization."""

    async def find(self, connection: AsyncConnection, org_id: UUID) -> OrgRecord | None:
        """The organisation with the id."""
        ...

    async def is_slug_taken(self, connection: AsyncConnection, slug: str) -> bool:
        """Whether an organisation has the slug."""
        ...

    async def add(self, tx: Transaction, org: OrgRecord, revision: int) -> bool:
        """Add an organisation; False when its id or slug was taken meanwhile."""
        ...

    async def set_parent(self, tx: Transaction, org_id: UUID, parent_org_id: UUID) -> None:
        """Change the parent pointer."""
        ...


class HierarchyStore(Protocol):
    """org_hierarchy and its locks."""

    async def root_of(self, connection: AsyncConnection, org_id: UUID) -> UUID | None:
        """The root of the organisation's tree; None when there is no such organisation."""
        ...

    async def lock_root(self, tx: Transaction, root: UUID, *, shared: bool) -> None:
        """Hold a tree until the transaction ends: shared to add a leaf, else alone."""
        ...

    async def depth(self, connection: AsyncConnection, org_id: UUID) -> int:
        """Levels above the organisation."""
        ...

    async def height(self, connection: AsyncConnection, org_id: UUID) -> int:
        """Levels below the organisation."""
        ...

    async def is_ancestor(self, connection: AsyncConnection, ancestor: UUID, descendant: UUID) -> bool:
        """Whether the first is above the second, or is it."""
        ...

    async def add_leaf(self, tx: Transaction, org_id: UUID, parent_org_id: UUID | None) -> None:
        """Add the closure rows of a new organisation."""
        ...

    async def attach(self, tx: Transaction, root: UUID, parent_org_id: UUID) -> None:
        """Add the closure rows between a tree and the ancestors that it gets."""
        ...

    async def ancestors(self, connection: AsyncConnection, org_id: UUID) -> Sequence[OrgAt]:
        """What is above, nearest first."""
        ...

    async def subtree(self, connection: AsyncConnection, org_id: UUID, most: int) -> Sequence[OrgAt]:
        """The organisation and what is below it, by depth and slug, at most so many."""
        ...

    async def descendants(
        self, connection: AsyncConnection, org_id: UUID, after: tuple[int, str] | None, most: int
    ) -> Sequence[OrgAt]:
        """What is below, by depth and slug, after a place."""
        ...

    async def differences(self, connection: AsyncConnection, most: int) -> Sequence[tuple[UUID, UUID]]:
        """Pairs (ancestor, descendant) in which the closure differs from the parent pointers."""
        ...


class AccountStore(Protocol):
    """billing_account."""

    async def find(self, connection: AsyncConnection, account_id: UUID) -> AccountRecord | None:
        """The account with the id."""
        ...

    async def find_default(self, connection: AsyncConnection, owner_org_id: UUID) -> AccountRecord | None:
        """The account that an organisation got when it was made."""
        ...

    async def lock(self, tx: Transaction, account_id: UUID) -> AccountRecord | None:
        """The account, held until the transaction ends by whoever writes its invoices."""
        ...

    async def add(self, tx: Transaction, account: AccountRecord, revision: int) -> bool:
        """Add an account; False when its id was taken meanwhile."""
        ...


class MappingStore(Protocol):
    """org_billing_mapping."""

    async def of_org(self, connection: AsyncConnection, org_id: UUID) -> Sequence[MappingRecord]:
        """Every mapping of an organisation."""
        ...

    async def of_account(self, connection: AsyncConnection, account_id: UUID) -> Sequence[MappingRecord]:
        """Every mapping to an account, in declared order."""
        ...

    async def of_account_orgs(self, connection: AsyncConnection, account_id: UUID) -> Sequence[MappingRecord]:
        """Every mapping, to whatever account, of every organisation that is ever on the account, in declared order."""
        ...

    async def last_declared(self, connection: AsyncConnection, account_id: UUID) -> int:
        """Place of the account's last mapping in its declared order; it rises with each one. 0 for none."""
        ...

    async def add(
        self,
        tx: Transaction,
        org_id: UUID,
        account_id: UUID,
        allocation: Allocation,
        percent: int | None,
        effective_at_us: int,
        revision: int,
    ) -> MappingRecord:
        """Add a mapping at the end of its account's declared order; the configuration's head is held."""
        ...

    async def page(
        self,
        connection: AsyncConnection,
        org_id: UUID | None,
        account_id: UUID | None,
        after: tuple[int, int, UUID] | None,
        most: int,
    ) -> Sequence[MappingRecord]:
        """Mappings in declared order, after a place."""
        ...

    async def resolve(
        self, connection: AsyncConnection, needs: Sequence[tuple[str, int]], revision: int
    ) -> Sequence[ResolvedAccount]:
        """The mapping of each organisation in force at its instant, as known under a revision, in the given order.

        `needs` are ids, in text that has been checked, and instants in microseconds.
        """
        ...


class InvoiceStore(Protocol):
    """invoice and what hangs on it."""

    async def head(self, connection: AsyncConnection, invoice_id: UUID) -> InvoiceHead | None:
        """The invoice without what is on it."""
        ...

    async def load(self, connection: AsyncConnection, invoice_id: UUID) -> InvoiceRecord | None:
        """The invoice with what is on it."""
        ...

    async def page(
        self,
        connection: AsyncConnection,
        account_id: UUID | None,
        period: str,
        after: UUID | None,
        most: int,
    ) -> Sequence[InvoiceHead]:
        """Invoices, oldest first, after a place."""
        ...

    async def of_account(self, connection: AsyncConnection, account_id: UUID) -> Sequence[InvoiceHead]:
        """The account's invoices that are not void."""
        ...

    async def write_draft(self, tx: Transaction, invoice_id: UUID, drawn: DrawnInvoice, *, is_new: bool) -> None:
        """Add a draft, or draw one up afresh in its place."""
        ...

    async def finalize(self, tx: Transaction, invoice_id: UUID, account_id: UUID, finalized_by: str) -> str:
        """Give a draft the account's next number, book its rounding, and fix it; gives the number."""
        ...
