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
from apportion_common.errors import FailedPrecondition, Unavailable
from apportion_orgs.domain.invoices import Watermark
from apportion_orgs.limits import INVOICE_ROUNDS_MAX
from apportion_orgs.wiring import make_parts
from google.type.money_pb2 import Money
from orgs_harness import FakeLedger, OrgsHarness, account_id, org_id

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


async def group(harness: OrgsHarness, *orgs: str) -> None:
    """The account "group" of "owner", to which the orgs are mapped from the start of 2013 on."""
    await harness.root("owner")
    await harness.account("group", "owner")
    for name in orgs:
        await harness.root(name)
        await harness.map_org(name, "group", "2013-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def scenario() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCENARIO.read_text())
    return loaded


async def apply_terms(harness: OrgsHarness, scenario: dict[str, Any]) -> None:
    """Make the hard month's organisations, accounts and mappings, and post its sums to the ledger."""
    owners = {account["owner"] for account in scenario["billing_accounts"].values()}
    for name in sorted({*scenario["orgs"], *owners}):
        await harness.root(name)
    for name, account in scenario["billing_accounts"].items():
        await harness.account(name, account["owner"], account["currency"])
    for row in scenario["mappings"]:
        await harness.map_org(row["org"], row["account"], row["effective_at"], row["allocation"], row["percent"])
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
                harness.ledger.post(name, part["org"], "2013-01-20T00:00:00Z", total, currency=currency)
                continue
            for sums in held:
                more = {"sku": sums["sku"], "line_count": sums["lines"], "currency": currency}
                quantity = parse_scaled(sums["quantity"], QUANTITY)
                gross = amount(sums["gross"])
                harness.ledger.post(name, part["org"], "2013-01-20T00:00:00Z", gross, quantity=quantity, **more)


async def test_the_hard_month_returns_every_accounts_figures(harness: OrgsHarness, scenario: dict[str, Any]) -> None:
    await apply_terms(harness, scenario)
    harness.ledger.closed.add(PERIOD)
    assert len(scenario["expected"]["accounts"]) == 10
    name_of = {
        org_id(name): name for name in (*scenario["orgs"], *(a["owner"] for a in scenario["billing_accounts"].values()))
    }
    for account, expected in scenario["expected"]["accounts"].items():
        invoice = await harness.finalize(await harness.generate(account))
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
    booked = harness.rows("SELECT count(*), sum(amount) FROM rounding_entry")
    differences = [Decimal(a["rounding_difference"]) for a in scenario["expected"]["accounts"].values()]
    assert booked == [(10, sum(differences))]


async def test_a_draft_drawn_again_at_the_same_watermark_has_the_same_content(harness: OrgsHarness) -> None:
    await group(harness, "a", "b")
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", 3 * UNIT + 5_000_000)
    harness.ledger.post("group", "b", "2013-01-06T00:00:00Z", 2 * UNIT + 5_000_000, sku="VAL-BAG")
    first = await harness.generate("group")
    assert first.state == pb.INVOICE_STATE_DRAFT
    assert await harness.generate("group") == first
    harness.ledger.post("group", "b", "2013-01-07T00:00:00Z", UNIT)
    third = await harness.generate("group")
    assert third.invoice_id == first.invoice_id
    assert decimal(third.total) == decimal(first.total) + 1
    assert (await harness.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=first.invoice_id))).invoice == third
    assert harness.rows("SELECT count(*) FROM invoice") == [(1,)]


async def test_a_repeated_request_returns_the_first_draft_without_calling_the_ledger(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.post("group", "a", "2013-01-04T00:00:00Z", UNIT)
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD, request_id="once")
    first = await harness.call("GenerateInvoice", request)
    calls = harness.ledger.calls
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    assert await harness.call("GenerateInvoice", request) == first
    assert harness.ledger.calls == calls


async def test_an_invoice_is_not_finalised_while_the_period_is_open(harness: OrgsHarness) -> None:
    await group(harness, "a", "b")
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    draft = await harness.generate("group")
    request = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    assert (await harness.rejected("FinalizeInvoice", request)).reason == "PERIOD_OPEN"
    harness.ledger.closed_orgs[PERIOD] = {"a"}
    assert (await harness.rejected("FinalizeInvoice", request)).reason == "PERIOD_OPEN"
    harness.ledger.closed_orgs[PERIOD] = {"a", "b"}
    assert (await harness.finalize(draft)).state == pb.INVOICE_STATE_FINAL
    again = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    assert (await harness.rejected("FinalizeInvoice", again)).reason == "INVOICE_NOT_DRAFT"
    assert (await harness.rejected("FinalizeInvoice", pb.FinalizeInvoiceRequest(invoice_id=org_id("x")))).reason == (
        "INVOICE_NOT_FOUND"
    )


async def test_finalising_takes_the_lines_that_came_after_the_draft(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    draft = await harness.generate("group")
    harness.ledger.post("group", "a", "2013-01-31T23:59:59.999999Z", UNIT)
    harness.ledger.post("group", "a", "2013-02-01T00:00:00Z", 50 * UNIT)
    harness.ledger.closed.add(PERIOD)
    final = await harness.finalize(draft)
    assert decimal(final.total) == 2
    assert final.watermark > draft.watermark


async def test_the_next_invoice_takes_only_what_came_later(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed |= {PERIOD, "2013-02"}
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    harness.ledger.post("group", "a", "2013-02-05T00:00:00Z", 5 * UNIT)
    first = await harness.finalize(await harness.generate("group"))
    rejected = await harness.rejected(
        "GenerateInvoice", pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    )
    assert rejected.reason == "NOTHING_TO_INVOICE"
    harness.ledger.post("group", "a", "2013-01-06T00:00:00Z", 20 * UNIT, kind="adjustment")
    second = await harness.finalize(await harness.generate("group"))
    assert [decimal(i.total) for i in (first, second)] == [1, 20]
    assert second.lines[0].kind == pb.LINE_KIND_NAME_ADJUSTMENT
    harness.ledger.post("group", "a", "2013-01-07T00:00:00Z", -3 * UNIT, kind="reversal")
    third = await harness.finalize(await harness.generate("group", "2013-02"))
    assert decimal(third.total) == 2
    assert [(line.period, decimal(line.amount)) for line in third.lines] == [(PERIOD, -3), ("2013-02", 5)]
    back = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    assert (await harness.rejected("GenerateInvoice", back)).reason == "PERIOD_INVOICED"
    totals = harness.rows("SELECT sum(ledger_total) FROM invoice WHERE state = 'final'")
    assert totals == [(Decimal(sum(line.sums.gross for line in harness.ledger.lines)).scaleb(-9),)]


async def test_a_period_is_not_drawn_while_an_earlier_one_has_lines_on_no_final_invoice(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed |= {PERIOD, "2013-02"}
    harness.ledger.post("group", "a", "2013-02-05T00:00:00Z", 5 * UNIT)
    february = await harness.generate("group", "2013-02")
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    finalizing = pb.FinalizeInvoiceRequest(invoice_id=february.invoice_id)
    drawing = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period="2013-02")
    for _ in range(2):
        # A draft of the earlier period changes nothing about it.
        for rejected in [
            await harness.rejected("FinalizeInvoice", finalizing),
            await harness.rejected("GenerateInvoice", drawing),
        ]:
            assert (rejected.reason, rejected.metadata["earlier_period"]) == ("EARLIER_PERIOD_OPEN_LINES", PERIOD)
        january = await harness.generate("group")
    finals = [await harness.finalize(january), await harness.finalize(february)]
    assert [decimal(i.total) for i in finals] == [1, 5]


async def test_a_period_that_had_no_line_when_a_later_one_was_drawn_gets_an_invoice_of_its_own(
    harness: OrgsHarness,
) -> None:
    await group(harness, "a")
    harness.ledger.closed |= {PERIOD, "2013-02", "2013-03"}
    harness.ledger.post("group", "a", "2013-02-05T00:00:00Z", 5 * UNIT)
    await harness.finalize(await harness.generate("group", "2013-02"))
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    harness.ledger.post("group", "a", "2013-02-06T00:00:00Z", 2 * UNIT, kind="adjustment")
    harness.ledger.post("group", "a", "2013-03-06T00:00:00Z", 30 * UNIT)
    march = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period="2013-03")
    assert (await harness.rejected("GenerateInvoice", march)).reason == "EARLIER_PERIOD_OPEN_LINES"
    january = await harness.finalize(await harness.generate("group"))
    assert [(line.period, decimal(line.amount)) for line in january.lines] == [(PERIOD, 1)]
    final = await harness.finalize(await harness.generate("group", "2013-03"))
    assert [(line.period, decimal(line.amount)) for line in final.lines] == [("2013-02", 2), ("2013-03", 30)]


async def test_no_invoice_is_drawn_or_final_without_a_line(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed |= {PERIOD, "2013-02"}
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    assert (await harness.rejected("GenerateInvoice", request)).reason == "NOTHING_TO_INVOICE"
    assert harness.rows("SELECT count(*) FROM invoice") == [(0,)]
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    await harness.finalize(await harness.generate("group"))
    harness.ledger.post("group", "a", "2013-01-06T00:00:00Z", 3 * UNIT, kind="adjustment")
    taken = await harness.generate("group")
    harness.ledger.post("group", "a", "2013-02-05T00:00:00Z", UNIT)
    february = await harness.generate("group", "2013-02")
    await harness.finalize(taken)
    assert decimal((await harness.finalize(february)).total) == 1
    harness.ledger.post("group", "a", "2013-02-06T00:00:00Z", 3 * UNIT, kind="adjustment")
    emptied = await harness.generate("group", "2013-02")
    harness.ledger.lines.pop()
    finalizing = pb.FinalizeInvoiceRequest(invoice_id=emptied.invoice_id)
    assert (await harness.rejected("FinalizeInvoice", finalizing)).reason == "NOTHING_TO_INVOICE"


async def test_each_line_is_paid_by_the_allocation_of_its_own_time_and_shown_under_its_period(
    harness: OrgsHarness,
) -> None:
    await harness.root("owner")
    await harness.account("group", "owner")
    await harness.root("a")
    await harness.map_org("a", "group", "2014-01-01T00:00:00Z", "split", "50")
    await harness.map_org("a", "group", "2014-02-01T00:00:00Z")
    harness.ledger.closed |= {"2014-01", "2014-02"}
    harness.ledger.post("group", "a", "2014-01-10T00:00:00Z", 100 * UNIT)
    harness.ledger.post("group", "a", "2014-02-10T00:00:00Z", 10 * UNIT)
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period="2014-02")
    assert (await harness.rejected("GenerateInvoice", request)).reason == "EARLIER_PERIOD_OPEN_LINES"
    january = await harness.finalize(await harness.generate("group", "2014-01"))
    assert [(d.org_id, decimal(d.total)) for d in january.documents] == [(org_id("owner"), 50), (org_id("a"), 50)]
    harness.ledger.post("group", "a", "2014-01-20T00:00:00Z", 8 * UNIT, billed_period="2014-02")
    harness.ledger.post("group", "a", "2014-01-10T00:00:00Z", -2 * UNIT, kind="reversal")
    february = await harness.finalize(await harness.generate("group", "2014-02"))
    assert [
        (part.period, part.late, pb.Allocation.Name(part.allocation), decimal(part.owner_pays), decimal(part.org_pays))
        for part in february.parts
    ] == [
        ("2014-01", False, "ALLOCATION_SPLIT", -1, -1),
        ("2014-01", True, "ALLOCATION_SPLIT", 4, 4),
        ("2014-02", False, "ALLOCATION_ABSORB", 10, 0),
    ]
    assert [(line.period, line.late, decimal(line.amount)) for line in february.lines] == [
        ("2014-01", False, -2),
        ("2014-01", True, 8),
        ("2014-02", False, 10),
    ]
    assert [(d.org_id, decimal(d.total)) for d in february.documents] == [(org_id("owner"), 13), (org_id("a"), 3)]


async def test_a_document_with_a_negative_total_is_a_credit_note_and_never_payable(harness: OrgsHarness) -> None:
    await harness.root("owner")
    await harness.account("group", "owner")
    for name, allocation, percent in (("a", "split", "25"), ("b", "chargeback", None)):
        await harness.root(name)
        await harness.map_org(name, "group", "2013-01-01T00:00:00Z", allocation, percent)
    harness.ledger.closed.add(PERIOD)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", -100 * UNIT, kind="adjustment")
    harness.ledger.post("group", "b", "2013-01-05T00:00:00Z", 60 * UNIT)
    final = await harness.finalize(await harness.generate("group"))
    assert [(d.org_id, decimal(d.total), d.payable, d.credit_note, d.copy) for d in final.documents] == [
        (org_id("owner"), 35, True, False, False),
        (org_id("a"), -75, False, True, False),
        (org_id("b"), 60, False, False, True),
    ]
    assert decimal(final.total) == sum(decimal(d.total) for d in final.documents if not d.copy) == -40


async def test_numbers_have_no_gaps_whatever_is_finalised_at_once(harness: OrgsHarness) -> None:
    await group(harness, "a")
    await harness.account("second", "owner")
    await harness.root("b")
    await harness.map_org("b", "second", "2013-01-01T00:00:00Z")
    periods = [f"2013-{month:02d}" for month in range(1, 7)]
    harness.ledger.closed |= set(periods)
    drafts = []
    for period in reversed(periods):
        # From the last to the first, so that each is drawn before the earlier one has a line.
        for account, org in (("group", "a"), ("second", "b")):
            harness.ledger.post(account, org, f"{period}-02T00:00:00Z", UNIT)
            drafts.append(await harness.generate(account, period))

    async def finalise_until_done(draft: pb.Invoice) -> None:
        while True:
            try:
                await harness.finalize(draft)
                return
            except FailedPrecondition as rejected:
                if rejected.reason != "EARLIER_PERIOD_OPEN_LINES":
                    raise
                await asyncio.sleep(0.02)

    await asyncio.gather(*(finalise_until_done(draft) for draft in drafts))
    numbers = harness.rows(
        "SELECT array_agg(sequence ORDER BY period), count(DISTINCT number) FROM invoice GROUP BY billing_account_id"
    )
    assert numbers == [([1, 2, 3, 4, 5, 6], 6)] * 2
    assert harness.rows("SELECT count(DISTINCT number) FROM invoice") == [(12,)]


async def test_a_number_is_given_back_when_finalising_fails(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed.add(PERIOD)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    draft = await harness.generate("group")
    async with harness.service_database.owner_engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE rounding_entry RENAME TO rounding_entry_gone")
    with pytest.raises(Exception, match="rounding_entry"):
        await harness.finalize(draft)
    async with harness.service_database.owner_engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE rounding_entry_gone RENAME TO rounding_entry")
    assert (await harness.finalize(draft)).number.endswith("-000001")


async def test_the_database_prevents_a_change_of_a_final_invoice(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed.add(PERIOD)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    final = await harness.finalize(await harness.generate("group"))
    for statement in TAMPERING:
        with pytest.raises(Exception, match=r"stays as it is|contents stay|never changed or deleted"):
            async with harness.service_database.owner_engine.begin() as connection:
                await connection.exec_driver_sql(statement)
    assert (await harness.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=final.invoice_id))).invoice == final


async def test_the_database_lets_no_number_go_to_an_invoice_that_does_not_add_up(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed.add(PERIOD)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    await harness.generate("group")
    async with harness.service_database.owner_engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE invoice_line SET amount = amount + 1")
    numbered = "state = 'final', sequence = 1, number = 'x', finalized_by = 'x', finalized_at = now()"
    with pytest.raises(Exception, match="does not add up"):
        async with harness.service_database.owner_engine.begin() as connection:
            await connection.exec_driver_sql(f"UPDATE invoice SET {numbered}")


async def test_a_final_invoice_may_still_be_paid_or_voided(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed.add(PERIOD)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    await harness.finalize(await harness.generate("group"))
    async with harness.service_database.owner_engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE invoice SET state = 'paid'")


async def test_a_line_in_another_currency_stops_the_invoice(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT, currency="JPY")
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    assert (await harness.rejected("GenerateInvoice", request)).reason == "CURRENCY_MISMATCH"
    unknown = pb.GenerateInvoiceRequest(billing_account_id=account_id("none"), period=PERIOD)
    assert (await harness.rejected("GenerateInvoice", unknown)).reason == "BILLING_ACCOUNT_NOT_FOUND"


async def test_an_invoice_whose_account_changes_at_every_drawing_is_to_be_requested_again(harness: OrgsHarness) -> None:
    class Overtaken(FakeLedger):
        async def fix_watermark(self, period: str) -> Watermark:
            if self.calls < INVOICE_ROUNDS_MAX:
                # Another service draws an invoice of the account meanwhile.
                harness.ledger.post("group", "a", "2013-01-06T00:00:00Z", UNIT, kind="adjustment")
                await harness.finalize(await harness.generate("group"))
            return await super().fix_watermark(period)

    await group(harness, "a")
    harness.ledger.closed.add(PERIOD)
    ledger = Overtaken(mappings=harness.ledger.mappings, watermark=1_000)
    rpcs = make_parts(harness.database, ledger, harness.metering).servicer
    ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("group"), period=PERIOD)
    with pytest.raises(Unavailable) as rejected:
        await harness.call("GenerateInvoice", request, rpcs=rpcs)
    assert (rejected.value.reason, rejected.value.retry_after_s) == ("INVOICE_BUSY", 1)
    assert ledger.calls == INVOICE_ROUNDS_MAX
    assert harness.rows("SELECT count(*) FROM invoice WHERE state = 'draft'") == [(0,)]
    assert decimal((await harness.call("GenerateInvoice", request, rpcs=rpcs)).invoice.total) == 1


async def test_a_final_invoice_is_announced_and_audited_and_listed(harness: OrgsHarness) -> None:
    await group(harness, "a")
    harness.ledger.closed.add(PERIOD)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT)
    final = await harness.finalize(await harness.generate("group"))
    ((payload,),) = harness.rows("SELECT payload FROM outbox WHERE subject = 'events.orgs.invoice.finalized'")
    announced = pb.Invoice()
    assert EventEnvelope.FromString(bytes(payload)).payload.Unpack(announced)
    assert (announced.number, announced.total, len(announced.lines)) == (final.number, final.total, 0)
    actions = harness.rows("SELECT action FROM audit_entry WHERE resource LIKE 'invoice/%%' ORDER BY at")
    assert actions == [("invoice.generate",), ("invoice.finalize",)]
    assert [d.number for d in final.documents] == [f"{final.number}-1"]
    for request in (
        pb.ListInvoicesRequest(billing_account_id=account_id("group")),
        pb.ListInvoicesRequest(period=PERIOD, page_size=1),
    ):
        listed = (await harness.call("ListInvoices", request)).invoices
        assert [(i.number, len(i.lines)) for i in listed] == [(final.number, 0)]
    assert not (await harness.call("ListInvoices", pb.ListInvoicesRequest(period="2013-02"))).invoices
