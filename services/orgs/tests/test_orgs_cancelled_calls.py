"""Calls that their callers give up at any instant leave nothing behind in orgs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from apportion.orgs.v1.orgs_service_pb2_grpc import add_OrgsServiceServicer_to_server
from apportion_dev.testing.cancelling import Leftovers
from apportion_dev.testing.plugin import FIGURES
from apportion_dev.testing.storm import Storm
from orgs_harness import OrgsHarness, account_id, org_id

SEED = 20_130_101


@pytest.mark.parametrize("cancellations", [200, pytest.param(2_000, marks=pytest.mark.soak)])
async def test_calls_that_are_given_up_leave_nothing_behind(
    harness: OrgsHarness, tmp_path: Path, record_property: Callable[[str, object], None], cancellations: int
) -> None:
    await harness.root("Root")
    await harness.child("Child", "Root")
    await harness.account("Account", "Root")
    await harness.map_org("Child", "Account", "2012-12-01T00:00:00Z")
    storm = Storm(
        tmp_path,
        "apportion.orgs.v1.OrgsService",
        lambda server: add_OrgsServiceServicer_to_server(harness.rpcs, server),
        {"org_id": [org_id("Root"), org_id("Child")], "billing_account_id": [account_id("Account")]},
    )
    with Leftovers.watched(harness.database, harness.service_database, "test orgs") as left:
        ended = await storm.run(cancellations, SEED, left.expect_bounded)
        await left.expect_none(f"{cancellations} cancellations, seed {SEED}")
    record_property(FIGURES, f"orgs: calls given up at random instants: {ended}")
