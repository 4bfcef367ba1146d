"""What the tests of orgs and the ledger together share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from apportion_dev.testing.plugin import MakeServiceDatabase
from billing_world import BillingWorld


@pytest_asyncio.fixture(loop_scope="session")
async def world(service_database: MakeServiceDatabase) -> AsyncIterator[BillingWorld]:
    """orgs and the ledger, with nothing in them."""
    made = BillingWorld(service_database("orgs"), service_database("ledger"))
    await made.start()
    yield made
    await made.stop()
