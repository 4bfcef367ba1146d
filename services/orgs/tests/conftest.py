"""Fixtures of the orgs service's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from apportion_common.testing.databases import ServiceDatabase

sys.path.insert(0, str(Path(__file__).parent))

from orgs_world import World


@pytest.fixture
def world(service_database: Callable[[str], ServiceDatabase]) -> World:
    """The RPCs of orgs on an empty database, beside a ledger without lines."""
    return World(service_database("orgs"))
