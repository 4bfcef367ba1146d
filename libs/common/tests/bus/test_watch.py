"""Streams that a service needs and that are not there: noticed, said once, and no longer when they are back."""

from __future__ import annotations

import pytest
from apportion_common.bus.rights import RIGHTS
from apportion_common.bus.streams import ensure_streams
from apportion_common.bus.watch import StreamWatch
from apportion_common.topology import MEBIBYTE, PRICING_OUT
from nats.aio.client import Client
from structlog.testing import capture_logs


@pytest.mark.usefixtures("streams")
async def test_a_missing_stream_is_said_once_and_so_is_its_return(nats_connection: Client) -> None:
    watch = StreamWatch(nats_connection, RIGHTS["ledger"].streams())
    with capture_logs() as said:
        assert await watch.look()
        await nats_connection.jetstream().delete_stream(PRICING_OUT.name)
        for _ in range(3):
            assert not await watch.look()
        assert watch.missing == {PRICING_OUT.name}
        await ensure_streams(nats_connection.jetstream(), max_bytes=MEBIBYTE)
        for _ in range(2):
            assert await watch.look()
    assert [(line["event"], line["part"], line["state"]) for line in said] == [
        ("standstill", "streams", "STREAM_MISSING"),
        ("standstill.over", "streams", "STREAM_MISSING"),
    ]


def test_a_service_needs_the_streams_that_it_has_rights_on_and_no_others() -> None:
    assert [spec.name for spec in RIGHTS["ledger"].streams()] == ["PRICING_OUT", "LEDGER_OUT", "EVENTS"]
    assert [spec.name for spec in RIGHTS["orgs"].streams()] == ["EVENTS"]
