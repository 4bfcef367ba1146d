"""What the use cases need of the store and of the outside, and the values that pass between them.

Ids are 16 bytes in the hot path (lines, payouts) and UUIDs elsewhere. Amounts and quantities are ints scaled by 9
places, percentages by 4, times microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.attribution import AttributionBook, MatchKind, SubjectKind
from apportion_ledger.domain.weeks import Week

BalanceKey = tuple[bytes, str]
"""Partner and currency."""


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner as it stands."""

    partner_id: UUID
    name: str
    payout_currency: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class PartnerOfRecord:
    """An assignment as it stands; `end_at_us` None is open."""

    por_id: UUID
    subject_kind: SubjectKind
    subject_id: UUID
    partner_id: UUID
    start_at_us: int
    end_at_us: int | None


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """What of a partner decides about its payouts."""

    payout_currency: str
    held: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that lines are decided under, at one revision."""

    revision: int
    book: AttributionBook
    partners: Mapping[bytes, PayoutTerms]


class TermsStore(Protocol):
    """Partners, tiers, rates and partners of record: append-only, each row under a revision."""

    async def load(self, connection: AsyncConnection, revision: int) -> Terms: ...

    async def partner(self, connection: AsyncConnection, partner_id: UUID) -> Partner | None: ...

    async def add_partner(self, tx: Transaction, partner: Partner, revision: int) -> bool: ...

    async def add_tier(
        self, tx: Transaction, partner_id: UUID, tier: str, effective_at_us: int, revision: int
    ) -> None: ...

    async def add_rate(
        self,
        tx: Transaction,
        rate_id: UUID,
        tier: str,
        kind: MatchKind,
        value: str,
        pct: int,
        effective_at_us: int,
        revision: int,
    ) -> None: ...

    async def add_por(self, tx: Transaction, por: PartnerOfRecord, revision: int) -> bool: ...

    async def por(self, connection: AsyncConnection, por_id: UUID) -> PartnerOfRecord | None: ...

    async def end_por(self, tx: Transaction, por_id: UUID, end_at_us: int, revision: int) -> None: ...


class Charge(NamedTuple):
    """A charge to be written as a line; `project_id` is empty for none, `seq` None outside the lanes."""

    charge_id: bytes
    event_id: bytes
    org_id: bytes
    project_id: bytes
    account_id: bytes
    mapping_id: bytes
    sku: str
    sku_type: str
    quantity: int
    currency: str
    gross: int
    event_time_us: int
    period: str
    entry_seq: int | None


class Origin(NamedTuple):
    """Where charges come from: batch and revisions of the lane, or (lane None) a caller of AppendCharges."""

    lane: int | None
    batch_seq: int | None
    catalog_revision: int
    orgs_revision: int


class Line(NamedTuple):
    """A line to be written: a charge with its split and the hash of its content."""

    entry_id: bytes
    charge: Charge
    charge_hash: bytes
    partner_id: bytes
    from_account: bool
    pct: int
    share: int
    net: int
    content_hash: bytes


class LineRows(NamedTuple):
    """The lines of one origin."""

    origin: Origin
    lines: Sequence[Line]


@dataclass(slots=True)
class DayTotal:
    """What the lines of a batch add to a partner and currency on one day (ordinal) of event time."""

    earned: int = 0
    paid_real_time: int = 0
    line_count: int = 0
    real_time_count: int = 0


class RealTimePayout(NamedTuple):
    """A payout decided with its line."""

    settlement_id: bytes
    partner_id: bytes
    currency: str
    amount: int
    threshold: int
    charge_id: bytes
    entry_id: bytes
    day: int


class LineWriter(Protocol):
    """Writes lines: the hot path."""

    async def known(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, bytes]: ...

    async def write(self, tx: Transaction, rows: Sequence[LineRows], ledger_revision: int) -> bool: ...

    async def stored_charges(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, Charge]: ...


class Balances(Protocol):
    """The projections of lines and payouts per partner and currency."""

    async def lock(self, tx: Transaction, keys: Sequence[BalanceKey]) -> dict[BalanceKey, int]: ...

    async def apply(
        self, tx: Transaction, days: Mapping[tuple[bytes, str, int], DayTotal], payouts: Sequence[RealTimePayout]
    ) -> None: ...


class PeriodCloses(Protocol):
    """Where the lanes have periods closed."""

    async def add(self, tx: Transaction, lane: int, batch_seq: int, closes: Sequence[tuple[str, bytes]]) -> None: ...


class LineQuery(NamedTuple):
    """Which lines to list; None selects all."""

    org_id: UUID | None = None
    project_id: UUID | None = None
    sku: str | None = None
    partner_id: UUID | None = None
    billing_account_id: UUID | None = None
    event_id: UUID | None = None
    from_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as it is read."""

    entry_id: UUID
    charge_id: UUID
    event_id: UUID
    kind: str
    org_id: UUID
    project_id: UUID | None
    billing_account_id: UUID
    sku: str
    quantity: int
    currency: str
    gross: int
    partner_id: UUID | None
    partner_from_account: bool
    pct: int
    share: int
    net: int
    event_time_us: int
    posted_at_us: int
    real_time_paid: int
    lane: int
    batch_seq: int
    entry_seq: int


class Scope(NamedTuple):
    """Which lines a digest covers; None selects all."""

    org_id: UUID | None = None
    billing_account_id: UUID | None = None
    period: str | None = None


class GrossSum(NamedTuple):
    """The coarse digest's row."""

    org_id: UUID
    sku: str
    period: str
    currency: str
    line_count: int
    quantity: int
    gross: int


class LineSum(NamedTuple):
    """What an invoice is made of: lines of one key, summed."""

    org_id: UUID
    project_id: UUID | None
    sku: str
    kind: str
    currency: str
    partner_id: UUID | None
    partner_from_account: bool
    mapping_id: UUID
    line_count: int
    quantity: int
    gross: int
    share: int


class SummaryQuery(NamedTuple):
    """Lines of an account below a watermark and before an instant, without what the previous invoice took."""

    billing_account_id: UUID
    watermark: int
    until_us: int
    previous_watermark: int
    previous_until_us: int | None


class LineReader(Protocol):
    """Reads lines."""

    async def page(
        self, connection: AsyncConnection, query: LineQuery, after: UUID | None, limit: int
    ) -> list[StoredLine]: ...

    async def by_charge(self, connection: AsyncConnection, charge_ids: Sequence[bytes]) -> list[StoredLine]: ...

    def digests(self, connection: AsyncConnection, scope: Scope) -> AsyncIterator[list[tuple[bytes, bytes]]]: ...

    async def gross(self, connection: AsyncConnection, scope: Scope, most: int) -> list[GrossSum]: ...

    async def summary(self, connection: AsyncConnection, query: SummaryQuery, most: int) -> list[LineSum]: ...


class TrialRow(NamedTuple):
    """The postings of one account and currency, summed."""

    account: str
    currency: str
    debit: int
    credit: int


class CurrencyTotals(NamedTuple):
    """A partner's lines and payouts of one currency within a span of days."""

    currency: str
    opening: int
    earned: int
    clawed_back: int
    paid_real_time: int
    paid_sweep: int
    line_count: int
    real_time_count: int


class StatementReader(Protocol):
    """Reads what statements and the trial balance say."""

    async def totals(
        self, connection: AsyncConnection, partner_id: UUID, first: date | None, after: date | None
    ) -> list[CurrencyTotals]: ...

    async def trial_balance(self, connection: AsyncConnection) -> list[TrialRow]: ...


class SweepBalance(NamedTuple):
    """What a sweep finds for a partner and currency."""

    partner_id: UUID
    currency: str
    balance: int
    payout_currency: str
    held: bool


class SweepOutcome(NamedTuple):
    """What a sweep did for a partner and currency; `settlement_id` None and a reason where nothing was paid."""

    partner_id: UUID
    currency: str
    balance: int
    paid: int
    settlement_id: UUID | None
    carried_reason: str


class SweepStore(Protocol):
    """The books of the sweeps."""

    async def enter(self, tx: Transaction, week: Week) -> bool: ...

    async def is_over(self, tx: Transaction, week: Week) -> bool: ...

    async def outcomes(self, tx: Transaction, week: Week) -> list[SweepOutcome]: ...

    async def lock_balances(self, tx: Transaction, week: Week) -> list[SweepBalance]: ...

    async def pay(self, tx: Transaction, week: Week, outcomes: Sequence[SweepOutcome]) -> None: ...

    async def finish(self, tx: Transaction, week: Week) -> None: ...


class Settlement(NamedTuple):
    """A payout as it stands."""

    settlement_id: UUID
    partner_id: UUID
    kind: str
    currency: str
    amount: int
    week: str | None
    state: str
    created_at_us: int
    entry_id: UUID | None


class SettlementReader(Protocol):
    """Reads payouts."""

    async def page(
        self, connection: AsyncConnection, partner_id: UUID | None, kind: str | None, after: UUID | None, limit: int
    ) -> list[Settlement]: ...


class PendingPayout(NamedTuple):
    """A payout that the provider is to make; its id is the key under which it is made once."""

    settlement_id: UUID
    partner_id: UUID
    currency: str
    amount: int


class PayoutAnswer(StrEnum):
    """What a provider says. An outcome that is unknown is no answer: the provider raises, and the call is repeated."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class PayoutProvider(Protocol):
    """Whoever moves the money. The same settlement id again is the same payout."""

    async def pay(self, payouts: Sequence[PendingPayout]) -> Mapping[UUID, PayoutAnswer]: ...


class SettlementQueue(Protocol):
    """The payouts that wait, and the end of each."""

    async def pending(
        self, connection: AsyncConnection, after: UUID | None, limit: int, retry_s: int
    ) -> list[PendingPayout]: ...

    async def mark_paid(self, tx: Transaction, settlement_ids: Sequence[UUID]) -> list[UUID]: ...

    async def mark_refused(self, tx: Transaction, settlement_id: UUID, refusals_max: int) -> bool: ...


class InvariantOutcome(NamedTuple):
    """One invariant: how many break it, and the ids of some."""

    name: str
    violation_count: int
    examples: tuple[str, ...]


class InvariantChecks(Protocol):
    """The ledger's invariants, as questions to the database."""

    async def run(self, connection: AsyncConnection, examples_max: int) -> list[InvariantOutcome]: ...


class WatermarkStore(Protocol):
    """Transaction ids as the database gives them out."""

    async def own(self, tx: Transaction) -> int: ...

    async def oldest_running(self, connection: AsyncConnection) -> int: ...

    async def closed(self, connection: AsyncConnection, period: str, watermark: int) -> tuple[int, list[UUID]]: ...


class AuditTrail(Protocol):
    """The service's audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]: ...
