"""What the ledger's tests share."""

from __future__ import annotations

import pytest
from apportion_dev.testing.plugin import MakeServiceDatabase
from ledger_case import LedgerCase, make_case


@pytest.fixture
def ledger(service_database: MakeServiceDatabase) -> LedgerCase:
    """An empty ledger with the default threshold, AUD 50."""
    return make_case(service_database("ledger"))
