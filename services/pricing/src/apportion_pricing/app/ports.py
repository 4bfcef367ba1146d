"""What the use cases need of the world outside; `store` provides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.terms import AssignmentRow, EntitlementRow, PlanSkuRow, RateTerms, SubjectKind, TermsRows

PositionKey = tuple[bytes, str, str]
"""Organisation (16 bytes), SKU and period: whose usage is counted together (spec 08 choice 7)."""


class BillingAccount(NamedTuple):
    """The account that an organisation is billed on, by which mapping, in which currency."""

    account_id: bytes
    mapping_id: bytes
    currency: str


class AccountInterval(NamedTuple):
    """What orgs says of an organisation for instants in [start_us, end_us), under one of its revisions."""

    start_us: int
    end_us: int
    org_known: bool
    account: BillingAccount | None


class OrgsAnswer(NamedTuple):
    """One answer of orgs: its revision, and an interval for each item asked."""

    revision: int
    intervals: Sequence[AccountInterval]


class OrgsGateway(Protocol):
    """The orgs service."""

    async def resolve(self, items: Sequence[tuple[bytes, int]], as_of_revision: int) -> OrgsAnswer:
        """The billing account of each (organisation, instant in microseconds); revision 0 asks for the newest.

        Raises Unavailable ORGS_UNAVAILABLE when orgs cannot say now.
        """
        ...


class EngineModeRow(NamedTuple):
    """A mode that was set for an organisation, or for all (None)."""

    org_id: bytes | None
    mode: str
    revision: int


@dataclass(frozen=True, slots=True)
class LoadedTerms:
    """Rows of the revisions in (after, up to]."""

    rows: TermsRows
    modes: Sequence[EngineModeRow]


class TermsLoader(Protocol):
    """Reads terms for the rater's memory."""

    async def load(self, connection: AsyncConnection, after: int, up_to: int) -> LoadedTerms:
        """Every row of a revision in (after, up_to]; `after` -1 for all from the beginning."""
        ...


class PositionStore(Protocol):
    """How much of a period is used up."""

    async def load(self, tx: Transaction, keys: Sequence[PositionKey]) -> Mapping[PositionKey, int]:
        """The stored positions among `keys`, scaled by 9 places; one that is missing is 0."""
        ...

    async def save(self, tx: Transaction, positions: Sequence[tuple[PositionKey, int]]) -> None:
        """Store positions; they come sorted by key, so that transactions lock them in one order."""
        ...


@dataclass(frozen=True, slots=True)
class ChargeConstants:
    """What all charges of one resolved stretch of terms have in common."""

    org_id: bytes
    account: BillingAccount
    terms: RateTerms
    sku: str
    period: str
    mode: str
    catalog_revision: int
    orgs_revision: int
    lane: int


class RefusedEvent(NamedTuple):
    """An event that could not be charged, at its place."""

    event_id: bytes
    entry_seq: int
    org_id: bytes
    sku: str
    event_time_us: int
    reason: str
    detail: str
    batch_seq: int


class ClosedPeriod(NamedTuple):
    """A period's close in a lane, for one organisation or all of the lane (None)."""

    period: str
    org_id: bytes | None
    batch_seq: int
    entry_seq: int


class ChargeStore(Protocol):
    """What rating decided. Rows are packed as they are made, without an object per charge."""

    def constants(self, constants: ChargeConstants) -> bytes:
        """Pack what a stretch's charges have in common."""
        ...

    def row(
        self,
        constants: bytes,
        batch_seq: int,
        charge_id: bytes,
        event_id: bytes,
        project_id: bytes,
        quantity: int,
        quantity_before: int,
        amount: int,
        event_time_us: int,
        entry_seq: int,
    ) -> bytes:
        """Pack one charge; quantities and the amount are scaled by 9 places."""
        ...

    async def write(self, tx: Transaction, rows: Sequence[bytes]) -> None:
        """Store packed charges."""
        ...

    async def write_refusals(
        self, tx: Transaction, lane: int, catalog_revision: int, orgs_revision: int, refused: Sequence[RefusedEvent]
    ) -> None:
        """Store refusals."""
        ...

    async def closed_periods(self, tx: Transaction, lane: int) -> Iterable[tuple[str, bytes | None]]:
        """The periods closed in a lane, each with its organisation or None for all."""
        ...

    async def write_closes(self, tx: Transaction, lane: int, closed: Sequence[ClosedPeriod]) -> None:
        """Store period closes; one that is there already stays as it was."""
        ...


@dataclass(frozen=True, slots=True)
class SkuRecord:
    """A capability of the catalog."""

    sku: str
    sku_type: str
    unit: str


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan; the base price is scaled by 9 places."""

    plan_id: bytes
    name: str
    currency: str
    base_price: int


class CatalogStore(Protocol):
    """SKUs, plans and their versioned rows."""

    async def add_sku(self, tx: Transaction, sku: SkuRecord, revision: int, by: str) -> bool:
        """Add a SKU; False when there is one of that name."""
        ...

    async def known_skus(self, connection: AsyncConnection, skus: Sequence[str]) -> set[str]:
        """Those of `skus` that are in the catalog."""
        ...

    async def list_skus(self, connection: AsyncConnection, after: str, limit: int) -> list[SkuRecord]:
        """SKUs by name, from the first one after `after`."""
        ...

    async def add_plan(self, tx: Transaction, plan: PlanRecord, revision: int, by: str) -> bool:
        """Add a plan; False when its id or name is taken."""
        ...

    async def plan(self, connection: AsyncConnection, plan_id: bytes) -> PlanRecord | None:
        """A plan, or None."""
        ...

    async def add_plan_rows(self, tx: Transaction, rows: Sequence[PlanSkuRow], by: str) -> None:
        """Add versions of plan rows."""
        ...

    async def plan_rows(self, connection: AsyncConnection, plan_id: bytes, sku: str | None = None) -> list[PlanSkuRow]:
        """All versions of a plan's rows, or of its row for one SKU, by effective time and revision."""
        ...


class EntitlementStore(Protocol):
    """Assignments, overrides and engine modes."""

    async def assignments(self, connection: AsyncConnection, org_id: bytes) -> list[AssignmentRow]:
        """An organisation's assignments by effective time and revision."""
        ...

    async def add_assignment(self, tx: Transaction, row: AssignmentRow, notes: str, by: str) -> None:
        """Add an assignment."""
        ...

    async def entitlements(
        self, connection: AsyncConnection, kind: SubjectKind, subject_id: bytes
    ) -> list[EntitlementRow]:
        """A subject's rows by effective time and revision."""
        ...

    async def add_entitlement(self, tx: Transaction, row: EntitlementRow, by: str) -> None:
        """Add an entitlement row."""
        ...

    async def mode(self, connection: AsyncConnection, org_id: bytes | None) -> EngineModeRow | None:
        """The newest mode of an organisation, or the newest default."""
        ...

    async def add_mode(self, tx: Transaction, row: EngineModeRow, override_reason: str, by: str) -> None:
        """Add an engine mode."""
        ...

    async def used(self, connection: AsyncConnection, org_id: bytes, period: str) -> dict[str, int]:
        """What an organisation has used of each SKU in a period, scaled by 9 places."""
        ...


Place = tuple[int, int, str]
"""Lane, seq and kind: where a charge stands in the order of rating."""


@dataclass(frozen=True, slots=True)
class ChargeRecord:
    """A stored charge; quantities and the amount are scaled by 9 places."""

    charge_id: bytes
    event_id: bytes
    org_id: bytes
    project_id: bytes | None
    billing_account_id: bytes
    sku: str
    kind: str
    mode: str
    quantity: int
    quantity_before: int
    currency: str
    amount: int
    event_time_us: int
    period: str
    lane: int
    batch_seq: int
    entry_seq: int
    catalog_revision: int
    orgs_revision: int

    @property
    def place(self) -> Place:
        """Where it stands in the order of rating."""
        return self.lane, self.entry_seq, self.kind


class ChargeReader(Protocol):
    """Reads charges."""

    async def page(self, org_id: bytes | None, after: Place | None, limit: int) -> list[ChargeRecord]:
        """Charges of an organisation, or of all, after a place; each lane in the order of seq."""
        ...


class AuditTrail(Protocol):
    """The service's own audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """A page of entries, newest first, and the token of the next one. InvalidArgument PAGE_TOKEN_MALFORMED."""
        ...
