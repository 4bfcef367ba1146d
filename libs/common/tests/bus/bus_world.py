"""What the tests of the bus share: a database, announcements, and processes that die where they are told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable

from apportion.common.v1.audit_pb2 import AuditEntry
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.topology import EVENTS
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from nats.aio.client import Client

SERVICE = "ledger"
PROCESS_TIMEOUT_S = 120
WAIT_S = 60
POLL_S = 0.05

_PRELUDE = """
import asyncio, json, os, sys
from pathlib import Path
from pydantic import SecretStr
from apportion_common import failpoints
from apportion_common.bus.connection import connect
from apportion_common.bus.consume import DurableConsumer
from apportion_common.bus.relay import OutboxRelay
from apportion_common.clock import SystemClock
from apportion_common.db.engine import make_engine
from apportion_common.db.unit_of_work import Database
from apportion_dev.testing.servers import NatsAccess

given = json.loads(os.environ["GIVEN"])
access = NatsAccess(
    given["url"], given["user"], SecretStr(given["password"] or ""), Path(given["ca"]) if given["ca"] else None
)
database = Database(make_engine(given["database"], "doomed", 4), "ledger", SystemClock())

async def main():
    nats = await connect(access, "doomed")
"""


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so; TimeoutError after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not await reached():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(POLL_S)


async def publish(database: Database, count: int) -> list[str]:
    """Publish that many events in one transaction; gives their ids."""

    async def work(tx: Transaction) -> list[str]:
        return [str(await tx.publish("ledger.thing.made", AuditEntry(action=str(n)))) for n in range(count)]

    return await database.run(work)


async def events(nats: Client) -> list[tuple[str, str]]:
    """Everything in the stream of events, as (message id, event id), in order."""
    js = nats.jetstream()
    state = (await js.stream_info(EVENTS.name)).state
    found = []
    for seq in range(max(state.first_seq, 1), state.last_seq + 1):
        message = await js.get_msg(EVENTS.name, seq)
        assert message.data is not None
        msg_id = (message.headers or {}).get("Nats-Msg-Id", "")
        found.append((msg_id, EventEnvelope.FromString(message.data).id))
    return found


def run_until_killed(place: ServiceDatabase, access: NatsAccess, fail_point: str, body: str) -> None:
    """Run `body` in a process that kills itself at the fail point; fails when it ends in any other way."""
    password = access.nats_password
    given = {
        "database": place.app_url,
        "url": access.nats_url,
        "user": access.nats_user,
        "password": None if password is None else password.get_secret_value(),
        "ca": None if access.tls_ca_file is None else str(access.tls_ca_file),
    }
    program = f"{_PRELUDE}{textwrap.indent(textwrap.dedent(body), '    ')}\nasyncio.run(main())\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "GIVEN": json.dumps(given), "FAIL_POINT": fail_point},
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert json.loads(done.stderr.strip().splitlines()[-1])["fail_point"] == fail_point.split(":")[0]
