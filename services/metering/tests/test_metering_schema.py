"""The migrations: they build what the code believes in, go back, and give the role no more than it needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from apportion_common.db.engine import normalise_url, psycopg_url
from apportion_common.topology import DEAD_LETTER_REASONS
from apportion_dev.testing.clocks import FixedClock
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_metering.app.partitions import Partitions
from apportion_metering.store.partitions import PartitionStore
from apportion_metering.store.tables import metadata
from metering_harness import LaneHarness, intake_event, intake_message
from sqlalchemy import create_engine

MakeDatabase = Callable[[str], ServiceDatabase]


def test_the_migrations_build_the_tables_that_the_code_believes_in(service_database: MakeDatabase):
    made = service_database("metering")
    names = {table.name for table in metadata.tables.values()}
    with create_engine(normalise_url(made.owner_url)).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name in names, "compare_type": True},
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrations_go_back_to_nothing_and_up_again(
    blank_database: Callable[..., ServiceDatabase], database_factory: DatabaseFactory
):
    made = blank_database("metering")
    config = database_factory.alembic_config(made)
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic_version%%'"
    for _ in range(2):
        command.upgrade(config, "head")
        assert fetch_all(made.owner_url, tables) != []
        command.downgrade(config, "base")
        assert fetch_all(made.owner_url, tables) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE metering_event SET quantity = 0",
        "DELETE FROM metering_event",
        "TRUNCATE metering_event",
        "SELECT * FROM metering_event_default",
        "DELETE FROM metering_event_key",
        "DELETE FROM dead_letter",
        "DELETE FROM lane_journal",
        "CREATE TABLE mine (n int)",
    ],
)
def test_the_services_role_may_not(service_database: MakeDatabase, statement: str):
    made = service_database("metering")
    with (
        psycopg.connect(psycopg_url(made.app_url)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_the_database_knows_the_same_reasons_as_the_code(service_database: MakeDatabase):
    made = service_database("metering")
    query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_dead_letter_reason'"
    ((definition,),) = fetch_all(made.owner_url, query)
    assert all(f"'{reason}'" in definition for reason in DEAD_LETTER_REASONS)
    assert definition.count("::text") - 1 <= len(DEAD_LETTER_REASONS) + 1


async def test_events_lie_in_the_partition_of_their_month(service_database: MakeDatabase):
    made = service_database("metering")
    at = datetime(2026, 11, 22, tzinfo=UTC)
    partitions = Partitions(made.database(), PartitionStore(), FixedClock(at))
    assert await partitions.ensure() == [
        f"metering_event_{month}" for month in ("202611", "202612", "202701", "202702")
    ]
    assert await partitions.ensure() == []
    bench = LaneHarness(made.database())
    at_us = int(at.timestamp()) * 10**6
    await bench.write(intake_message(intake_event("a"), received_at_us=at_us))
    await bench.write(intake_message(intake_event("b")))
    found = fetch_all(made.owner_url, "SELECT tableoid::regclass::text, request_id FROM metering_event ORDER BY 2")
    assert found == [("metering_event_202611", "a"), ("metering_event_default", "b")]


async def test_a_month_whose_events_lie_in_the_default_partition_is_left_there(service_database: MakeDatabase):
    made = service_database("metering")
    at = datetime(2026, 11, 22, tzinfo=UTC)
    bench = LaneHarness(made.database())
    await bench.write(intake_message(intake_event("a"), received_at_us=int(at.timestamp()) * 10**6))
    names = await Partitions(made.database(), PartitionStore(), FixedClock(at)).ensure()
    assert names == [f"metering_event_{month}" for month in ("202612", "202701", "202702")]
    assert len(await bench.rows("SELECT 1 FROM metering_event")) == 1
