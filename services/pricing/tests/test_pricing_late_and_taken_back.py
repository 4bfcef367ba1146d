"""The revision that gives late charges, reopened periods and the sums of positions a place, there and back."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, fetch_all
from psycopg import errors

BEFORE: Final = "20261130_09_charge_places"
REVISION: Final = "20261130_15_late_and_taken_back"
CHARGE: Final = """
    INSERT INTO charge (charge_id, event_id, org_id, billing_account_id, mapping_id, plan_id, sku, sku_type, kind, mode,
        quantity, quantity_before, currency, amount, event_time, period, included_revision, price_revision,
        tiers_revision, catalog_revision, orgs_revision, lane, pos, seq, billed_period)
    VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
        gen_random_uuid(), 'OBJ-KM', 'object', 'usage', 'live', 1, 0, 'AUD', 1, '2013-01-31Z', '2013-01', 0, 0, 0, 0, 0,
        1, 1, 1, %s)
"""
CLOSE: Final = "INSERT INTO period_close (period, lane, pos, seq) VALUES ('2013-01', %s, 1, %s)"
REOPEN: Final = (
    "INSERT INTO period_close (period, lane, org_id, reopening, pos, seq)"
    " VALUES ('2013-01', 1, gen_random_uuid(), 1, 1, 9)"
)


@pytest.mark.parametrize(
    "statement",
    [CHARGE.replace("%s", "'2013-02'"), REOPEN, CLOSE % (1, 2)],
    ids=["a late charge", "a reopened period", "a period closed twice"],
)
def test_what_the_revision_before_cannot_hold_makes_the_way_back_refuse(
    database_factory: DatabaseFactory, statement: str
) -> None:
    database = database_factory.blank("pricing")
    config = database_factory.alembic_config(database)
    command.upgrade(config, BEFORE)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(CLOSE, (1, 1))
        session.execute(
            "INSERT INTO usage_position (org_id, sku, period, quantity) VALUES (gen_random_uuid(), 'A', '2013-01', 1)"
        )
    command.upgrade(config, REVISION)
    command.downgrade(config, BEFORE)
    command.upgrade(config, REVISION)
    assert fetch_all(database.owner_url, "SELECT charged, shadow_charged FROM usage_position") == [(None, None)]
    with psycopg.connect(database.app_url, autocommit=True) as session:
        for billed_period in ("2013-01", "2012-12", "2013-2"):
            with pytest.raises(errors.CheckViolation):
                session.execute(CHARGE, (billed_period,))
        with pytest.raises(errors.UniqueViolation):
            session.execute(CLOSE, (1, 1))
        session.execute(statement)
    with pytest.raises(Exception, match="have no place before"):
        command.downgrade(config, BEFORE)
