"""Fixtures of the orgs service's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion_dev.testing.databases import ServiceDatabase
from orgs_harness import OrgsHarness


@pytest.fixture
def harness(service_database: Callable[[str], ServiceDatabase]) -> OrgsHarness:
    """The RPCs of orgs on an empty database, beside a ledger without lines."""
    return OrgsHarness(service_database("orgs"))
