"""Calls that their callers give up at any instant leave nothing behind in identity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from apportion.identity.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from apportion_dev.testing.cancelling import Leftovers
from apportion_dev.testing.plugin import FIGURES, MakeServiceDatabase
from apportion_dev.testing.storm import Storm
from identity_harness import IdentityHarness, org_id, user_id

SEED = 20_130_101


@pytest.mark.parametrize("cancellations", [200, pytest.param(2_000, marks=pytest.mark.soak)])
async def test_calls_that_are_given_up_leave_nothing_behind(
    service_database: MakeServiceDatabase,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    cancellations: int,
) -> None:
    harness = IdentityHarness(service_database("identity"))
    storm = Storm(
        tmp_path,
        "apportion.identity.v1.IdentityService",
        lambda server: add_IdentityServiceServicer_to_server(harness.parts.servicer, server),
        {"org_id": [org_id("org")], "user_id": [user_id("user")]},
    )
    with Leftovers.watched(harness.database, harness.place, "test identity") as left:
        ended = await storm.run(cancellations, SEED, left.expect_bounded)
        await left.expect_none(f"{cancellations} cancellations, seed {SEED}")
    record_property(FIGURES, f"identity: calls given up at random instants: {ended}")
