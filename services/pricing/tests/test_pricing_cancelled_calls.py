"""Calls that their callers give up at any instant leave nothing behind in pricing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from apportion.pricing.v1.pricing_service_pb2_grpc import add_PricingServiceServicer_to_server
from apportion_dev.testing.cancelling import Leftovers
from apportion_dev.testing.plugin import FIGURES, MakeServiceDatabase
from apportion_dev.testing.storm import Storm
from pricing_harness import PricingHarness, per_unit, text_of

SEED = 20_130_101


@pytest.mark.parametrize("cancellations", [200, pytest.param(2_000, marks=pytest.mark.soak)])
async def test_calls_that_are_given_up_leave_nothing_behind(
    service_database: MakeServiceDatabase,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    cancellations: int,
) -> None:
    place = service_database("pricing")
    harness = PricingHarness(place.database())
    await harness.sku("ACT-SMS")
    await harness.plan("plan", per_unit("ACT-SMS", "1"))
    harness.orgs.map("org", "account")
    await harness.assign("org", "plan")
    storm = Storm(
        tmp_path,
        "apportion.pricing.v1.PricingService",
        lambda server: add_PricingServiceServicer_to_server(harness.rpc, server),
        {"org_id": [text_of("org")], "plan_id": [text_of("plan")], "billing_account_id": [text_of("account")]},
    )
    with Leftovers.watched(harness.database, place, "test pricing") as left:
        ended = await storm.run(cancellations, SEED, left.expect_bounded)
        await left.expect_none(f"{cancellations} cancellations, seed {SEED}")
    record_property(FIGURES, f"pricing: calls given up at random instants: {ended}")
