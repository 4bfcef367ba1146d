"""The revision after which a period may close and open more than once, there and back."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory
from psycopg import errors

BEFORE: Final = "20261130_11_billed_period"
REVISION: Final = "20261130_16_period_reopenings"
CLOSE: Final = "INSERT INTO period_close (period, lane, pos) VALUES ('2013-01', 1, 1)"
REOPEN: Final = (
    "INSERT INTO period_close (period, lane, org_id, reopening, pos) VALUES ('2013-01', 1, gen_random_uuid(), 1, 1)"
)


@pytest.mark.parametrize("statement", [CLOSE, REOPEN], ids=["closed twice", "reopened"])
def test_a_period_that_was_closed_twice_or_reopened_makes_the_way_back_refuse(
    database_factory: DatabaseFactory, statement: str
) -> None:
    database = database_factory.blank("ledger")
    config = database_factory.alembic_config(database)
    command.upgrade(config, BEFORE)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(CLOSE)
    command.upgrade(config, REVISION)
    command.downgrade(config, BEFORE)
    command.upgrade(config, REVISION)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        with pytest.raises(errors.CheckViolation):
            session.execute("INSERT INTO period_close (period, lane, reopening, pos) VALUES ('2013-01', 1, 1, 1)")
        session.execute(statement)
    with pytest.raises(Exception, match="reopened or closed twice"):
        command.downgrade(config, BEFORE)
