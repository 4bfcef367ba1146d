"""The local NATS server: secure by default, durable over kills, two beside each other."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import ssl
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from apportion_common.clock import SystemClock
from apportion_dev.local.keys import LocalCa
from apportion_dev.local.nats import LocalNats, NatsError, find_nats_server

WAIT_S = 60
pytestmark = pytest.mark.servers

USERS = {"operator": "a-password", "ledger": 'quo"ted\\'}


def make(folder: Path, **options: Any) -> tuple[LocalNats, ssl.SSLContext]:
    now = SystemClock().now()
    ca = LocalCa.create_or_load(folder / "tls", now)
    certificate = ca.issue_server_certificate(["localhost", "127.0.0.1"], now, "nats")
    context = ssl.create_default_context(cafile=str(ca.certificate_file))
    return LocalNats(folder / "nats", users=USERS, certificate=certificate, **options), context


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[LocalNats, ssl.SSLContext]]:
    server, context = make(tmp_path)
    server.start()
    yield server, context
    server.close()


async def connect(
    server: LocalNats, context: ssl.SSLContext, user: str = "operator", password: str | None = None
) -> Any:
    async def quiet(_error: Exception) -> None:
        return None

    return await nats.connect(
        server.url,
        tls=context,
        user=user,
        password=USERS[user] if password is None else password,
        allow_reconnect=False,
        error_cb=quiet,
    )


async def publish(server: LocalNats, context: ssl.SSLContext, count: int) -> None:
    client = await connect(server, context, "ledger")
    stream = client.jetstream()
    await stream.add_stream(name="events", subjects=["events.>"])
    for number in range(count):
        await stream.publish("events.one", str(number).encode())
    await client.close()


async def stored(server: LocalNats, context: ssl.SSLContext) -> int:
    client = await connect(server, context)
    info = await client.jetstream().stream_info("events")
    await client.close()
    return int(info.state.messages)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def jetstream_page(server: LocalNats) -> dict[str, Any]:
    connection = http.client.HTTPConnection(server.monitor_url.removeprefix("http://"), timeout=WAIT_S)
    connection.request("GET", "/jsz?config=1")
    page: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return page


def test_what_was_acknowledged_outlives_kill_and_restart_on_the_same_address(
    running: tuple[LocalNats, ssl.SSLContext],
) -> None:
    server, context = running
    before = (server.url, server.monitor_url)
    run(publish(server, context, 20))
    server.kill()
    assert not server.alive
    assert not server.died
    server.start()
    assert run(stored(server, context)) == 20
    server.restart()
    assert run(stored(server, context)) == 20
    assert (server.url, server.monitor_url) == before


def test_a_wrong_password_is_refused(running: tuple[LocalNats, ssl.SSLContext]) -> None:
    server, context = running
    with pytest.raises(nats.errors.Error, match="Authorization"):
        run(connect(server, context, password="wrong"))


def test_a_client_that_does_not_trust_the_authority_does_not_connect(
    running: tuple[LocalNats, ssl.SSLContext],
) -> None:
    server, _ = running
    with pytest.raises(ssl.SSLCertVerificationError):
        run(connect(server, ssl.create_default_context()))


def test_each_message_is_flushed_unless_a_test_asks_otherwise(tmp_path: Path) -> None:
    for sync_always in (True, False):
        server, _ = make(tmp_path / str(sync_always), sync_always=sync_always)
        server.start()
        page = jetstream_page(server)
        server.close()
        assert bool(page["config"].get("sync_always", False)) is sync_always


def test_two_servers_run_beside_each_other(tmp_path: Path, running: tuple[LocalNats, ssl.SSLContext]) -> None:
    first, _ = running
    second, context = make(tmp_path / "second")
    second.start()
    run(publish(second, context, 1))
    assert first.alive
    assert len({first.url, second.url, first.monitor_url, second.monitor_url}) == 4
    second.destroy()
    assert not (tmp_path / "second" / "nats").exists()


def test_a_server_that_ends_by_itself_has_died(running: tuple[LocalNats, ssl.SSLContext]) -> None:
    server, _ = running
    assert not server.died
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + WAIT_S
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.died


def test_the_configuration_with_its_passwords_is_private(
    running: tuple[LocalNats, ssl.SSLContext], tmp_path: Path
) -> None:
    assert (tmp_path / "nats" / "nats.conf").stat().st_mode & 0o077 == 0


def test_a_program_that_is_named_and_missing_is_an_error() -> None:
    with pytest.raises(NatsError, match="/nowhere/nats-server"):
        find_nats_server({"APPORTION_NATS_SERVER": "/nowhere/nats-server"})
