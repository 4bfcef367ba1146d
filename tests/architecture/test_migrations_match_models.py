"""What a service's migrations build is what its models say, and the way back and forth again leads to the same."""

from __future__ import annotations

import importlib

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_dev.testing.migration_gates import model_differences
from apportion_migrate.catalog import Catalog, differences, read_catalog
from apportion_migrate.sessions import migration_engine, psycopg_url
from sqlalchemy import Engine, MetaData


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def migrated(database_factory: DatabaseFactory, service: str) -> Engine:
    return _engine(database_factory.service(service))


def test_alembic_finds_no_difference_between_migrations_and_models(service: str, migrated: Engine) -> None:
    metadata = _metadata(service)
    with migrated.connect() as connection:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_models_build_the_tables_constraints_and_indexes_that_migrations_build(
    database_factory: DatabaseFactory, service: str
) -> None:
    migrated = database_factory.service(service)
    assert model_differences(migrated, database_factory.blank(service), _metadata(service)) == []


def test_down_to_nothing_and_up_again_gives_the_same_catalog(database_factory: DatabaseFactory, service: str) -> None:
    database = database_factory.blank(service)
    engine, config = _engine(database), database_factory.alembic_config(database)
    command.upgrade(config, "head")
    first = _catalog(engine)
    command.downgrade(config, "base")
    emptied = {name for name in _catalog(engine) if not name.startswith("extension ")}
    assert {name for name in emptied if "alembic_version" not in name} == set()
    command.upgrade(config, "head")
    assert differences(first, _catalog(engine)) == []


def _engine(database: ServiceDatabase) -> Engine:
    """An engine for the database's owner."""
    return migration_engine(psycopg_url(database.owner_url))


def _metadata(service: str) -> MetaData:
    metadata = importlib.import_module(f"apportion_{service}.store.tables").metadata
    assert isinstance(metadata, MetaData)
    return metadata


def _catalog(engine: Engine) -> Catalog:
    with engine.connect() as connection:
        return read_catalog(connection)
