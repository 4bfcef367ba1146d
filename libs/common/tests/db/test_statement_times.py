"""A statement that is given more time has it on both sides of the connection."""

from __future__ import annotations

import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.engine import allow_statement_s, make_engine
from apportion_common.db.limits import ANSWER_SLACK_S
from apportion_common.db.unit_of_work import Database
from apportion_dev.testing.plugin import BlankDatabase
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

USUAL_S = 0.5


async def test_a_statement_that_was_given_its_time_is_waited_for_here_as_at_the_server(
    blank_database: BlankDatabase,
) -> None:
    engine = make_engine(blank_database().app_url, "base", 1, statement_timeout_ms=int(USUAL_S * 1_000))
    database = Database(engine, "base", SystemClock())
    # Longer than a server may say nothing for usually.
    long = text(f"SELECT pg_sleep({USUAL_S + ANSWER_SLACK_S + 1})")
    async with database.read() as connection:
        await allow_statement_s(connection, 30)
        await connection.execute(long)
    with pytest.raises(DBAPIError, match="statement timeout"):
        async with database.read() as connection:
            await connection.execute(long)
    await database.connections.close()
