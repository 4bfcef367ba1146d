"""Stacks for the tests of the whole system.

- `system`: one stack for all tests that keep to an organisation prefix of their own
- `dns`: the only DNS server that its identity asks
- `oidc`: the only issuer whose users sign in to it
- `new_system()`: makes a stack of the test's own, ended with the test
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from harness import ROOT, System

# identity's tests have a DNS server and a mail server that signs; the whole system is proved with the same ones.
sys.path.append(str(ROOT / "services" / "identity" / "tests"))
from loopback_dns import LoopbackDns
from oidc_issuer import LocalIssuer, local_issuer

HERE = Path(__file__).parent

MakeSystem = Callable[..., Awaitable[System]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: each needs the stack's processes."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def dns() -> Iterator[LoopbackDns]:
    """A DNS server whose records tests set; each keeps to domains of its own."""
    with LoopbackDns() as server:
        yield server


@pytest.fixture(scope="session")
def oidc() -> Iterator[LocalIssuer]:
    """An issuer that signs in whomever a test wants."""
    with local_issuer() as issuer:
        yield issuer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(
    tmp_path_factory: pytest.TempPathFactory, dns: LoopbackDns, oidc: LocalIssuer
) -> AsyncIterator[System]:
    """The stack that tests share; no test ends a process of it or closes a period for all."""
    folder = tmp_path_factory.mktemp("shared")
    issuers = folder / "issuers.json"
    issuers.write_text(json.dumps([asdict(oidc.config)]), encoding="utf-8")
    identity = {"DNS_SERVERS": dns.address, "DNS_TIMEOUT_S": "2", "OIDC_ISSUERS_FILE": str(issuers)}
    started = await System.start(folder / "stack", service_env={"identity": identity})
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def new_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MakeSystem]:
    """Makes stacks that end with the test; takes what System.start takes."""
    made: list[System] = []

    async def make(**options: Any) -> System:
        made.append(await System.start(tmp_path_factory.mktemp("own") / "stack", **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()
