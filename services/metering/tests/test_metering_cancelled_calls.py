"""Calls that their callers give up at any instant leave nothing behind in metering."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from apportion.metering.v1.metering_service_pb2_grpc import add_MeteringServiceServicer_to_server
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.cancelling import Leftovers
from apportion_dev.testing.plugin import FIGURES, MakeServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_dev.testing.storm import Storm
from metering_harness import ORG, metering_on

SEED = 20_130_101


@pytest.mark.parametrize("cancellations", [200, pytest.param(2_000, marks=pytest.mark.soak)])
async def test_calls_that_are_given_up_leave_nothing_behind(
    service_database: MakeServiceDatabase,
    durable_nats: tuple[LocalNats, NatsAccess],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    cancellations: int,
) -> None:
    place = service_database("metering")
    async with metering_on(place, durable_nats) as metering:
        subscriptions = len(metering.client._subs)
        storm = Storm(
            tmp_path,
            "apportion.metering.v1.MeteringService",
            lambda server: add_MeteringServiceServicer_to_server(metering.parts.servicer, server),
            {"org_id": [str(ORG)]},
        )
        with Leftovers.watched(metering.database, place, "test metering") as left:
            ended = await storm.run(cancellations, SEED, left.expect_bounded)
            await left.expect_none(f"{cancellations} cancellations, seed {SEED}")
        assert len(metering.client._subs) == subscriptions
        assert not metering.parts.replies._waiting, "Calls that wait for a commit and have ended."
        assert not metering.client._resp_map, "Answers of the stream that nobody waits for any more."
        record_property(FIGURES, f"metering: calls given up at random instants: {ended}")
