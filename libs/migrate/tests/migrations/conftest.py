"""Toy services on databases of the session's PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from migration_toys import TOYS, Toy, make_toy


@pytest.fixture(autouse=True)
def toys_leave_the_path() -> Iterator[None]:
    """Take the packages of a test's toys off the path of imports again."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture
def toy(database_factory: DatabaseFactory, tmp_path: Path) -> Iterator[Toy]:
    databases: dict[str, ServiceDatabase] = {service: database_factory.blank(service) for service in TOYS}
    yield make_toy(tmp_path, lambda service: databases[service].owner_url, lambda service: databases[service].app_url)
    for database in databases.values():
        database_factory.drop(database.name)
