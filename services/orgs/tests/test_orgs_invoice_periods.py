"""Invoices from before their parts had periods: they stay readable, and what they hold is billed on no other."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from orgs_harness import OrgsHarness, account_id, org_id

UNIT: Final = 10**9
BEFORE: Final = "20250920_05_org_hierarchy_and_billing_accounts"
REVISION: Final = "20261130_12_invoice_periods"
DRAFT: Final = """
    INSERT INTO invoice (invoice_id, billing_account_id, period, state, currency, ledger_total, total,
        rounding_difference, horizon, until, created_by)
    VALUES (%(invoice)s, %(account)s, %(period)s, 'draft', 'AUD', %(total)s, %(total)s, 0, %(horizon)s,
        %(until)s, 'tester')
"""
CONTENT: Final = (
    """
    INSERT INTO invoice_part (invoice_id, position, org_id, ledger_total, part, allocation, owner_pays, org_pays)
    VALUES (%(invoice)s, 1, %(org)s, %(total)s, %(total)s, 'absorb', %(total)s, 0)
    """,
    """
    INSERT INTO invoice_document (invoice_id, position, document_id, org_id, payable, total)
    VALUES (%(invoice)s, 1, gen_random_uuid(), %(owner)s, true, %(total)s)
    """,
    """
    INSERT INTO invoice_line (invoice_id, position, org_id, sku, kind, quantity, gross, partner_amount,
        partner_from_account, line_count, amount)
    VALUES (%(invoice)s, 1, %(org)s, 'OBJ-KM', 'usage', 1, %(shown)s, 0, false, 1, %(shown)s)
    """,
)
NUMBER: Final = """
    WITH given AS (INSERT INTO invoice_number (billing_account_id, last) VALUES (%(account)s, %(sequence)s))
    UPDATE invoice SET state = 'final', sequence = %(sequence)s, number = %(invoice)s::text, finalized_by = 'tester',
        finalized_at = now() WHERE invoice_id = %(invoice)s
"""


@pytest.fixture
def database(database_factory: DatabaseFactory) -> Iterator[ServiceDatabase]:
    """A database in which invoices have no periods yet."""
    database = database_factory.blank("orgs")
    command.upgrade(database_factory.alembic_config(database), BEFORE)
    yield database
    database_factory.drop(database.name)


async def group(database: ServiceDatabase) -> OrgsHarness:
    """The account "group" of "owner", to which "a" is mapped."""
    harness = OrgsHarness(database)
    await harness.root("owner")
    await harness.account("group", "owner")
    await harness.root("a")
    await harness.map_org("a", "group", "2013-01-01T00:00:00Z")
    return harness


def draw(
    database: ServiceDatabase, period: str, until: str, total: int, horizon: int, *, sequence: int = 0, shown: int = 0
) -> str:
    """Draw an invoice as the code of before did, and give it a number if there is one; return its id."""
    values = {
        "invoice": str(uuid4()),
        "account": account_id("group"),
        "org": org_id("a"),
        "owner": org_id("owner"),
        "period": period,
        "until": until,
        "total": total,
        "shown": shown or total,
        "horizon": horizon,
        "sequence": sequence,
    }
    with psycopg.connect(database.app_url) as session:
        for statement in (DRAFT, *CONTENT, *((NUMBER,) if sequence else ())):
            session.execute(statement.encode(), values)
    return str(values["invoice"])


def decimals(invoice: pb.Invoice) -> list[tuple[str, Decimal]]:
    return [(line.period, Decimal(line.gross.value)) for line in invoice.lines]


async def test_what_an_invoice_of_the_rule_before_holds_is_billed_on_no_other(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    harness = await group(database)
    ledger = harness.ledger
    ledger.closed |= {"2013-01", "2013-02", "2013-03"}
    ledger.post("group", "a", "2013-01-05T00:00:00Z", 100 * UNIT)
    ledger.post("group", "a", "2013-02-05T00:00:00Z", 10 * UNIT)
    ledger.post("group", "a", "2013-03-01T00:00:00Z", 3 * UNIT)
    old = draw(database, "2013-02", "2013-03-01T00:00:00Z", 110, ledger.watermark, sequence=1)
    draft = draw(database, "2013-03", "2013-04-01T00:00:00Z", 3, ledger.watermark)
    command.upgrade(database_factory.alembic_config(database), "head")
    invoice = (await harness.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=old))).invoice
    assert decimals(invoice) == [("2013-02", 110)]
    assert [(part.period, part.late, part.part.units) for part in invoice.parts] == [("2013-02", False, 110)]
    assert [(d.payable, d.credit_note, d.copy) for d in invoice.documents] == [(True, False, False)]

    ledger.post("group", "a", "2013-01-06T00:00:00Z", 5 * UNIT, kind="adjustment")
    ledger.post("group", "a", "2013-02-06T00:00:00Z", 7 * UNIT, kind="adjustment")
    finalizing = pb.FinalizeInvoiceRequest(invoice_id=draft)
    assert (await harness.rejected("FinalizeInvoice", finalizing)).reason == "EARLIER_PERIOD_OPEN_LINES"
    january = await harness.finalize(await harness.generate("group", "2013-01"))
    assert decimals(january) == [("2013-01", 5)]
    march = (await harness.call("FinalizeInvoice", finalizing)).invoice
    assert decimals(march) == [("2013-02", 7), ("2013-03", 3)]
    totals = harness.rows("SELECT sum(ledger_total) FROM invoice WHERE state = 'final'")
    assert totals == [(Decimal(sum(line.sums.gross for line in ledger.lines)).scaleb(-9),)]


async def test_an_old_document_with_a_negative_total_is_read_as_a_credit_note(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    harness = await group(database)
    old = draw(database, "2013-02", "2013-03-01T00:00:00Z", -100, 7, sequence=1)
    command.upgrade(database_factory.alembic_config(database), "head")
    invoice = (await harness.call("GetInvoice", pb.GetInvoiceRequest(invoice_id=old))).invoice
    assert [(d.payable, d.credit_note, d.copy) for d in invoice.documents] == [(False, True, False)]


async def test_the_code_of_before_goes_on_drawing_invoices_that_have_to_add_up(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    await group(database)
    command.upgrade(database_factory.alembic_config(database), REVISION)
    draw(database, "2013-02", "2013-03-01T00:00:00Z", 9, 7, sequence=1)
    with pytest.raises(psycopg.errors.CheckViolation, match="does not add up"):
        draw(database, "2013-03", "2013-04-01T00:00:00Z", 9, 7, sequence=2, shown=8)


@pytest.mark.parametrize("late", [False, True])
async def test_the_way_back_refuses_parts_that_the_revision_before_has_no_place_for(
    database_factory: DatabaseFactory, database: ServiceDatabase, late: bool
) -> None:
    config = database_factory.alembic_config(database)
    harness = await group(database)
    command.upgrade(config, REVISION)
    harness.ledger.post("group", "a", "2013-01-05T00:00:00Z", UNIT, billed_period="2013-02" if late else "")
    await harness.generate("group", "2013-02" if late else "2013-01")
    if late:
        with pytest.raises(Exception, match="parts of other periods"):
            command.downgrade(config, BEFORE)
        return
    command.downgrade(config, BEFORE)
    draw(database, "2013-02", "2013-03-01T00:00:00Z", 9, 7, sequence=1)
    command.upgrade(config, REVISION)
    command.downgrade(config, BEFORE)
