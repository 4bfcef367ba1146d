"""The lane outbox learns of parts while batches are written to it, and forgets them only when there are none."""

from __future__ import annotations

import threading
from typing import Final

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_migrate.plan import load_plan
from psycopg import errors

BATCH: Final = (
    b"INSERT INTO lane_outbox (role, lane, pos, subject, payload) VALUES ('role', 0, %s, 'subject', 'payload')"
)
PART: Final = (
    b"INSERT INTO lane_outbox (role, lane, pos, subject, payload, part, part_count)"
    b" VALUES ('role', 0, 1, 'subject', 'payload', %s, %s)"
)
SHAPE: Final = (
    "SELECT string_agg(a.attname, ', ' ORDER BY k.n) FROM pg_constraint c"
    " CROSS JOIN unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)"
    " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum WHERE c.conname = 'pk_lane_outbox'"
)
JOIN_TIMEOUT_S: Final = 30


@pytest.fixture(params=["metering", "pricing", "ledger"])
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def revision(service: str) -> str:
    """The service's revision that brings the parts."""
    return next(step.revision for step in load_plan().steps_of(service) if step.revision.endswith("_outbox_parts"))


@pytest.fixture
def database(database_factory: DatabaseFactory, service: str, revision: str) -> ServiceDatabase:
    """A database that stands before that."""
    database = database_factory.blank(service)
    command.upgrade(database_factory.alembic_config(database), f"{revision}-1")
    return database


def test_batches_are_written_all_the_while_and_are_part_zero_of_one(
    database_factory: DatabaseFactory, database: ServiceDatabase, revision: str
) -> None:
    written: list[int] = []
    failures: list[psycopg.Error] = []
    enough, over = threading.Event(), threading.Event()

    def write() -> None:
        with psycopg.connect(database.app_url, autocommit=True) as session:
            while not over.is_set():
                try:
                    session.execute(BATCH, (len(written),))
                except psycopg.Error as error:
                    failures.append(error)
                    return
                finally:
                    enough.set()
                written.append(len(written))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        assert enough.wait(JOIN_TIMEOUT_S)
        command.upgrade(database_factory.alembic_config(database), revision)
    finally:
        over.set()
        writer.join(JOIN_TIMEOUT_S)
    assert failures == []
    assert fetch_all(
        database.owner_url, "SELECT count(*), max(pos), min(part), max(part), min(part_count) FROM lane_outbox"
    ) == [(len(written), written[-1], 0, 0, 1)]
    assert fetch_all(database.owner_url, SHAPE) == [("role, lane, pos, part",)]


def test_a_batch_has_each_of_its_parts_once(
    database_factory: DatabaseFactory, database: ServiceDatabase, revision: str
) -> None:
    command.upgrade(database_factory.alembic_config(database), revision)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(PART, (0, 2))
        session.execute(PART, (1, 2))
        with pytest.raises(errors.UniqueViolation):
            session.execute(PART, (1, 2))
        for part in (-1, 2):
            with pytest.raises(errors.CheckViolation):
                session.execute(PART, (part, 2))


def test_the_way_back_waits_until_no_batch_has_parts(
    database_factory: DatabaseFactory, database: ServiceDatabase, revision: str
) -> None:
    command.upgrade(database_factory.alembic_config(database), revision)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(BATCH, (0,))
        session.execute(PART, (0, 2))
        session.execute(PART, (1, 2))
        with pytest.raises(Exception, match="batches in parts"):
            command.downgrade(database_factory.alembic_config(database), "-1")
        assert fetch_all(database.owner_url, SHAPE) == [("role, lane, pos, part",)]
        session.execute("DELETE FROM lane_outbox WHERE part_count > 1")
        command.downgrade(database_factory.alembic_config(database), "-1")
        assert fetch_all(database.owner_url, SHAPE) == [("role, lane, pos",)]
        with pytest.raises(errors.UniqueViolation):
            session.execute(BATCH, (0,))
