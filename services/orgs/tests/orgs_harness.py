"""The bench for tests of orgs: its RPCs on a real database, and a ledger that holds what a test puts into it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.caller import Caller, acting_as
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import ApportionError, Unavailable
from apportion_common.instants import us_of_datetime
from apportion_common.periods import period_of
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_orgs.domain.invoices import HeldLines, Watermark
from apportion_orgs.domain.invoicing import LineSum
from apportion_orgs.rpc.servicer import OrgsServicer
from apportion_orgs.wiring import make_parts
from google.protobuf.timestamp_pb2 import Timestamp

NAMES = UUID("7a6f1d5e-5d0e-4a57-9b1e-3a2b1c0d9e8f")
CALLER = Caller("tester", frozenset({"service", "operator", "finance"}))


def org_id(name: str) -> str:
    return str(uuid5(NAMES, f"org {name}"))


def account_id(name: str) -> str:
    return str(uuid5(NAMES, f"account {name}"))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def us(text: str) -> int:
    return us_of_datetime(instant(text))


def timestamp(at: str) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant(at))
    return message


@dataclass
class FakeLine:
    """A ledger line (or several of one key) that appeared at a transaction and belongs to an instant."""

    account: str
    xid: int
    sums: LineSum


@dataclass
class FakeLedger:
    """Lines by account; a watermark lies above every line that is there when it is fixed."""

    lines: list[FakeLine] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    closed_orgs: dict[str, set[str]] = field(default_factory=dict)
    mappings: dict[tuple[str, str], list[tuple[int, bytes]]] = field(default_factory=dict)
    """Of an org to an account, by their names: from which instant on, and the row's id."""
    reopened: dict[str, dict[bytes, tuple[int, bool]]] = field(default_factory=dict)
    watermark: int = 100
    calls: int = 0

    def post(self, account: str, org: str, at: str, gross: int, **more: Any) -> None:
        """Post lines of an org (by their names) with an amount scaled by 9 places.

        They are under the mapping to the account that is in force then, unless one is named, and billed in the period
        of their event unless `billed_period` names a later one.
        """
        self.watermark += 1
        values = {"sku": "OBJ-KM", "kind": "usage", "currency": "AUD", "quantity": 10**9, **more}
        sums = LineSum(
            org_id=UUID(org_id(org)).bytes,
            project_id=values.get("project_id"),
            sku=values["sku"],
            kind=values["kind"],
            currency=values["currency"],
            partner_id=values.get("partner_id"),
            partner_from_account=values.get("partner_from_account", False),
            mapping_id=values.get("mapping_id") or self.mapping_of(org, account, us(at)),
            period=period_of(us(at)).key,
            billed_period=values.get("billed_period", ""),
            line_count=values.get("line_count", 1),
            quantity=values["quantity"],
            gross=gross,
            partner_amount=values.get("partner_amount", 0),
        )
        self.lines.append(FakeLine(account_id(account), self.watermark - 1, sums))

    def mapping_of(self, org: str, account: str, at_us: int) -> bytes:
        """Return the org's last mapping to the account up to an instant."""
        rows = sorted(self.mappings.get((org, account), [(0, b"")]))
        return max((row for row in rows if row[0] <= at_us), default=rows[0])[1]

    async def fix_watermark(self, period: str) -> Watermark:
        self.calls += 1
        closed = frozenset(UUID(org_id(name)).bytes for name in self.closed_orgs.get(period, ()))
        return Watermark(self.watermark, period in self.closed, closed, dict(self.reopened.get(period, {})))

    async def summarize_lines(
        self, account_id: UUID, watermark: int, period: str, held: Sequence[HeldLines]
    ) -> Sequence[LineSum]:
        sums: dict[Any, LineSum] = {}
        for line in self.lines:
            billed = line.sums.billing_period
            if line.account != str(account_id) or line.xid >= watermark or billed > period:
                continue
            if any(billed <= one.through_period and line.xid < one.watermark for one in held):
                continue
            key = replace(line.sums, line_count=0, quantity=0, gross=0, partner_amount=0)
            before = sums.get(key, key)
            sums[key] = replace(
                before,
                line_count=before.line_count + line.sums.line_count,
                quantity=before.quantity + line.sums.quantity,
                gross=before.gross + line.sums.gross,
                partner_amount=before.partner_amount + line.sums.partner_amount,
            )
        return list(sums.values())


@dataclass
class FakeMetering:
    """Metering, from which a ledger has a reopening after a while, if it answers."""

    ledger: FakeLedger
    down: bool = False
    delay_s: float = 0
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def reopen_period(self, period: str, reopenings: Sequence[tuple[UUID, int]], reason: str) -> None:
        if self.down:
            raise Unavailable("DEPENDENCY_UNAVAILABLE", "Metering is down in this test.")
        self.calls.append((period, reason))
        await asyncio.sleep(self.delay_s)
        seen = self.ledger.reopened.setdefault(period, {})
        for org, number in reopenings:
            if number > seen.get(org.bytes, (0, True))[0]:
                seen[org.bytes] = number, False


class OrgsHarness:
    """Calls RPCs as a service and operator; every call has a request id of its own unless the test names one."""

    def __init__(self, service_database: ServiceDatabase) -> None:
        self.service_database = service_database
        self.database: Database = service_database.database()
        self.ledger = FakeLedger()
        self.metering = FakeMetering(self.ledger)
        self.rpcs: OrgsServicer = make_parts(self.database, self.ledger, self.metering).servicer
        self._count = itertools.count(1)

    async def call(self, method: str, request: Any, *, rpcs: OrgsServicer | None = None) -> Any:
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = f"request-{next(self._count)}"
        with acting_as(CALLER):
            return await getattr(rpcs or self.rpcs, method)(request, None)

    async def rejected(self, method: str, request: Any) -> ApportionError:
        with pytest.raises(ApportionError) as rejection:
            await self.call(method, request)
        return rejection.value

    async def root(self, name: str, **more: Any) -> pb.CreateOrgResponse:
        request = pb.CreateOrgRequest(org_id=org_id(name), legal_name=f"{name} Ltd", slug=name.lower(), **more)
        answer: pb.CreateOrgResponse = await self.call("CreateOrg", request)
        return answer

    async def child(self, name: str, parent: str, **more: Any) -> pb.CreateOrgResponse:
        return await self.root(name, parent_org_id=org_id(parent), **more)

    async def account(self, name: str, owner: str, currency: str = "AUD") -> pb.CreateBillingAccountResponse:
        answer: pb.CreateBillingAccountResponse = await self.call(
            "CreateBillingAccount",
            pb.CreateBillingAccountRequest(
                billing_account_id=account_id(name), owner_org_id=org_id(owner), name=name, currency=currency
            ),
        )
        return answer

    async def map_org(
        self, org: str, account: str, at: str, allocation: str = "absorb", percent: str | None = None
    ) -> pb.MapOrgResponse:
        answer: pb.MapOrgResponse = await self.call("MapOrg", mapping(org, account, at, allocation, percent))
        rows = self.ledger.mappings.setdefault((org, account), [])
        rows.append((us(at), UUID(answer.mapping.mapping_id).bytes))
        return answer

    async def resolve(self, *items: tuple[str, str], as_of: int = 0) -> pb.ResolveBillingAccountsResponse:
        answer: pb.ResolveBillingAccountsResponse = await self.call(
            "ResolveBillingAccounts",
            pb.ResolveBillingAccountsRequest(
                items=[pb.OrgInstant(org_id=org_id(org), at=timestamp(at)) for org, at in items], as_of_revision=as_of
            ),
        )
        return answer

    async def generate(self, account: str, period: str = "2013-01") -> pb.Invoice:
        request = pb.GenerateInvoiceRequest(billing_account_id=account_id(account), period=period)
        answer = await self.call("GenerateInvoice", request)
        invoice: pb.Invoice = answer.invoice
        return invoice

    async def finalize(self, invoice: pb.Invoice) -> pb.Invoice:
        answer = await self.call("FinalizeInvoice", pb.FinalizeInvoiceRequest(invoice_id=invoice.invoice_id))
        final: pb.Invoice = answer.invoice
        return final

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the owner of the database sees."""
        return fetch_all(self.service_database.owner_url, query, parameters)


def mapping(
    org: str, account: str, at: str, allocation: str = "absorb", percent: str | None = None
) -> pb.MapOrgRequest:
    request = pb.MapOrgRequest(
        org_id=org_id(org),
        billing_account_id=account_id(account),
        allocation=f"ALLOCATION_{allocation.upper()}",
        effective_at=timestamp(at),
    )
    if percent is not None:
        request.percent.value = percent
    return request
