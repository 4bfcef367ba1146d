"""What the events of a period add up to has more digits than an event."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest
from alembic import command
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion_common.decimals import QUANTITY_MAX
from apportion_common.protos import unpack_int
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_pricing.limits import POSITION_QUANTITY_MAX
from pricing_harness import DAY, JANUARY, Event, PricingHarness, at, graduated, id_of, per_unit, text_of

BEFORE: Final = "20261130_15_late_and_taken_back"
REVISION: Final = "20261130_18_pricing_sums"
WIDTHS: Final = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE (c.relname, a.attname) IN (('usage_position', 'quantity'), ('charge', 'quantity_before'),
        ('parity_result', 'estimated'), ('parity_result', 'rated'))
    ORDER BY 1, 2
"""
CHECKS: Final = """
    SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid IN ('usage_position'::regclass, 'charge'::regclass, 'parity_result'::regclass) AND contype = 'c'
    ORDER BY 1
"""
USED: Final = (
    "INSERT INTO usage_position (org_id, sku, period, quantity) VALUES ('{org}', 'OBJ-KM', '2013-01', {quantity})"
)
MANY: Final = 20


@pytest.mark.parametrize("tiered", [False, True], ids=["per unit", "graduated"])
async def test_many_of_the_largest_events_of_a_month_are_each_charged(harness: PricingHarness, tiered: bool) -> None:
    await harness.live()
    await harness.sku("OBJ-KM")
    row = graduated("OBJ-KM", "2", ("10", "1")) if tiered else per_unit("OBJ-KM", "1")
    await harness.plan("plan", row)
    harness.orgs.map("acme", "account")
    await harness.assign("acme", "plan")
    events = [Event("acme", "OBJ-KM", QUANTITY_MAX // 2 * 2, JANUARY + DAY) for _ in range(MANY)]
    events[0] = Event("acme", "OBJ-KM", 10 * 10**9, JANUARY)
    rated = await harness.rate(*events)
    assert list(rated.rejections) == []
    assert [unpack_int(charge.amount) for charge in rated.charges[1:]] == [QUANTITY_MAX // 2 * 2] * (MANY - 1)
    # A process that begins again reads what was stored, and goes on from it.
    harness.restart()
    again = await harness.rate(Event("acme", "OBJ-KM", -QUANTITY_MAX, JANUARY + DAY))
    assert [unpack_int(charge.quantity) for charge in again.charges] == [-QUANTITY_MAX]
    used = 10 * 10**9 + (MANY - 1) * (QUANTITY_MAX // 2 * 2) - QUANTITY_MAX
    found = await harness.rpc.GetEffectiveEntitlements(
        pb.GetEffectiveEntitlementsRequest(org_id=text_of("acme"), at=at(JANUARY + 2 * DAY)), None
    )
    (entitlement,) = found.entitlements
    assert entitlement.used_qty.value == f"{used // 10**9}.{used % 10**9:09}".rstrip("0").rstrip(".")
    listed = await harness.rpc.ListCharges(pb.ListChargesRequest(org_id=text_of("acme"), page_size=1000), None)
    assert len(listed.charges) == MANY + 1


async def test_an_organisation_at_the_limit_of_a_period_stops_no_other(harness: PricingHarness) -> None:
    await harness.live()
    await harness.sku("OBJ-KM")
    await harness.plan("plan", per_unit("OBJ-KM", "1"))
    for org in ("acme", "other"):
        harness.orgs.map(org, "account")
        await harness.assign(org, "plan")
    full = USED.format(org=text_of("acme"), quantity=f"{POSITION_QUANTITY_MAX}e-9")
    async with harness.database.transaction() as tx:
        await tx.execute(full)
    lane = harness.lane([Event("acme", "OBJ-KM", 1, JANUARY)])
    rated = await harness.rate(Event("acme", "OBJ-KM", 1, JANUARY), Event("other", "OBJ-KM", 1, JANUARY), lane=lane)
    assert [(rejection.org_id, rejection.reason) for rejection in rated.rejections] == [
        (id_of("acme"), "PROCESSING_FAILED")
    ]
    assert "29 integer digits" in rated.rejections[0].detail
    assert [charge.org_id for charge in rated.charges] == [id_of("other")]


@pytest.fixture
def database(database_factory: DatabaseFactory) -> ServiceDatabase:
    """A database that stands before positions were sums."""
    database = database_factory.blank("pricing")
    command.upgrade(database_factory.alembic_config(database), BEFORE)
    return database


def test_the_revision_widens_positions_and_leaves_their_checks_as_they_were(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config(database)
    narrow, checks = fetch_all(database.owner_url, WIDTHS), fetch_all(database.owner_url, CHECKS)
    command.upgrade(config, REVISION)
    assert {width for *_, width in fetch_all(database.owner_url, WIDTHS)} == {"numeric(38,9)"}
    assert fetch_all(database.owner_url, CHECKS) == checks
    command.downgrade(config, BEFORE)
    assert (fetch_all(database.owner_url, WIDTHS), fetch_all(database.owner_url, CHECKS)) == (narrow, checks)


def test_the_way_back_is_refused_while_a_position_needs_the_width(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config(database)
    command.upgrade(config, REVISION)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(USED.format(org=text_of("acme"), quantity="1000000000000000000").encode())
    with pytest.raises(Exception, match="numeric field overflow"):
        command.downgrade(config, BEFORE)
