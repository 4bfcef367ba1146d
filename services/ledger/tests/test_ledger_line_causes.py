"""Lines come of events or of closes, and a partner's lines are found by what the partner is of record for."""

from __future__ import annotations

import threading
from typing import Final
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from apportion_common.errors import NotFound
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from ledger_harness import LedgerHarness
from psycopg import errors

BEFORE: Final = "20261130_08_ledger_outbox_parts"
REVISION: Final = "20261130_10_line_causes"
INSERT: Final = """
    INSERT INTO ledger_line (entry_id, charge_id, kind, org_id, billing_account_id, mapping_id, sku, sku_type, quantity,
        amount_gross, partner_from_account, partner_pct, partner_amount, net, catalog_revision, orgs_revision,
        ledger_revision, event_time, content_hash, currency, period, {columns})
    VALUES (gen_random_uuid(), gen_random_uuid(), 'minimum', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
        'ACT-SMS', 'action', 1, 1, false, 0, 0, 1, 0, 0, 0, '2013-01-02Z', sha256('x'), {currency}, {period}, {values})
"""
OF_AN_EVENT: Final = INSERT.format(columns="event_id", values="gen_random_uuid()", currency="'AUD'", period="'2013-01'")
OF_A_CLOSE: Final = INSERT.format(columns="cause_id", values="gen_random_uuid()", currency="'AUD'", period="'2013-01'")
REJECTED: Final = (
    INSERT.format(columns="lane, pos, seq", values="1, 1, 1", currency="'AUD'", period="'2013-01'"),
    INSERT.format(columns="cause_id", values="gen_random_uuid()", currency="'AU'", period="'2013-01'"),
    INSERT.format(columns="cause_id", values="gen_random_uuid()", currency="'AUD'", period="'2013-1'"),
)
ADD_MONTH: Final = b"SELECT ledger_line_add_month(now()::date)"
PLACES: Final = ("ledger_line", "ledger_line_default")
JOIN_TIMEOUT_S: Final = 30


@pytest.fixture
def database(database_factory: DatabaseFactory) -> ServiceDatabase:
    """A database that stands before lines had causes."""
    database = database_factory.blank("ledger")
    command.upgrade(database_factory.alembic_config(database), BEFORE)
    return database


def indexes(database: ServiceDatabase) -> list[tuple[object, ...]]:
    """Return the tables of lines that have an index of the partner."""
    return fetch_all(
        database.owner_url,
        "SELECT tablename FROM pg_indexes WHERE tablename ~ '^ledger_line' AND indexdef ~ 'partner_id' ORDER BY 1",
    )


@pytest.mark.parametrize("ahead", [True, False], ids=["month", "default"])
def test_a_line_needs_a_cause_a_currency_and_a_period_wherever_it_is_stored(
    database_factory: DatabaseFactory, database: ServiceDatabase, ahead: bool
) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as session:
        if ahead:
            session.execute(ADD_MONTH)
        command.upgrade(database_factory.alembic_config(database), REVISION)
        session.execute(OF_A_CLOSE.encode())
        for rejected in REJECTED:
            with pytest.raises(errors.CheckViolation):
                session.execute(rejected.encode())
    homes = fetch_all(database.owner_url, "SELECT tableoid::regclass::text FROM ledger_line")
    assert [home == "ledger_line_default" for (home,) in homes] == [not ahead]


def test_a_month_that_is_added_later_has_the_checks_and_not_the_index(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    command.upgrade(database_factory.alembic_config(database), REVISION)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(ADD_MONTH)
        session.execute(OF_A_CLOSE.encode())
        for rejected in REJECTED:
            with pytest.raises(errors.CheckViolation):
                session.execute(rejected.encode())
    assert indexes(database) == []


def test_lines_are_written_and_months_added_all_the_while(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    written: list[int] = []
    failures: list[psycopg.Error] = []
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        with psycopg.connect(database.app_url, autocommit=True) as session:
            while not over.is_set():
                try:
                    session.execute(OF_AN_EVENT.encode())
                    if len(written) < 2:
                        session.execute(f"SELECT ledger_line_add_month('2030-0{len(written) + 1}-01')".encode())
                except psycopg.Error as error:
                    failures.append(error)
                    return
                finally:
                    begun.set()
                written.append(len(written))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        assert begun.wait(JOIN_TIMEOUT_S)
        command.upgrade(database_factory.alembic_config(database), REVISION)
    finally:
        over.set()
        writer.join(JOIN_TIMEOUT_S)
    assert failures == []
    assert fetch_all(database.owner_url, "SELECT count(*), count(event_id) FROM ledger_line") == [
        (len(written), len(written))
    ]


def test_the_way_back_is_open_while_every_line_has_an_event(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(OF_AN_EVENT.encode())
        command.upgrade(config(database), REVISION)
        assert indexes(database) == []
        command.downgrade(config(database), BEFORE)
        assert indexes(database) == [(name,) for name in PLACES]
        command.upgrade(config(database), REVISION)
        session.execute(OF_A_CLOSE.encode())
    with pytest.raises(Exception, match="lines without an event"):
        command.downgrade(config(database), BEFORE)


async def partnered(ledger: LedgerHarness) -> tuple[dict[UUID, set[str]], dict[UUID, set[str]]]:
    """Post lines of three partners: of an org until 15 January, of the same org after it, and of an account.

    Return the charges of each partner before 14 January, which week 2 ends with, and all.
    """
    early, late, of_account = [await ledger.partner() for _ in range(3)]
    other_org, account = uuid4(), uuid4()
    await ledger.rate("10")
    await ledger.por(early, end="2013-01-15T00:00:00")
    await ledger.por(late, start="2013-01-15T00:00:00")
    await ledger.por(of_account, account=account)
    swept, after, shared = ledger.charge("3"), ledger.charge("5", at="2013-01-16T00:00:00"), ledger.charge("7")
    shared.billing_account_id = account.bytes  # The account's partner comes before the organisation's.
    lone = ledger.charge("11", org=other_org, account=account)
    nobody = ledger.charge("13", org=other_org)
    await ledger.charged(swept, after, shared, lone, nobody)
    ids = [str(UUID(bytes=charge.charge_id)) for charge in (swept, after, shared, lone)]
    before = {early: {ids[0]}, of_account: {ids[2], ids[3]}}
    return before, {**before, late: {ids[1]}}


async def test_the_lines_of_a_partner_are_listed_whatever_made_it_the_partner(ledger: LedgerHarness) -> None:
    _, expected = await partnered(ledger)
    found = {partner: {line.charge_id for line in await ledger.lines(partner_id=str(partner))} for partner in expected}
    assert found == expected
    with pytest.raises(NotFound) as rejected:
        await ledger.lines(partner_id=str(uuid4()))
    assert rejected.value.reason == "PARTNER_NOT_FOUND"


async def test_a_sweep_refers_to_the_lines_that_it_covers_whatever_made_the_partner_theirs(
    ledger: LedgerHarness,
) -> None:
    expected, _ = await partnered(ledger)
    await ledger.sweep("2013-W02")
    rows = ledger.as_owner(
        "SELECT s.partner_id, l.charge_id::text FROM settlement_line JOIN settlement AS s USING (settlement_id)"
        " JOIN ledger_line AS l ON l.entry_id = settlement_line.entry_id"
    )
    assert {partner: {charge for key, charge in rows if key == partner} for partner, _ in rows} == expected
    assert len(rows) == 3
