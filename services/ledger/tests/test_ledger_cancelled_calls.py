"""Calls that their callers give up at any instant leave nothing behind in ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from apportion.ledger.v1.ledger_service_pb2_grpc import add_LedgerServiceServicer_to_server
from apportion_dev.testing.cancelling import Leftovers
from apportion_dev.testing.plugin import FIGURES
from apportion_dev.testing.storm import Storm
from ledger_harness import LedgerHarness

SEED = 20_130_101


@pytest.mark.parametrize("cancellations", [200, pytest.param(2_000, marks=pytest.mark.soak)])
async def test_calls_that_are_given_up_leave_nothing_behind(
    ledger: LedgerHarness, tmp_path: Path, record_property: Callable[[str, object], None], cancellations: int
) -> None:
    partner = await ledger.credited()
    await ledger.charged(*(ledger.charge("12.5") for _ in range(20)))
    storm = Storm(
        tmp_path,
        "apportion.ledger.v1.LedgerService",
        lambda server: add_LedgerServiceServicer_to_server(ledger.rpc, server),
        {"org_id": [str(ledger.org)], "partner_id": [str(partner)], "billing_account_id": [str(ledger.account)]},
    )
    with Leftovers.watched(ledger.database, ledger.made, "test ledger") as left:
        ended = await storm.run(cancellations, SEED, left.expect_bounded)
        await left.expect_none(f"{cancellations} cancellations, seed {SEED}")
    record_property(FIGURES, f"ledger: calls given up at random instants: {ended}")
