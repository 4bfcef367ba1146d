"""A charge is known by its place: lane, entry, kind, and its number among those that one close makes there."""

from __future__ import annotations

import threading
from typing import Final

import psycopg
import pytest
from alembic import command
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from pricing_harness import PricingHarness
from psycopg import errors

BEFORE: Final = "20261130_07_pricing_outbox_parts"
REVISION: Final = "20261130_09_charge_places"
INSERT: Final = """
    INSERT INTO charge (charge_id, org_id, billing_account_id, mapping_id, plan_id, sku, sku_type, kind, mode, quantity,
        quantity_before, currency, amount, event_time, period, included_revision, price_revision, tiers_revision,
        catalog_revision, orgs_revision, lane, pos, seq, {columns})
    VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'OBJ-KM',
        'object', 'minimum', 'live', 1, 0, 'AUD', 1, '2013-01-31Z', '2013-01', 0, 0, 0, 0, 0, 1, 1, {values})
"""
OF_AN_EVENT: Final = INSERT.format(columns="event_id", values="{seq}, gen_random_uuid()")
OF_A_CLOSE: Final = INSERT.format(columns="cause_id, ordinal", values="{seq}, gen_random_uuid(), {ordinal}")
KEY: Final = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'pk_charge'"
JOIN_TIMEOUT_S: Final = 30


@pytest.fixture
def database(database_factory: DatabaseFactory) -> ServiceDatabase:
    """A database that stands before charges had places."""
    database = database_factory.blank("pricing")
    command.upgrade(database_factory.alembic_config(database), BEFORE)
    return database


async def test_the_charges_of_a_close_are_listed_one_by_one_across_pages(harness: PricingHarness) -> None:
    async with harness.database.transaction() as tx:
        for ordinal in (2, 0, 1):
            await tx.execute(OF_A_CLOSE.format(seq=1, ordinal=ordinal))
        await tx.execute(OF_AN_EVENT.format(seq=2))
    seen: list[pb.Charge] = []
    token = ""
    while True:
        page = await harness.rpc.ListCharges(pb.ListChargesRequest(page_size=1, page_token=token), None)
        seen += page.charges
        token = page.next_page_token
        if not token:
            break
    stored = await harness.rows("SELECT charge_id::text FROM charge ORDER BY seq, ordinal")
    assert [charge.charge_id for charge in seen] == [charge_id for (charge_id,) in stored]
    assert [bool(charge.event_id) for charge in seen] == [False, False, False, True]


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        (OF_A_CLOSE.format(seq=1, ordinal=0), errors.UniqueViolation),
        (INSERT.format(columns="ordinal", values="1, 1"), errors.CheckViolation),
    ],
)
def test_a_place_has_one_charge_and_a_charge_has_a_cause(
    database_factory: DatabaseFactory, statement: str, refusal: type[psycopg.Error]
) -> None:
    with psycopg.connect(database_factory.service("pricing").app_url) as session:
        session.execute(OF_A_CLOSE.format(seq=1, ordinal=0).encode())
        with pytest.raises(refusal):
            session.execute(statement.encode())


def test_charges_are_written_all_the_while_that_their_key_is_exchanged(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    written: list[int] = []
    failures: list[psycopg.Error] = []
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        with psycopg.connect(database.app_url, autocommit=True) as session:
            while not over.is_set():
                try:
                    session.execute(OF_AN_EVENT.format(seq=len(written)).encode())
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
    assert fetch_all(database.owner_url, "SELECT count(*), max(ordinal), count(event_id) FROM charge") == [
        (len(written), 0, len(written))
    ]
    assert fetch_all(database.owner_url, KEY) == [("PRIMARY KEY (lane, seq, kind, ordinal)",)]


def test_the_way_back_is_open_while_every_charge_has_an_event(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config
    command.upgrade(config(database), REVISION)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(OF_AN_EVENT.format(seq=1).encode())
        command.downgrade(config(database), BEFORE)
        assert fetch_all(database.owner_url, KEY) == [("PRIMARY KEY (charge_id)",)]
        command.upgrade(config(database), REVISION)
        session.execute(OF_A_CLOSE.format(seq=2, ordinal=0).encode())
    with pytest.raises(Exception, match="charges without an event"):
        command.downgrade(config(database), BEFORE)
    assert fetch_all(database.owner_url, KEY) == [("PRIMARY KEY (lane, seq, kind, ordinal)",)]
