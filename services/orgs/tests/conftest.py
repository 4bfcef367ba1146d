"""Fixtures of the orgs service's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion_dev.testing.databases import ServiceDatabase
from orgs_world import World


@pytest.fixture
def world(service_database: Callable[[str], ServiceDatabase]) -> World:
    """The RPCs of orgs on an empty database, beside a ledger without lines."""
    return World(service_database("orgs"))
