"""Pricing's test bench: orgs in memory, terms through the RPCs, batches as metering makes them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apportion.common.v1.lane_pb2 import PeriodClose, TraceRange
from apportion.metering.v1.lane_pb2 import AcceptedBatch, AcceptedEntry, AcceptedUsage
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_client.lane_messages import expand_rated
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import Unavailable
from apportion_common.ids import event_id, lane_of, uuid5_bytes
from apportion_common.lanes.model import LaneMessage, LanePosition
from apportion_common.protos import pack_int, us_to_timestamp
from apportion_pricing.consumers.batches import Accepted
from apportion_pricing.domain.accounts import ALWAYS_US, FOREVER_US, AccountInterval, BillingAccount, OrgsAnswer
from apportion_pricing.wiring import make_parts
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from google.type.money_pb2 import Money

NAMESPACE = UUID("0f5b1c1e-53a8-4f3b-9a52-0e7f5f1b6a77").bytes
UNIT = 10**9
"""One unit of quantity or amount."""
JANUARY = 1_356_998_400_000_000
"""2013-01-01T00:00:00Z in microseconds."""
DECEMBER = 1_354_320_000_000_000
FEBRUARY = 1_359_676_800_000_000
DAY = 86_400_000_000

_request_ids = itertools.count(1)


def id_of(name: str) -> bytes:
    """The id that stands for a name."""
    return uuid5_bytes(NAMESPACE, name.encode())


def text_of(name: str) -> str:
    """The same as text."""
    return str(UUID(bytes=id_of(name)))


def request_id() -> str:
    """A request id that was not used before."""
    return f"request-{next(_request_ids)}"


def at(at_us: int) -> Timestamp:
    """An instant as a message."""
    return us_to_timestamp(at_us)


def dec(text: str) -> Decimal:
    """A number as a message."""
    return Decimal(value=text)


@dataclass
class Orgs:
    """An orgs service in memory, answering as the real one does: from one revision, with the bounds of each answer."""

    revision: int = 1
    known: set[bytes] = field(default_factory=set)
    mappings: dict[bytes, list[tuple[int, int, BillingAccount]]] = field(default_factory=dict)
    """Per organisation (effective_at, revision, account)."""
    down: bool = False
    calls: list[tuple[int, int]] = field(default_factory=list)
    """Items and as-of revision of each call."""

    def add(self, org: str) -> None:
        """Make an organisation."""
        self.revision += 1
        self.known.add(id_of(org))

    def map(self, org: str, account: str, effective_at_us: int = DECEMBER, currency: str = "AUD") -> None:
        """Map an organisation, which is made if need be, to an account."""
        self.revision += 1
        self.known.add(id_of(org))
        mapping = BillingAccount(id_of(account), id_of(f"mapping {org} {effective_at_us}"), currency)
        self.mappings.setdefault(id_of(org), []).append((effective_at_us, self.revision, mapping))
        self.mappings[id_of(org)].sort(key=lambda row: row[:2])

    async def resolve(self, items: Sequence[tuple[bytes, int]], as_of_revision: int) -> OrgsAnswer:
        """Answer as the edge says."""
        if self.down:
            raise Unavailable("ORGS_UNAVAILABLE", "The orgs service does not answer: it is down in this test.")
        assert len(items) <= 1_000
        self.calls.append((len(items), as_of_revision))
        revision = as_of_revision or self.revision
        return OrgsAnswer(revision, [self._interval(org, instant, revision) for org, instant in items])

    def _interval(self, org: bytes, instant: int, revision: int) -> AccountInterval:
        rows = [row for row in self.mappings.get(org, ()) if row[1] <= revision]
        starts = [row[0] for row in rows]
        before = [row for row in rows if row[0] <= instant]
        return AccountInterval(
            before[-1][0] if before else ALWAYS_US,
            min((start for start in starts if start > instant), default=FOREVER_US),
            org in self.known,
            before[-1][2] if before else None,
        )


@dataclass(frozen=True)
class Event:
    """An event as a test says it."""

    org: str
    sku: str
    quantity: int
    at_us: int
    request_id: str = ""
    project: str = ""
    into_period: str = ""


@dataclass(frozen=True)
class Close:
    """A period's close or reopening as a test says it."""

    period: str
    org: str = ""
    reopening: int = 0


class PricingHarness:
    """Pricing's parts on a database of the test's own, beside an orgs service in memory."""

    def __init__(self, database: Database, gate_override: str | None = "test") -> None:
        self.database = database
        self.orgs = Orgs()
        self.gate_override = gate_override
        self.positions: dict[int, LanePosition] = {}
        self._stream_seq = itertools.count(1)
        self._event_numbers = itertools.count(1)
        self.restart()

    def restart(self) -> None:
        """Make the parts again, as a process that was started again: with nothing in memory."""
        self.parts = make_parts(self.database, SystemClock(), self.orgs, self.gate_override)
        self.rater = self.parts.rater
        self.rpc: Any = self.parts.servicer

    async def sku(self, sku: str, kind: pb.SkuType = pb.SKU_TYPE_OBJECT) -> None:
        """Add a SKU."""
        message = pb.Sku(sku=sku, type=kind, unit="unit")
        await self.rpc.CreateSku(pb.CreateSkuRequest(sku=message, request_id=request_id()), None)

    async def plan(self, name: str, *rows: pb.PlanSku, currency: str = "AUD", effective_at_us: int = DECEMBER) -> None:
        """Add a plan."""
        await self.rpc.CreatePlan(
            pb.CreatePlanRequest(
                plan_id=text_of(name),
                name=name,
                currency=currency,
                rows=rows,
                effective_at=at(effective_at_us),
                request_id=request_id(),
            ),
            None,
        )

    async def assign(self, org: str, plan: str, effective_at_us: int = DECEMBER) -> None:
        """Give an organisation a plan."""
        await self.rpc.AssignPlan(
            pb.AssignPlanRequest(
                org_id=text_of(org), plan_id=text_of(plan), effective_at=at(effective_at_us), request_id=request_id()
            ),
            None,
        )

    async def set_row(self, plan: str, row: pb.PlanSku, effective_at_us: int) -> None:
        """Change a plan's row."""
        await self.rpc.SetPlanSku(
            pb.SetPlanSkuRequest(
                plan_id=text_of(plan), row=row, effective_at=at(effective_at_us), request_id=request_id()
            ),
            None,
        )

    async def entitle(
        self, plan: str, *overrides: pb.Override, org: str = "", account: str = "", effective_at_us: int = DECEMBER
    ) -> None:
        """Override values for an organisation or an account."""
        await self.rpc.SetEntitlement(
            pb.SetEntitlementRequest(
                org_id=text_of(org) if org else None,
                billing_account_id=text_of(account) if account else None,
                plan_id=text_of(plan),
                overrides=overrides,
                effective_at=at(effective_at_us),
                request_id=request_id(),
            ),
            None,
        )

    async def mode(self, mode: pb.EngineMode, org: str = "", reason: str = "a test") -> None:
        """Set the engine's mode."""
        await self.rpc.SetEngineMode(
            pb.SetEngineModeRequest(
                org_id=text_of(org) if org else "",
                all_orgs=not org,
                mode=mode,
                override_reason=reason,
                request_id=request_id(),
            ),
            None,
        )

    async def live(self) -> None:
        """Publish every charge."""
        await self.mode(pb.ENGINE_MODE_LIVE)

    def message(
        self, lane: int, entries: Sequence[Event | Close], traces: Sequence[TraceRange] = ()
    ) -> LaneMessage[Accepted]:
        """The next accepted batch of a lane; `rate` moves the lane on."""
        position = self.positions.setdefault(lane, LanePosition(lane, 0, 1))
        batch = AcceptedBatch(lane=lane, batch_seq=position.batch_seq + 1, traces=traces)
        for entry_seq, entry in enumerate(entries, position.next_entry_seq):
            batch.entries.append(self._entry(entry_seq, entry))
        data = batch.SerializeToString()
        value, weight = self.rater.decode(data)
        self.positions[lane] = LanePosition(lane, batch.batch_seq, position.next_entry_seq + len(entries))
        return LaneMessage(next(self._stream_seq), data, value, weight)

    def _entry(self, entry_seq: int, entry: Event | Close) -> AcceptedEntry:
        if isinstance(entry, Close):
            org_id = id_of(entry.org) if entry.org else b""
            close = PeriodClose(period=entry.period, org_id=org_id, reopening=entry.reopening)
            return AcceptedEntry(entry_seq=entry_seq, period_close=close)
        name = entry.request_id or f"event-{next(self._event_numbers)}"
        return AcceptedEntry(
            entry_seq=entry_seq,
            usage=AcceptedUsage(
                event_id=event_id(id_of(entry.org), name),
                org_id=id_of(entry.org),
                project_id=id_of(entry.project) if entry.project else b"",
                sku=entry.sku,
                quantity=pack_int(entry.quantity),
                event_time_us=entry.at_us,
                into_period=entry.into_period,
            ),
        )

    async def apply(self, lane: int, messages: Sequence[LaneMessage[Accepted]]) -> list[RatedBatch]:
        """Rate batches of a lane in one transaction."""
        first = messages[0].value
        entry_seq = first.entries[0][0] if first.entries else 1
        async with self.database.transaction() as tx:
            position = LanePosition(lane, first.batch_seq - 1, entry_seq)
            (outcome,) = await self.rater.process(tx, [(position, messages)])
        assert outcome.batch_seq == messages[-1].value.batch_seq
        assert [output.batch_seq for output in outcome.outputs] == [message.value.batch_seq for message in messages]
        if outcome.after_commit:
            await outcome.after_commit()
        parts: dict[int, list[RatedBatch]] = {}
        for output in outcome.outputs:
            parts.setdefault(output.batch_seq, []).append(RatedBatch.FromString(output.payload))
        return [expand_rated(*batch) for batch in parts.values()]

    async def rate(self, *entries: Event | Close, lane: int | None = None) -> RatedBatch:
        """Rate entries as one batch, in the lane of the first one's organisation."""
        number = self.lane(entries) if lane is None else lane
        return (await self.apply(number, [self.message(number, entries)]))[0]

    async def occupy(self, lane: int, entry_seq: int) -> None:
        """Copy the lane's one charge to the place of an entry to come, which cannot be charged then."""
        async with self.database.transaction() as tx:
            await tx.execute(
                "INSERT INTO charge"
                " SELECT (jsonb_populate_record(c, jsonb_build_object('seq', CAST(:seq AS bigint)))).*"
                " FROM charge AS c WHERE lane = :lane",
                {"lane": lane, "seq": entry_seq},
            )

    @staticmethod
    def lane(entries: Sequence[Event | Close]) -> int:
        """The lane of the first organisation among entries."""
        return next((lane_of(id_of(entry.org)) for entry in entries if entry.org), 0)

    async def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Look at the database."""
        async with self.database.transaction() as tx:
            return [tuple(row) for row in await tx.execute(query, parameters)]


def per_unit(sku: str, price: str, included: str = "0") -> pb.PlanSku:
    """A row charged per unit."""
    return pb.PlanSku(
        sku=sku, charge_model=pb.CHARGE_MODEL_PER_UNIT, included_qty=dec(included), overage_price=dec(price)
    )


def graduated(sku: str, price: str, *tiers: tuple[str, str], included: str = "0") -> pb.PlanSku:
    """A row charged by tiers."""
    return pb.PlanSku(
        sku=sku,
        charge_model=pb.CHARGE_MODEL_GRADUATED,
        included_qty=dec(included),
        overage_price=dec(price),
        tiers=[pb.Tier(threshold=dec(threshold), price=dec(above)) for threshold, above in tiers],
    )


def override(
    sku: str, included: str | None = None, price: str | None = None, tiers: Sequence[tuple[str, str]] | None = None
) -> pb.Override:
    """An override of some values."""
    tier_messages = None
    if tiers is not None:
        tier_messages = pb.Tiers(tiers=[pb.Tier(threshold=dec(t), price=dec(p)) for t, p in tiers])
    return pb.Override(
        sku=sku,
        included_qty=dec(included) if included is not None else None,
        overage_price=dec(price) if price is not None else None,
        tiers=tier_messages,
    )


def money(amount: Money) -> int:
    """An amount scaled by 9 places."""
    return amount.units * UNIT + amount.nanos
