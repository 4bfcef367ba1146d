"""Readers that give up at once, beside people who write: no write is refused, and no service takes ever more sessions.

It runs for SOAK_S, or as long as APPORTION_SOAK_S says.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import grpc
import pytest
from apportion.common.v1 import audit_pb2
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.failures import reason_of
from apportion_client.services import CALL_TIMEOUT_S
from apportion_client.settings import SERVICES
from apportion_common.db.limits import process_connections_max
from apportion_dev.testing.plugin import FIGURES
from google.protobuf.timestamp_pb2 import Timestamp
from harness import FLIGHTS, System, org_of, rows_of, until
from psycopg import sql

SOAK_S: Final = float(os.environ.get("APPORTION_SOAK_S", "600"))
SEED: Final = 20_130_101
READERS: Final = 5
"""Impatient callers of each service."""
WRITES_EVERY_S: Final = 0.1
LOOK_EVERY_S: Final = 0.5
CLOSING_MAX: Final = 4
"""Sessions whose connections are closed and that the server has not ended yet."""
SETTLE_S: Final = 30.0
LEASE_S: Final = 15
"""As in production. With the tests' short one a session that is idle for a second within its transaction is ended by
the server, and on a busy machine a process may well not come to its turn for that long.
"""
PREFIX: Final = "impatient-"

SESSIONS: Final = sql.SQL(
    "SELECT split_part(application_name, '/', 1), count(*) FROM pg_stat_activity"
    " WHERE application_name LIKE '%/%' AND datname = current_database() GROUP BY 1"
)

Call = tuple[str, Callable[[], Any]]


def audit(module: Any) -> Call:
    return "ListAudit", lambda: module.ListAuditRequest(query=audit_pb2.AuditQuery(page_size=50))


def reads(org: str) -> dict[str, list[Call]]:
    """What an ordinary user asks for, by service."""
    lines = ledger.ListLinesRequest(filter=ledger.LineFilter(org_id=org), page_size=100)
    status = metering.GetEventStatusRequest(org_id=org, request_ids=["a", "b"])
    return {
        "identity": [audit(identity), ("ListGlobalSettings", identity.ListGlobalSettingsRequest)],
        "pricing": [audit(pricing), ("ListSkus", pricing.ListSkusRequest)],
        "metering": [audit(metering), ("GetEventStatus", lambda: status)],
        "ledger": [audit(ledger), ("ListLines", lambda: lines), ("GetTrialBalance", ledger.GetTrialBalanceRequest)],
        "orgs": [
            audit(orgs),
            ("GetOrg", lambda: orgs.GetOrgRequest(org_id=org)),
            ("ListAncestors", lambda: orgs.ListAncestorsRequest(org_id=org)),
        ],
    }


def writes() -> dict[str, Call]:
    """One change of each service that always succeeds."""

    def name() -> str:
        return f"impatient-{uuid4().hex[:20]}"

    return {
        "identity": (
            "CreateServiceAccount",
            lambda: identity.CreateServiceAccountRequest(name=name(), roles=["service"], request_id=name()),
        ),
        "pricing": (
            "CreateSku",
            lambda: pricing.CreateSkuRequest(
                sku=pricing.Sku(sku=name().upper(), type=pricing.SKU_TYPE_OBJECT, unit="unit"), request_id=name()
            ),
        ),
        "metering": (
            "DiscardDeadLetters",
            lambda: metering.DiscardDeadLettersRequest(
                filter=metering.DeadLetterFilter(org_id=str(uuid4())), reason="nothing", request_id=name()
            ),
        ),
        "ledger": (
            "CreatePartner",
            lambda: ledger.CreatePartnerRequest(
                name=name(), payout_currency="AUD", tier="gold", effective_at=Timestamp(seconds=1), request_id=name()
            ),
        ),
        "orgs": (
            "CreateOrg",
            lambda: orgs.CreateOrgRequest(org_id=str(uuid4()), legal_name=name(), slug=name(), request_id=name()),
        ),
    }


class Attack:
    """Readers, writers and somebody who looks, until the time is over."""

    def __init__(self, system: System, org: str) -> None:
        self.system = system
        self.reads = reads(org)
        self.ends_at = time.monotonic() + SOAK_S
        self.given_up: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.sessions_max: Counter[str] = Counter()
        self.looks: Counter[str] = Counter()

    async def run(self) -> None:
        """Attack; returns when the time is over."""
        async with asyncio.TaskGroup() as group:
            for number, service in enumerate(SERVICES):
                for reader in range(READERS):
                    group.create_task(self._read(service, random.Random(SEED + 100 * number + reader)))
                group.create_task(self._write(service))
                group.create_task(self._look(service))

    @property
    def _goes_on(self) -> bool:
        return time.monotonic() < self.ends_at

    async def _read(self, service: str, chance: random.Random) -> None:
        stub = getattr(self.system.services, service)
        patience_s = 0.02
        while self._goes_on:
            method, request = chance.choice(self.reads[service])
            call = getattr(stub, method)(request(), timeout=chance.uniform(0, patience_s))
            try:
                await call
            except grpc.aio.AioRpcError:
                self.given_up[service] += 1
                patience_s *= 1.02
            else:
                self.answered[service] += 1
                patience_s *= 0.96

    async def _write(self, service: str) -> None:
        method, request = writes()[service]
        call = getattr(getattr(self.system.services, service), method)
        while self._goes_on:
            try:
                await call(request(), timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                self.refused[f"{service} {error.code().name} {reason_of(error)}"] += 1
            else:
                self.written[service] += 1
            await asyncio.sleep(WRITES_EVERY_S)

    async def _look(self, service: str) -> None:
        async with self.system.administering(service) as admin:
            while self._goes_on:
                for name, count in await (await admin.execute(SESSIONS)).fetchall():
                    self.sessions_max[name] = max(self.sessions_max[name], count)
                ready = await is_ready(self.system, service)
                self.looks[f"{service} {'ready' if ready else 'not ready'}"] += 1
                await asyncio.sleep(LOOK_EVERY_S)


async def is_ready(system: System, service: str) -> bool:
    """Whether a service says that calls are welcome."""
    address = system.stack.state().metrics_addresses[service]

    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=CALL_TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False

    return await asyncio.to_thread(ask)


def complaints(system: System) -> str:
    """What the services have logged as warnings and errors."""
    lines = (line for service in SERVICES for line in system.log(service).splitlines())
    return "\n".join(
        line for line in lines if '"level":"warning"' in line.replace(" ", "") or '"level":"error"' in line
    )


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 240)
async def test_readers_that_give_up_cost_no_writer_a_write(
    new_system, record_property: Callable[[str, object], None]
) -> None:
    system = await new_system(lease_s=LEASE_S)
    await system.apply(FLIGHTS, PREFIX)
    await system.ingest(rows_of(FLIGHTS, 500), prefix=PREFIX)
    await system.wait_drained()
    attack = Attack(system, str(org_of(rows_of(FLIGHTS, 1)[0].org, PREFIX)))
    await attack.run()
    for what in ("given_up", "answered", "written", "refused", "sessions_max", "looks"):
        record_property(FIGURES, f"impatient readers, {SOAK_S:g} s: {what} {dict(getattr(attack, what))}")
    assert not attack.refused, f"{attack.refused}\n{complaints(system)}"
    assert all(attack.written[service] and attack.given_up[service] for service in SERVICES)
    assert max(attack.sessions_max.values()) <= process_connections_max() + CLOSING_MAX
    assert not [look for look in attack.looks if "not ready" in look], complaints(system)

    async def given_back() -> bool:
        used = [
            (await system.metrics(service))[f'db_client_connection_count{{pool="{service}-calls",state="used"}}']
            for service in SERVICES
        ]
        return not any(used)

    await until(given_back, SETTLE_S, "every connection is given back")
