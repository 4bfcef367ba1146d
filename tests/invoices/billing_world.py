"""orgs and the ledger on databases of their own, joined by gRPC; lines and closes are put into the ledger by SQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import grpc
import psycopg
from apportion.ledger.v1.ledger_service_pb2_grpc import add_LedgerServiceServicer_to_server
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_common.caller import Caller, acting_as
from apportion_common.decimals import AMOUNT, parse_scaled
from apportion_common.errors import ApportionError, FailedPrecondition
from apportion_common.protos import money_from_proto
from apportion_common.topology import LANES
from apportion_dev.testing.databases import ServiceDatabase
from apportion_ledger.settings import Settings
from apportion_ledger.wiring import make_parts as make_ledger
from apportion_orgs.adapters.grpc_ledger import GrpcLedger
from apportion_orgs.adapters.grpc_metering import GrpcMetering
from apportion_orgs.rpc.servicer import OrgsServicer
from apportion_orgs.wiring import make_parts as make_orgs
from google.type.money_pb2 import Money
from orgs_invoices import ACCOUNTS, ORGS, OWNER, Document, Drawn, Line, Mapped, Part, Terms

CALLER: Final = Caller("tester", frozenset({"service", "operator", "finance"}))
INSERT_LINES: Final = """
    INSERT INTO ledger_line (entry_id, charge_id, event_id, kind, org_id, billing_account_id, mapping_id, sku, sku_type,
        quantity, currency, amount_gross, partner_from_account, partner_pct, partner_amount, net, reverses_entry_id,
        catalog_revision, orgs_revision, ledger_revision, content_hash, event_time, period, billed_period)
"""
INSERT_LINE: Final = f"""
    {INSERT_LINES}
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), %(kind)s, %(org)s, %(account)s, %(mapping)s,
        %(sku)s, 'action', 1, 'AUD', %(gross)s / 1e9, false, 0, 0, %(gross)s / 1e9,
        CASE WHEN %(kind)s = 'reversal' THEN gen_random_uuid() END, 0, 0, 0, sha256('x'), %(at)s, %(period)s,
        %(billed_period)s
"""
CLOSE: Final = """
    INSERT INTO period_close (period, lane, org_id, pos)
    SELECT %(period)s, lane, %(org)s, 0 FROM generate_series(0, %(last)s) AS lane ON CONFLICT DO NOTHING
"""


class BillingWorld:
    """The two services, and calls of orgs."""

    def __init__(self, orgs_database: ServiceDatabase, ledger_database: ServiceDatabase) -> None:
        self.orgs_database = orgs_database
        self.ledger_database = ledger_database
        self.rpcs: OrgsServicer
        self._server = grpc.aio.server()
        self._channel: grpc.aio.Channel
        self.years = itertools.count(1971)
        self._count = itertools.count(1)

    async def start(self) -> None:
        """Serve the ledger, and have orgs call it."""
        settings = Settings.model_construct(real_time_threshold="AUD:50", minimum_payout="")
        parts = make_ledger(self.ledger_database.database(), settings)
        add_LedgerServiceServicer_to_server(parts.servicer, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        # No period is reopened in this world.
        metering = GrpcMetering(self._channel)
        self.rpcs = make_orgs(self.orgs_database.database(), GrpcLedger(self._channel), metering).servicer

    async def stop(self) -> None:
        """Call and serve no more."""
        await self._channel.close()
        await self._server.stop(0)

    async def call(self, method: str, request: Any) -> Any:
        """Call orgs; a mutation has a request id of its own."""
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = f"request-{next(self._count)}"
        with acting_as(CALLER):
            return await getattr(self.rpcs, method)(request, None)

    def orgs_rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What the owner of the tables of orgs sees."""
        with psycopg.connect(self.orgs_database.owner_url, autocommit=True) as session:
            return session.execute(statement.encode(), values).fetchall()

    def in_orgs(self, statement: str, **values: Any) -> None:
        """Run a statement as the owner of the tables of orgs."""
        _execute(self.orgs_database, statement, values)

    def in_ledger(self, statement: str, **values: Any) -> None:
        """Run a statement as the owner of the tables of the ledger, in a transaction of its own."""
        _execute(self.ledger_database, statement, values)

    async def root(self, org_id: str) -> None:
        """A new organisation."""
        await self.call("CreateOrg", orgs.CreateOrgRequest(org_id=org_id, legal_name="Org", slug=org_id))

    async def account(self, account_id: str, owner_id: str) -> None:
        """A new billing account."""
        request = orgs.CreateBillingAccountRequest(
            billing_account_id=account_id, owner_org_id=owner_id, name="account", currency="AUD"
        )
        await self.call("CreateBillingAccount", request)

    async def generate(self, account_id: str, period: str) -> orgs.Invoice:
        request = orgs.GenerateInvoiceRequest(billing_account_id=account_id, period=period)
        invoice: orgs.Invoice = (await self.call("GenerateInvoice", request)).invoice
        return invoice

    async def finalize(self, invoice_id: str) -> orgs.Invoice:
        request = orgs.FinalizeInvoiceRequest(invoice_id=invoice_id)
        invoice: orgs.Invoice = (await self.call("FinalizeInvoice", request)).invoice
        return invoice


def _execute(database: ServiceDatabase, statement: str, values: dict[str, Any]) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute(statement.encode(), values)


@dataclass
class ByTheServices:
    """The steps of a year on the services: one that nobody else uses, with organisations and accounts of its own."""

    world: BillingWorld
    year: int
    names: UUID
    mapping_ids: dict[int, str]

    @classmethod
    async def make(cls, world: BillingWorld) -> ByTheServices:
        """A new year."""
        made = cls(world, next(world.years), uuid4(), {})
        for name in (OWNER, *ORGS):
            await world.root(made.id_of(name))
        for name in ACCOUNTS:
            await world.account(made.id_of(name), made.id_of(OWNER))
        return made

    def id_of(self, name: str) -> str:
        """The id of an org or account in this year."""
        return str(uuid5(self.names, name))

    def instant(self, at: tuple[int, int]) -> str:
        return f"{self.year}-{at[0]:02d}-{at[1]:02d}T00:00:00Z"

    def period_of(self, month: int) -> str:
        return f"{self.year}-{month:02d}"

    async def map_org(self, mapped: Mapped) -> bool:
        request = orgs.MapOrgRequest(
            org_id=self.id_of(mapped.org),
            billing_account_id=self.id_of(mapped.account),
            allocation=f"ALLOCATION_{mapped.terms.allocation.upper()}",
        )
        request.effective_at.FromJsonString(self.instant(mapped.since))
        if mapped.terms.percent is not None:
            request.percent.value = str(mapped.terms.percent)
        try:
            answer = await self.world.call("MapOrg", request)
        except FailedPrecondition:
            # ALLOCATION_NOT_PERIOD_START: the terms of an account change only with a month.
            return False
        self.mapping_ids[mapped.number] = answer.mapping.mapping_id
        return True

    async def post(self, line: Line) -> None:
        self.world.in_ledger(
            INSERT_LINE,
            kind=line.kind,
            org=self.id_of(line.mapped.org),
            account=self.id_of(line.mapped.account),
            mapping=self.mapping_ids[line.mapped.number],
            sku=line.sku,
            gross=line.gross,
            at=self.instant(line.at),
            period=self.period_of(line.at[0]),
            billed_period=None if line.billed is None else self.period_of(line.billed),
        )

    async def close(self, month: int, org: str | None) -> None:
        everybody = org is None
        self.world.in_ledger(
            CLOSE,
            period=self.period_of(month),
            org=None if everybody else self.id_of(str(org)),
            last=LANES - 1 if everybody else 0,
        )

    async def draw(self, account: str, month: int, *, final: bool) -> Drawn | str:
        try:
            invoice = await self.world.generate(self.id_of(account), self.period_of(month))
            if final:
                invoice = await self.world.finalize(invoice.invoice_id)
        except ApportionError as rejected:
            return rejected.reason
        return self._drawn(invoice)

    def _drawn(self, invoice: orgs.Invoice) -> Drawn:
        name_of = {self.id_of(name): name for name in (OWNER, *ORGS)}
        parts = [
            Part(
                name_of[part.org_id],
                int(part.period[5:]),
                part.late,
                Terms(
                    orgs.Allocation.Name(part.allocation).removeprefix("ALLOCATION_").lower(),
                    int(float(part.percent.value)) if part.HasField("percent") else None,
                ),
                parse_scaled(part.ledger_total.value, AMOUNT),
                _scaled(part.owner_pays),
                _scaled(part.org_pays),
            )
            for part in invoice.parts
        ]
        assert len({line.sku for line in invoice.lines}) == len(invoice.lines)
        shown = _sums((line.org_id, line.period, line.late, line.amount) for line in invoice.lines)
        assert shown == _sums((part.org_id, part.period, part.late, part.part) for part in invoice.parts)
        return Drawn(
            _scaled(invoice.total),
            parts,
            {
                line.sku: (
                    (name_of[line.org_id], int(line.period[5:]), line.late),
                    parse_scaled(line.gross.value, AMOUNT),
                )
                for line in invoice.lines
            },
            [
                Document(name_of[one.org_id], _scaled(one.total), one.payable, one.credit_note, one.copy)
                for one in invoice.documents
            ],
        )


def _scaled(money: Money) -> int:
    return money_from_proto(money, "amount")[1]


def _sums(amounts: Iterable[tuple[str, str, bool, Any]]) -> dict[tuple[str, str, bool], int]:
    sums: dict[tuple[str, str, bool], int] = {}
    for *key, amount in amounts:
        of = (key[0], key[1], key[2])
        sums[of] = sums.get(of, 0) + _scaled(amount)
    return sums
