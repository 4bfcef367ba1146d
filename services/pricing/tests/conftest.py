"""Pricing's tests run on databases of their own."""

from __future__ import annotations

import pytest
from apportion_dev.testing.plugin import MakeServiceDatabase
from pricing_support import World


@pytest.fixture
async def world(service_database: MakeServiceDatabase) -> World:
    """Pricing on a fresh database, with a gate that takes an override."""
    return World(service_database("pricing").database())
