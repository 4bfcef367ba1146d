"""Publishing: every message has its own outcome, and none takes the connection down."""

from __future__ import annotations

import nats.errors
import pytest
from apportion_common.bus.publish import PAYLOAD_BYTES_MAX, Outgoing, publish_all, publish_one, wire_bytes
from nats.aio.client import Client
from nats.js.api import PubAck
from nats.js.errors import NoStreamResponseError

pytestmark = pytest.mark.usefixtures("streams")


async def test_each_message_has_its_own_outcome_in_order(nats_connection: Client) -> None:
    messages = [
        Outgoing("events.a", b"1", "one"),
        Outgoing("nobody.listens", b"2", "two"),
        Outgoing("events.a", b"3", "three"),
        Outgoing("events.a", b"1", "one"),
    ]
    first, second, third, again = await publish_all(nats_connection.jetstream(), messages)
    assert isinstance(first, PubAck)
    assert isinstance(second, NoStreamResponseError)
    assert isinstance(third, PubAck)
    assert isinstance(again, PubAck)
    assert (first.seq, third.seq) == (1, 2)
    assert again.duplicate


async def test_more_than_fits_in_flight_is_published_in_turns(nats_connection: Client) -> None:
    messages = [Outgoing("events.big", b"x" * 500_000, str(n)) for n in range(40)]
    outcomes = await publish_all(nats_connection.jetstream(), messages)
    assert [outcome.seq for outcome in outcomes if isinstance(outcome, PubAck)] == list(range(1, 41))


async def test_a_message_above_the_limit_of_its_server_is_refused_here_and_the_connection_stays(
    nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_connection, "_max_payload", 1_000)
    with pytest.raises(nats.errors.MaxPayloadError):
        await publish_one(nats_connection.jetstream(), Outgoing("events.big", b"x" * 990, "large"))
    assert nats_connection.is_connected


async def test_a_message_that_is_too_large_with_its_headers_is_refused_here_and_the_connection_stays(
    nats_connection: Client,
) -> None:
    js = nats_connection.jetstream()
    large = Outgoing("events.big", b"x" * (PAYLOAD_BYTES_MAX - 10), "large")
    with pytest.raises(nats.errors.MaxPayloadError):
        await publish_one(js, large)
    fits = Outgoing("events.big", b"x" * (PAYLOAD_BYTES_MAX - wire_bytes(b"", {"Nats-Msg-Id": "m"})), "m")
    assert (await publish_one(js, fits)).seq == 1
    assert nats_connection.is_connected
