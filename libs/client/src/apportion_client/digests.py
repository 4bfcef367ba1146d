"""Digests of the ledger's lines: read one by one, and compared with those of another ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from apportion.ledger.v1 import ledger_service_pb2 as ledger

from apportion_client.services import Services

CHUNK_LINES: Final = 10_000
"""Line digests in one message of a stream."""
DIGEST_TIMEOUT_S: Final = 300


async def line_digests(services: Services, scope: ledger.DigestScope) -> AsyncIterator[ledger.LineDigest]:
    """Return the digest of every line of a scope, by charge id."""
    request = ledger.ListLineDigestsRequest(scope=scope)
    async for page in services.ledger.ListLineDigests(request, timeout=DIGEST_TIMEOUT_S):
        for digest in page.digests:
            yield digest


async def diff_digests(
    services: Services, scope: ledger.DigestScope, digests: Sequence[ledger.LineDigest]
) -> ledger.DiffDigestResponse:
    """Return what differs between a scope of the ledger and line digests that were kept, which come by charge id."""

    async def requests() -> AsyncIterator[ledger.DiffDigestRequest]:
        yield ledger.DiffDigestRequest(scope=scope)
        for start in range(0, len(digests), CHUNK_LINES):
            yield ledger.DiffDigestRequest(digests=digests[start : start + CHUNK_LINES])

    response: ledger.DiffDigestResponse = await services.ledger.DiffDigest(requests(), timeout=DIGEST_TIMEOUT_S)
    return response
