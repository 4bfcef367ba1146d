"""A ledger in a database of its own, spoken to as its callers do; shared by the ledger's tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import lane_pb2
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.pricing.v1 import lane_pb2 as pricing_lane_pb2
from apportion_common.db.engine import psycopg_url
from apportion_common.db.unit_of_work import Database
from apportion_common.ids import charge_id, event_id
from apportion_common.lanes.model import LaneMessage, LanePosition
from apportion_common.protos import pack_int
from apportion_dev.testing.databases import ServiceDatabase
from apportion_ledger.settings import Settings
from apportion_ledger.wiring import Parts, make_parts
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal as DecimalMessage

UNIT = 10**9
"""One, scaled by 9 places."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONTEXT: Any = None
"""What handlers get for a gRPC context; they do not look at it."""


def us(text: str) -> int:
    """Microseconds since 1970 of an ISO time; without a zone it is UTC."""
    at = datetime.fromisoformat(text)
    return (at.replace(tzinfo=at.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


def timestamp(text: str) -> Timestamp:
    """The Timestamp of an ISO time."""
    seconds, rest_us = divmod(us(text), 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest_us * 1000)


def scaled(text: str, places: int = 9) -> int:
    """A decimal text as a scaled int."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(places, "0"))


def settings_of(threshold: str = "AUD:50", minimum: str = "") -> Settings:
    """Settings of which only the ledger's own are set."""
    return Settings.model_construct(real_time_threshold=threshold, minimum_payout=minimum)


@dataclass
class LedgerHarness:
    """A ledger and what a test says to it."""

    made: ServiceDatabase
    database: Database
    parts: Parts
    org: UUID = field(default_factory=uuid4)
    account: UUID = field(default_factory=uuid4)
    mapping: UUID = field(default_factory=uuid4)
    positions: dict[int, int] = field(default_factory=dict)
    count: int = 0

    @property
    def rpc(self) -> Any:
        """The servicer; its handlers are called as gRPC would."""
        return self.parts.servicer

    def request_id(self) -> str:
        """A request id that was not used yet."""
        self.count += 1
        return f"request-{self.count}"

    async def partner(self, *, currency: str = "AUD", tier: str = "gold", since: str = "2012-12-01T00:00:00") -> UUID:
        """A partner with a tier."""
        request = pb.CreatePartnerRequest(
            name=f"Partner {self.count}",
            payout_currency=currency,
            tier=tier,
            effective_at=timestamp(since),
            request_id=self.request_id(),
        )
        return UUID((await self.rpc.CreatePartner(request, CONTEXT)).partner.partner_id)

    async def rate(
        self,
        pct: str,
        *,
        tier: str = "gold",
        kind: pb.MatchKind = pb.MATCH_KIND_DEFAULT,
        value: str = "",
        since: str = "2012-12-01T00:00:00",
    ) -> int:
        """A rate of a tier."""
        request = pb.SetCommissionRateRequest(
            tier=tier,
            match_kind=kind,
            match_value=value,
            pct=DecimalMessage(value=pct),
            effective_at=timestamp(since),
            request_id=self.request_id(),
        )
        revision: int = (await self.rpc.SetCommissionRate(request, CONTEXT)).revision
        return revision

    async def por(
        self,
        partner: UUID,
        *,
        org: UUID | None = None,
        account: UUID | None = None,
        start: str = "2012-12-01T00:00:00",
        end: str | None = None,
    ) -> str:
        """A partner of record of an org (the harness's own by default) or of an account."""
        kind = pb.SUBJECT_TYPE_BILLING_ACCOUNT if account else pb.SUBJECT_TYPE_ORG
        request = pb.AssignPartnerOfRecordRequest(
            subject_type=kind,
            subject_id=str(account or org or self.org),
            partner_id=str(partner),
            start_at=timestamp(start),
            end_at=timestamp(end) if end else None,
            request_id=self.request_id(),
        )
        por_id: str = (await self.rpc.AssignPartnerOfRecord(request, CONTEXT)).partner_of_record.por_id
        return por_id

    async def credited(self, pct: str = "10", *, currency: str = "AUD") -> UUID:
        """A partner of the harness's org at a default rate."""
        partner = await self.partner(currency=currency)
        await self.rate(pct)
        await self.por(partner)
        return partner

    def charge(
        self,
        amount: str,
        *,
        request: str | None = None,
        at: str = "2013-01-02T03:04:05",
        quantity: str = "1",
        sku: str = "ACT-SMS",
        sku_type: str = "action",
        currency: str = "AUD",
        org: UUID | None = None,
        account: UUID | None = None,
        project: UUID | None = None,
        billed_period: str = "",
    ) -> pricing_lane_pb2.RatedCharge:
        """A charge as pricing sends it."""
        self.count += 1
        org_id = (org or self.org).bytes
        event = event_id(org_id, request or f"event-{self.count}")
        return pricing_lane_pb2.RatedCharge(
            charge_id=charge_id(event, "usage"),
            event_id=event,
            org_id=org_id,
            project_id=project.bytes if project else b"",
            billing_account_id=(account or self.account).bytes,
            mapping_id=self.mapping.bytes,
            sku=sku,
            sku_type=sku_type,
            quantity=pack_int(scaled(quantity)),
            currency=currency,
            amount=pack_int(scaled(amount)),
            event_time_us=us(at),
            period=at[:7],
            billed_period=billed_period,
            entry_seq=self.count,
        )

    def batch(
        self,
        charges: Iterable[pricing_lane_pb2.RatedCharge],
        *,
        lane: int = 3,
        closes: Sequence[common_lane_pb2.PeriodClose] = (),
        traces: Sequence[common_lane_pb2.TraceRange] = (),
    ) -> pricing_lane_pb2.RatedBatch:
        """The lane's next rated batch."""
        self.positions[lane] = self.positions.get(lane, 0) + 1
        return pricing_lane_pb2.RatedBatch(
            lane=lane,
            batch_seq=self.positions[lane],
            catalog_revision=7,
            orgs_revision=8,
            charges=charges,
            period_closes=closes,
            traces=traces,
        )

    async def post(
        self, *batches: pricing_lane_pb2.RatedBatch, failing: Exception | None = None
    ) -> list[lane_pb2.PostedBatch]:
        """Have the poster apply batches of one lane in one transaction; their receipts."""
        messages = [message_of(self.parts, batch) for batch in batches]
        position = LanePosition(batches[0].lane, batches[0].batch_seq - 1, 1)
        async with self.database.transaction() as tx:
            if failing is None:
                (outcome,) = await self.parts.poster.process(tx, [(position, messages)])
            else:
                outcome = await self.parts.poster.process_failed(tx, position, messages[0], failing)
            await tx.execute(
                "INSERT INTO lane (role, lane, pos) VALUES ('ledger_poster', :lane, :pos)"
                " ON CONFLICT (role, lane) DO UPDATE SET pos = excluded.pos",
                {"lane": position.lane, "pos": outcome.batch_seq},
            )
        if outcome.after_commit:
            await outcome.after_commit()
        return [lane_pb2.PostedBatch.FromString(output.payload) for output in outcome.outputs]

    async def charged(self, *charges: pricing_lane_pb2.RatedCharge, lane: int = 3) -> lane_pb2.PostedBatch:
        """Post charges in one batch; its receipt."""
        return (await self.post(self.batch(charges, lane=lane)))[0]

    async def lines(self, **wanted: Any) -> list[pb.LedgerLine]:
        """The lines that a filter finds."""
        request = pb.ListLinesRequest(filter=pb.LineFilter(**wanted), page_size=1000)
        return list((await self.rpc.ListLines(request, CONTEXT)).lines)

    async def line_of(self, charge: pricing_lane_pb2.RatedCharge) -> pb.LedgerLine:
        """The line of a charge."""
        (line,) = await self.lines(event_id=str(UUID(bytes=charge.event_id)))
        return line

    async def sweep(self, week: str) -> dict[tuple[UUID, str], pb.SweepResult]:
        """Sweep a week; results by partner and currency."""
        request = pb.RunSweepRequest(week=week, request_id=self.request_id())
        results = (await self.rpc.RunSweep(request, CONTEXT)).results
        return {(UUID(result.partner_id), result.currency): result for result in results}

    async def statement(self, partner: UUID, period: str = "") -> dict[str, pb.StatementOfCurrency]:
        """A partner's statement by currency."""
        request = pb.GetPartnerStatementRequest(partner_id=str(partner), period=period)
        return {row.currency: row for row in (await self.rpc.GetPartnerStatement(request, CONTEXT)).currencies}

    async def breaches(self) -> dict[str, list[str]]:
        """The invariants that do not hold, with what breaks them."""
        response = await self.rpc.CheckLedger(pb.CheckLedgerRequest(), CONTEXT)
        assert response.holds == all(result.holds for result in response.results)
        return {result.name: list(result.examples) for result in response.results if not result.holds}

    def as_owner(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the tables' owner; the rows of the last one."""
        return _run(self.made.owner_url, statements)

    def as_app(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the role that the service runs as; the rows of the last one."""
        return _run(self.made.app_url, statements)


def message_of(parts: Parts, batch: pricing_lane_pb2.RatedBatch) -> LaneMessage[Any]:
    """The lane's message that carries a batch."""
    data = batch.SerializeToString()
    return LaneMessage(batch.batch_seq, data, *parts.poster.decode(data))


def money(value: Any) -> int:
    """A Money message as an int scaled by 9 places."""
    units: int = value.units * UNIT + value.nanos
    return units


def make_harness(made: ServiceDatabase, *, threshold: str = "AUD:50", minimum: str = "") -> LedgerHarness:
    """Return a harness on a migrated database."""
    database = made.database()
    return LedgerHarness(made, database, make_parts(database, settings_of(threshold, minimum)))


def _run(url: str, statements: Sequence[str]) -> list[tuple[Any, ...]]:
    with psycopg.connect(psycopg_url(url), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
