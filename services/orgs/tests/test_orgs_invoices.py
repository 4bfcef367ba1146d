"""Consolidated invoices: drawn from the ledger, numbered without gaps, fixed for good."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.decimals import AMOUNT, QUANTITY, parse_scaled
from apportion_common.errors import FailedPrecondition
from apportion_orgs.app import invoices as invoices_module
from apportion_orgs.app.ports import Watermark
from apportion_orgs.limits import INVOICE_ROUNDS_MAX
from apportion_orgs.wiring import make_servicer
from google.type.money_pb2 import Money
from orgs_world import FakeLedger, World, account_id, org_id

SCENARIO = Path(__file__).parents[3] / "tests" / "data" / "hard-month" / "scenario.json"
UNIT = 10**9
PERIOD = "2013-01"
TAMPERING = (
    "UPDATE invoice SET total = total + 1, rounding_difference = rounding_difference + 1",
    "UPDATE invoice SET state = 'draft', sequence = NULL, number = NULL, finalized_at = NULL, finalized_by = NULL",
    "UPDATE invoice SET state = 'paid', currency = 'JPY'",
    "DELETE FROM invoice",
    "TRUNCATE invoice CASCADE",
    "UPDATE invoice_part SET org_pays = org_pays + 1, part = part + 1",
    "DELETE FROM invoice_part",
    "UPDATE invoice_document SET total = 0",
    "INSERT INTO invoice_document SELECT invoice_id, 99, gen_random_uuid(), org_id, false, 1 FROM invoice_document",
    "UPDATE invoice_line SET amount = 0",
    "DELETE FROM invoice_line",
    "TRUNCATE invoice_line",
    "UPDATE rounding_entry SET amount = 0",
    "DELETE FROM rounding_entry",
)
"""What somebody with the owner's role may try on an invoice that has its number."""


def amount(text: str) -> int:
    return parse_scaled(text, AMOUNT)


def decimal(money: Money) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos).scaleb(-9)


async def group(world: World, *orgs: str) -> None:
    """The account "group" of "owner", to which the orgs are mapped from the start of 2013 on."""
    await world.root("owner")
    await world.account("group", "owner")
    for name in orgs:
        await world.root(name)
        await world.map_org(name, "group", "2013-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def scenario() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCENARIO.read_text())
    return loaded


async def apply_terms(world: World, scenario: dict[str, Any]) -> None:
    """Make the hard month's organisations, accounts and mappings, and post its sums to the ledger."""
    owners = {account["owner"] for account in scenario["billing_accounts"].values()}
    for name in sorted({*scenario["orgs"], *owners}):
        await world.root(name)
    for name, account in scenario["billing_accounts"].items():
        await world.account(name, account["owner"], account["currency"])
    for row in scenario["mappings"]:
        await world.map_org(row["org"], row["account"], row["effective_at"], row["allocation"], row["percent"])
    by_org: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for sums in scenario["expected"]["by_org_sku"]:
        if sums["period"] == PERIOD:
            by_org[sums["org"]].append(sums)
    for name, account in scenario["expected"]["accounts"].items():
        for part in account["orgs"]:
            held, currency = by_org[part["org"]], account["currency"]
            total = amount(part["ledger_total"])
            if sum(amount(sums["gross"]) for sums in held) != total:
                # The organisation changed its account within the month: its sums per SKU are not per account.
                world.ledger.post(name, part["org"], "2013-01-20T00:00:00Z", total, currency=currency)
                continue
            for sums in held:
                more = {"sku": sums["sku"], "line_count": sums["lines"], "currency": currency}
                quantity = parse_scaled(sums["quantity"], QUANTITY)
                gross = amount(sums["gross"])
                world.ledger.post(name, part["org"], "2013-01-20T00:00:00Z", gross, quantity=quantity, **more)


async def test_the_hard_month_gives_every_accounts_figures(world: World, scenario: dict[str, Any]) -> None:
    await apply_terms(world, scenario)
    world.ledger.closed.add(PERIOD)
    assert len(scenario["expected"]["accounts"]) == 10
    name_of = {
        org_id(name): name for name in (*scenario["orgs"], *(a["owner"] for a in scenario["billing_accounts"].values()))
    }
    for account, expected in scenario["expected"]["accounts"].items():
        invoice = await world.finalize(await world.generate(account))
        assert (invoice.currency, Decimal(invoice.ledger_total.value)) == (
            expected["currency"],
            Decimal(expected["ledger_total"]),
        )
        assert decimal(invoice.total) == Decimal(expected["invoice_total"])
        assert Decimal(invoice.rounding_difference.value) == Decimal(expected["rounding_difference"])
        assert [
            (
                name_of[part.org_id],
                Decimal(part.ledger_total.value),
                decimal(part.part),
                pb.Allocation.Name(part.allocation),
                Decimal(part.percent.value) if part.HasField("percent") else None,
                decimal(part.owner_pays),
                decimal(part.org_pays),
            )
            for part in invoice.parts
        ] == [
            (
                part["org"],
                Decimal(part["ledger_total"]),
                Decimal(part["part"]),
                f"ALLOCATION_{part['allocation'].upper()}",
                Decimal(part["percent"]) if part["percent"] is not None else None,
                Decimal(part["owner_pays"]),
                Decimal(part["org_pays"]),
            )
            for part in expected["orgs"]
        ]
        payers = [(name_of[d.org_id], decimal(d.total)) for d in invoice.documents if d.payable]
        assert payers == [(payer["payer"], Decimal(payer["total"])) for payer in expected["payers"]]
        copies = [(name_of[d.org_id], decimal(d.total)) for d in invoice.documents if not d.payable]
        assert copies == [(copy["org"], Decimal(copy["total"])) for copy in expected["copies_not_payable"]]
        for part in invoice.parts:
            lines = [line for line in invoice.lines if line.org_id == part.org_id]
            assert sum(decimal(line.amount) for line in lines) == decimal(part.part)
            assert sum(Decimal(line.gross.value) for line in lines) == Decimal(part.ledger_total.value)
    booked = world.rows("SELECT count(*), sum(amount) FROM rounding_entry")
    differences = [Decimal(a["rounding_difference"]) for a in scenario["expected"]["accounts"].values()]
    assert booked == [(10, sum(differences))]


async def test_a_draft_drawn_again_at_the_same_watermark_has_the_same_content(world: World) -> None:
    await group(world, "a", "b")
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", 3 * UNIT + 5_000_000)
    world.ledger.post("group", "b", "2013-01-06T00:00:00Z", 2 * UNIT + 5_000_000, sku="VAL-BAG")
    first = await world.generate("group")
    assert first.state == pb.INVOICE_STATE_DRAFT
    assert await world.generate("group") == first
    world.ledger.post("group", "b", "2013-01-07T00:00:00Z", UNIT)
    third = await world.generate("group")
    assert third.invoice_id == first.invoice_id
    assert decimal(third.total) == decimal(first.total) + 1
    assert (await world.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=first.invoice_id))).invoice == third
    assert world.rows("SELECT count(*) FROM invoice") == [(1,)]


async def test_a_repeated_request_gives_the_first_draft_without_asking_the_ledger(world: World) -> None:
    await group(world, "a")
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD, request_id="once")
    first = await world.call("GenerateInvoice", request)
    asked = world.ledger.asked
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    assert await world.call("GenerateInvoice", request) == first
    assert world.ledger.asked == asked


async def test_an_invoice_is_not_finalised_while_the_period_is_open(world: World) -> None:
    await group(world, "a", "b")
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    draft = await world.generate("group")
    request = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    assert (await world.refused("FinalizeInvoice", request)).reason == "PERIOD_OPEN"
    world.ledger.closed_orgs[PERIOD] = {"a"}
    assert (await world.refused("FinalizeInvoice", request)).reason == "PERIOD_OPEN"
    world.ledger.closed_orgs[PERIOD] = {"a", "b"}
    assert (await world.finalize(draft)).state == pb.INVOICE_STATE_FINAL
    again = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    assert (await world.refused("FinalizeInvoice", again)).reason == "INVOICE_NOT_DRAFT"
    assert (await world.refused("FinalizeInvoice", pb.FinalizeInvoiceRequest(invoice_id=org_id("x")))).reason == (
        "INVOICE_NOT_FOUND"
    )


async def test_finalising_takes_the_lines_that_came_after_the_draft(world: World) -> None:
    await group(world, "a")
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    draft = await world.generate("group")
    world.ledger.post("group", "a", "2013-01-31T23:59:59.999999Z", UNIT)
    world.ledger.post("group", "a", "2013-02-01T00:00:00Z", 50 * UNIT)
    world.ledger.closed.add(PERIOD)
    final = await world.finalize(draft)
    assert decimal(final.total) == 2
    assert final.watermark > draft.watermark


async def test_the_next_invoice_takes_only_what_came_later(world: World) -> None:
    await group(world, "a")
    world.ledger.closed |= {PERIOD, "2013-02"}
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    world.ledger.post("group", "a", "2013-02-05T00:00:00Z", 5 * UNIT)
    first = await world.finalize(await world.generate("group"))
    refused = await world.refused(
        "GenerateInvoice", pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    )
    assert refused.reason == "NOTHING_TO_INVOICE"
    world.ledger.post("group", "a", "2013-01-06T00:00:00Z", 20 * UNIT, kind="adjustment")
    second = await world.finalize(await world.generate("group"))
    assert [decimal(i.total) for i in (first, second)] == [1, 20]
    assert second.lines[0].kind == pb.LINE_KIND_NAME_ADJUSTMENT
    world.ledger.post("group", "a", "2013-01-07T00:00:00Z", -3 * UNIT, kind="reversal")
    third = await world.finalize(await world.generate("group", "2013-02"))
    assert decimal(third.total) == 2
    back = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    assert (await world.refused("GenerateInvoice", back)).reason == "PERIOD_INVOICED"
    totals = world.rows("SELECT sum(ledger_total) FROM invoice WHERE state = 'final'")
    assert totals == [(Decimal(sum(line.sums.gross for line in world.ledger.lines)).scaleb(-9),)]


async def test_drafts_of_an_account_are_finalised_in_their_order_and_share_no_line(world: World) -> None:
    await group(world, "a")
    world.ledger.closed |= {PERIOD, "2013-02"}
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    world.ledger.post("group", "a", "2013-02-05T00:00:00Z", 5 * UNIT)
    january, february = await world.generate("group"), await world.generate("group", "2013-02")
    assert [decimal(i.total) for i in (january, february)] == [1, 5]
    refused = await world.refused("FinalizeInvoice", pb.FinalizeInvoiceRequest(invoice_id=february.invoice_id))
    assert refused.reason == "EARLIER_DRAFT"
    finals = [await world.finalize(january), await world.finalize(february)]
    assert [decimal(i.total) for i in finals] == [1, 5]


async def test_numbers_have_no_gaps_whatever_is_finalised_at_once(world: World) -> None:
    await group(world, "a")
    await world.account("second", "owner")
    periods = [f"2013-{month:02d}" for month in range(1, 7)]
    world.ledger.closed |= set(periods)
    drafts = [await world.generate(account, period) for period in periods for account in ("group", "second")]

    async def finalise_until_done(draft: pb.Invoice) -> None:
        while True:
            try:
                await world.finalize(draft)
                return
            except FailedPrecondition as refused:
                if refused.reason != "EARLIER_DRAFT":
                    raise
                await asyncio.sleep(0.02)

    await asyncio.gather(*(finalise_until_done(draft) for draft in drafts))
    numbers = world.rows(
        "SELECT array_agg(sequence ORDER BY period), count(DISTINCT number) FROM invoice GROUP BY billing_account_id"
    )
    assert numbers == [([1, 2, 3, 4, 5, 6], 6)] * 2
    assert world.rows("SELECT count(DISTINCT number) FROM invoice") == [(12,)]


async def test_a_number_is_given_back_when_finalising_fails(world: World) -> None:
    await group(world, "a")
    world.ledger.closed.add(PERIOD)
    draft = await world.generate("group")
    async with world.place.owner_engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE rounding_entry RENAME TO rounding_entry_gone")
    with pytest.raises(Exception, match="rounding_entry"):
        await world.finalize(draft)
    async with world.place.owner_engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE rounding_entry_gone RENAME TO rounding_entry")
    assert (await world.finalize(draft)).number.endswith("-000001")


async def test_the_database_refuses_to_change_a_final_invoice(world: World) -> None:
    await group(world, "a")
    world.ledger.closed.add(PERIOD)
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    final = await world.finalize(await world.generate("group"))
    for statement in TAMPERING:
        with pytest.raises(Exception, match=r"stays as it is|contents stay|never changed or deleted"):
            async with world.place.owner_engine.begin() as connection:
                await connection.exec_driver_sql(statement)
    assert (await world.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=final.invoice_id))).invoice == final


async def test_the_database_gives_no_number_to_an_invoice_that_does_not_add_up(world: World) -> None:
    await group(world, "a")
    world.ledger.closed.add(PERIOD)
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    await world.generate("group")
    async with world.place.owner_engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE invoice_line SET amount = amount + 1")
    numbered = "state = 'final', sequence = 1, number = 'x', finalized_by = 'x', finalized_at = now()"
    with pytest.raises(Exception, match="does not add up"):
        async with world.place.owner_engine.begin() as connection:
            await connection.exec_driver_sql(f"UPDATE invoice SET {numbered}")


async def test_a_final_invoice_may_still_be_paid_or_voided(world: World) -> None:
    await group(world, "a")
    world.ledger.closed.add(PERIOD)
    await world.finalize(await world.generate("group"))
    async with world.place.owner_engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE invoice SET state = 'paid'")


async def test_a_line_in_another_currency_stops_the_invoice(world: World) -> None:
    await group(world, "a")
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT, currency="JPY")
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    assert (await world.refused("GenerateInvoice", request)).reason == "CURRENCY_MISMATCH"
    unknown = pb.GenerateInvoiceRequest(billing_account_id=account_id("none"), period=PERIOD)
    assert (await world.refused("GenerateInvoice", unknown)).reason == "BILLING_ACCOUNT_NOT_FOUND"


async def test_an_invoice_of_more_lines_than_one_may_have_is_not_drafted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group(world, "a")
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT, sku="VAL-BAG")
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    monkeypatch.setattr(invoices_module, "INVOICE_LINES_MAX", 1)
    assert (await world.refused("GenerateInvoice", request)).reason == "INVOICE_TOO_LARGE"
    assert world.rows("SELECT count(*) FROM invoice") == [(0,)]
    monkeypatch.setattr(invoices_module, "INVOICE_LINES_MAX", 2)
    assert len((await world.generate("group")).lines) == 2


async def test_an_invoice_whose_account_changes_at_every_drawing_is_to_be_asked_for_again(world: World) -> None:
    class Overtaken(FakeLedger):
        async def fix_watermark(self, period: str) -> Watermark:
            if self.asked < INVOICE_ROUNDS_MAX:
                name = f"late{self.asked}"
                await world.root(name)
                await world.map_org(name, "group", "2013-01-01T00:00:00Z")
            return await super().fix_watermark(period)

    await group(world, "a")
    ledger = Overtaken()
    world.rpcs = make_servicer(world.database, ledger)
    ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    refused = await world.refused("GenerateInvoice", request)
    assert (refused.reason, refused.retry_after_s) == ("INVOICE_BUSY", 1)
    assert ledger.asked == INVOICE_ROUNDS_MAX
    assert world.rows("SELECT count(*) FROM invoice") == [(0,)]
    assert decimal((await world.call("GenerateInvoice", request)).invoice.total) == 1


async def test_a_final_invoice_is_announced_and_audited_and_listed(world: World) -> None:
    await group(world, "a")
    world.ledger.closed.add(PERIOD)
    world.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    final = await world.finalize(await world.generate("group"))
    ((payload,),) = world.rows("SELECT payload FROM outbox WHERE subject = 'events.orgs.invoice.finalized'")
    announced = pb.Invoice()
    assert EventEnvelope.FromString(bytes(payload)).payload.Unpack(announced)
    assert (announced.number, announced.total, len(announced.lines)) == (final.number, final.total, 0)
    actions = world.rows("SELECT action FROM audit_entry WHERE resource LIKE 'invoice/%%' ORDER BY at")
    assert actions == [("invoice.generate",), ("invoice.finalize",)]
    assert [d.number for d in final.documents] == [f"{final.number}-1"]
    for request in (
        pb.ListInvoicesRequest(billing_account_id=account_id("group")),
        pb.ListInvoicesRequest(period=PERIOD, page_size=1),
    ):
        listed = (await world.call("ListInvoices", request)).invoices
        assert [(i.number, len(i.lines)) for i in listed] == [(final.number, 0)]
    assert not (await world.call("ListInvoices", pb.ListInvoicesRequest(period="2013-02"))).invoices
