"""Pricing's tests run on databases of their own."""

from __future__ import annotations

import pytest
from apportion_dev.testing.plugin import MakeServiceDatabase
from pricing_harness import PricingHarness


@pytest.fixture
async def harness(service_database: MakeServiceDatabase) -> PricingHarness:
    """Pricing on a fresh database, with a gate that takes an override."""
    return PricingHarness(service_database("pricing").database())
