"""Slow reads, as many as a service has connections and more, take none from its lanes, its relay and its readiness."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import grpc
from apportion_client.failures import reason_of
from apportion_client.settings import SERVICES
from apportion_common.db.limits import process_connections_max
from harness import FLIGHTS, System, rows_of, until
from test_e2e_impatient_readers import audit, identity, is_ready, ledger, metering, orgs, pricing

PREFIX: Final = "busy-"
READERS: Final = 2 * process_connections_max()
"""Of each service, each of which asks again as soon as it has an answer."""
MODULES: Final = {"identity": identity, "ledger": ledger, "metering": metering, "orgs": orgs, "pricing": pricing}
RELAYING: Final = ("identity", "metering", "orgs", "pricing")
PUBLISHED: Final = "SELECT 1 FROM outbox WHERE outbox_id = %s AND published_at IS NOT NULL"
SETTLE_S: Final = 60.0
READ_TIMEOUT_S: Final = 30.0


async def test_slow_reads_take_no_connection_from_lanes_relay_and_readiness(new_system) -> None:
    system: System = await new_system()
    await system.apply(FLIGHTS, PREFIX)
    rows = list(rows_of(FLIGHTS))[:2_000]
    await system.ingest(rows[: len(rows) // 2], prefix=PREFIX)
    await system.wait_drained()
    posted = await lines(system)
    # Whoever reads has a share of the places of calls, and the harness another one.
    somebody = (("authorization", f"Bearer {system.token(roles=('Operator',), ttl_s=3_600)}"),)
    refused: Counter[str] = Counter()
    looks: Counter[str] = Counter()

    async def read(service: str) -> None:
        method, request = audit(MODULES[service])
        call = getattr(getattr(system.services, service), method)
        while True:
            try:
                await call(request(), timeout=READ_TIMEOUT_S, metadata=somebody)
            except grpc.aio.AioRpcError as error:
                refused[f"{error.code().name} {reason_of(error)}"] += 1

    async def look(service: str) -> None:
        while True:
            looks[f"{service} {'ready' if await is_ready(system, service) else 'not ready'}"] += 1
            await asyncio.sleep(0.5)

    async with AsyncExitStack() as ending:
        admins = {service: await ending.enter_async_context(system.administering(service)) for service in SERVICES}
        for admin in admins.values():
            await ending.enter_async_context(admin.transaction())
            # Nothing but the reads of the audit trail, and changes by people, need this table.
            await admin.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
        busy = [asyncio.ensure_future(read(service)) for service in SERVICES for _ in range(READERS)]
        busy += [asyncio.ensure_future(look(service)) for service in SERVICES]
        try:
            await until(lambda: enough(refused), SETTLE_S, "the pools of the calls are used up")
            await system.ingest(rows[len(rows) // 2 :], prefix=PREFIX)
            published = str(uuid4())
            for service in RELAYING:
                async with system.administering(service) as admin:
                    await admin.execute(
                        "INSERT INTO outbox (outbox_id, subject, msg_id, payload, headers)"
                        " VALUES (%s, 'events.test.busy', %s, '', '{}')",
                        (published, published),
                    )

            async def some_posted() -> bool:
                return await lines(system) > posted

            async def all_published() -> bool:
                found = [await system.query(service, PUBLISHED, published) for service in RELAYING]
                return all(found)

            await until(some_posted, SETTLE_S, "the lanes go on")
            await until(all_published, SETTLE_S, "the relays go on")
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)
    assert not [look for look in looks if "not ready" in look], looks
    # A read that waited for the table is ended by its time limit, one that waited for a connection by the pool's.
    assert set(refused) == {"UNAVAILABLE DATABASE_BUSY", "UNAVAILABLE DATABASE_UNAVAILABLE"}, refused


async def enough(refused: Counter[str]) -> bool:
    """Whether some have waited for a connection in vain."""
    return refused.total() >= READERS


async def lines(system: System) -> int:
    """How many lines the ledger has."""
    return int((await system.query("ledger", "SELECT count(*) FROM ledger_line"))[0][0])
