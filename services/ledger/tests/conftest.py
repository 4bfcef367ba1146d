"""What the ledger's tests share."""

from __future__ import annotations

import pytest
from apportion_dev.testing.plugin import MakeServiceDatabase
from ledger_harness import LedgerHarness, make_harness


@pytest.fixture
def ledger(service_database: MakeServiceDatabase) -> LedgerHarness:
    """An empty ledger with the default threshold, AUD 50."""
    return make_harness(service_database("ledger"))
