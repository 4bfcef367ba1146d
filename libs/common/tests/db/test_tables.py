"""The tables that the DDL makes are those that the code believes in."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from apportion_common.db.engine import normalise_url
from apportion_common.db.tables import NAMING_CONVENTION, head_table, immutable_ddl, lane_tables, shared_tables
from apportion_dev.testing.databases import fetch_all
from apportion_dev.testing.plugin import BlankDatabase
from sqlalchemy import MetaData, NullPool, create_engine, inspect


def test_the_ddl_and_the_tables_say_the_same(base_database: BlankDatabase) -> None:
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    shared_tables(metadata)
    lane_tables(metadata)
    head_table(metadata)
    place = base_database()
    engine = create_engine(normalise_url(place.owner_url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
        )
        assert compare_metadata(context, metadata) == []
        found = inspect(connection)
        for table in metadata.tables.values():
            primary = found.get_pk_constraint(table.name)
            assert primary["name"] == str(table.primary_key.name)
            assert primary["constrained_columns"] == [column.name for column in table.primary_key]


def test_a_batch_is_stored_uncompressed(base_database: BlankDatabase) -> None:
    storage = fetch_all(
        base_database().owner_url,
        "SELECT attstorage FROM pg_attribute WHERE attrelid = 'lane_outbox'::regclass AND attname = 'payload'",
    )
    assert storage == [("e",)]


def test_only_plain_names_go_into_ddl() -> None:
    with pytest.raises(ValueError, match="plain table name"):
        immutable_ddl("x; DROP TABLE y")
