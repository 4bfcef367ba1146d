"""What stands still, in words for whoever waits: services that do not answer, and what the others say of themselves."""

from __future__ import annotations

import asyncio
import http.client
from typing import Final

import grpc
from apportion_common.grpc.health import says_ready

from apportion_client.services import Services

ASK_TIMEOUT_S: Final = 3.0
"""For each service's word on itself; all are asked at once."""
ANSWER_BYTES_MAX: Final = 64 * 1024


async def standing_still(services: Services) -> list[str]:
    """Return a sentence for each service that does not answer or is not ready, and for each state in which its work
    stands still; none when all is well. Ends within ASK_TIMEOUT_S, whatever is away.
    """
    addresses = services.settings.addresses
    found = await asyncio.gather(*(_of_service(services, service) for service in addresses))
    return [line for lines in found for line in lines]


async def _of_service(services: Services, service: str) -> list[str]:
    settings = services.settings
    probes = settings.probe_addresses.get(service)
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            if probes:
                return await asyncio.to_thread(_said_by_probe, service, probes)
            return await _said_by_health(services, service)
    except (OSError, http.client.HTTPException, grpc.RpcError):
        return [f"{service} does not answer at {probes or settings.addresses[service]}"]


def _said_by_probe(service: str, address: str) -> list[str]:
    """Ask the readiness probe, which names the states in which work stands still."""
    # No urllib: a proxy named in the environment has no business here.
    connection = http.client.HTTPConnection(address, timeout=ASK_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        _, *lines = answer.read(ANSWER_BYTES_MAX).decode("utf-8", "replace").splitlines() or [""]
    finally:
        connection.close()
    unready = [] if answer.status == http.HTTPStatus.OK else [f"{service} is not ready"]
    return unready + [f"{service}, {line}" for line in lines]


async def _said_by_health(services: Services, service: str) -> list[str]:
    """Ask the health service, where the probe's address is not known; it knows readiness only."""
    ready = await says_ready(services.channel(service), ASK_TIMEOUT_S)
    return [] if ready else [f"{service} is not ready"]
