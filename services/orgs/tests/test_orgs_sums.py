"""What lines add up to on an invoice has more digits than a line, and one account at its limit stops no other."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

import psycopg
import pytest
from alembic import command
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.decimals import AMOUNT_MAX, AMOUNT_SUM_MAX
from apportion_common.ids import uuid7
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_orgs.adapters.grpc_ledger import _line_sum
from google.type.decimal_pb2 import Decimal as DecimalMessage
from orgs_harness import OrgsHarness, account_id

AT: Final = "2013-01-20T00:00:00Z"
START: Final = "2013-01-01T00:00:00Z"
EXACT: Final = Context(prec=80)
BEFORE: Final = "20261130_13_org_period_reopenings"
REVISION: Final = "20261130_19_orgs_sums"
TABLES: Final = (
    "('invoice'::regclass, 'invoice_part'::regclass, 'invoice_document'::regclass, 'invoice_line'::regclass)"
)
WIDTHS: Final = f"""
    SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid IN {TABLES} AND format_type(atttypid, atttypmod) ~ '^numeric' ORDER BY 1, 2
"""
CHECKS: Final = f"""
    SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid IN {TABLES} AND contype = 'c' ORDER BY 1
"""


async def two_accounts(harness: OrgsHarness) -> None:
    """The accounts "large" and "small" of one owner, each with one organisation."""
    await harness.root("owner")
    for name in ("large", "small"):
        await harness.account(name, "owner")
        await harness.root(f"org-{name}")
        await harness.map_org(f"org-{name}", name, START, "split", "50")
    harness.ledger.post("small", "org-small", AT, 40 * 10**9)
    harness.ledger.closed.add("2013-01")


async def test_an_invoice_over_many_of_the_largest_lines_shows_what_they_add_up_to(harness: OrgsHarness) -> None:
    await two_accounts(harness)
    for number in range(9):
        more = {
            "sku": f"OBJ-{number}",
            "quantity": 30 * AMOUNT_MAX,
            "partner_amount": AMOUNT_MAX,
            "partner_id": bytes(16),
        }
        harness.ledger.post("large", "org-large", AT, AMOUNT_MAX, **more)
    final = await harness.finalize(await harness.generate("large"))
    total = EXACT.multiply(9, Decimal("999999999999999999.999999999"))
    assert Decimal(final.ledger_total.value) == total
    assert final.total.units == 9 * 10**18
    assert final.parts[0].owner_pays.units == 45 * 10**17
    assert {line.quantity.value for line in final.lines} == {"29999999999999999999.99999997"}
    read = await harness.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=final.invoice_id))
    assert read.invoice == final


async def test_an_account_whose_invoice_no_money_holds_is_named_and_stops_no_other(harness: OrgsHarness) -> None:
    await two_accounts(harness)
    for number in range(10):
        harness.ledger.post("large", "org-large", AT, AMOUNT_MAX, sku=f"OBJ-{number}")
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("large"), period="2013-01")
    error = await harness.rejected("GenerateInvoice", request)
    assert (error.code, error.reason) == ("OUT_OF_RANGE", "AMOUNT_OUT_OF_RANGE")
    assert "9,223,372,036,854,775,807 AUD" in error.message
    assert (await harness.finalize(await harness.generate("small"))).total.units == 40


async def test_amounts_that_no_money_holds_are_found_where_others_make_up_for_them(harness: OrgsHarness) -> None:
    await two_accounts(harness)
    await harness.root("other")
    await harness.map_org("other", "large", START)
    for number in range(10):
        harness.ledger.post("large", "org-large", AT, AMOUNT_MAX, sku=f"OBJ-{number}")
        harness.ledger.post("large", "other", AT, -AMOUNT_MAX, sku=f"OBJ-{number}")
    request = pb.GenerateInvoiceRequest(billing_account_id=account_id("large"), period="2013-01")
    assert (await harness.rejected("GenerateInvoice", request)).reason == "AMOUNT_OUT_OF_RANGE"


def test_the_ledgers_sums_are_read_in_the_width_of_a_sum() -> None:
    text = f"{AMOUNT_SUM_MAX // 10**9}.{AMOUNT_SUM_MAX % 10**9}"
    line = ledger.LineSum(
        org_id=str(uuid7()),
        mapping_id=str(uuid7()),
        period="2013-01",
        kind=ledger.LINE_KIND_USAGE,
        quantity=DecimalMessage(value=text),
        gross=DecimalMessage(value=text),
        partner_amount=DecimalMessage(value=text),
    )
    found = _line_sum(line, {})
    assert (found.quantity, found.gross, found.partner_amount) == (AMOUNT_SUM_MAX,) * 3


@pytest.fixture
def database(database_factory: DatabaseFactory) -> ServiceDatabase:
    """A database that stands before the sums of invoices had their width."""
    database = database_factory.blank("orgs")
    command.upgrade(database_factory.alembic_config(database), BEFORE)
    return database


def test_the_revision_widens_what_lines_add_up_to_and_leaves_checks_and_rights_as_they_were(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config(database)
    narrow, checks = fetch_all(database.owner_url, WIDTHS), fetch_all(database.owner_url, CHECKS)
    command.upgrade(config, REVISION)
    widths = {(table, column): width for table, column, width in fetch_all(database.owner_url, WIDTHS)}
    assert (widths.pop(("invoice", "rounding_difference")), widths.pop(("invoice_part", "percent"))) == (
        "numeric(27,9)",
        "numeric(7,4)",
    )
    assert set(widths.values()) == {"numeric(38,9)"}
    assert fetch_all(database.owner_url, CHECKS) == checks
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute("SELECT FROM invoice, invoice_part, invoice_document, invoice_line")
    command.downgrade(config, BEFORE)
    assert (fetch_all(database.owner_url, WIDTHS), fetch_all(database.owner_url, CHECKS)) == (narrow, checks)
