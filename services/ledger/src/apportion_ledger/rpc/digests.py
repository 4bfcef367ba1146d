"""RPCs of digests and checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer

from apportion_ledger import errors
from apportion_ledger.app.digests import Digests
from apportion_ledger.app.invariants import Invariants
from apportion_ledger.rpc.messages import (
    difference_to_message,
    digest_to_message,
    invariant_to_message,
    scope_from_message,
)

Context = grpc.aio.ServicerContext[Any, Any]


class DigestRpcs(LedgerServiceServicer):
    """Digests and checks."""

    _digests: Digests
    _invariants: Invariants

    async def GetDigest(self, request: pb.GetDigestRequest, context: Context) -> pb.GetDigestResponse:
        """Return the digest of a scope's lines and the coarse one. RESOURCE_EXHAUSTED TOO_MANY_LINES."""
        return digest_to_message(await self._digests.digest(scope_from_message(request.scope)))

    async def ListLineDigests(
        self, request: pb.ListLineDigestsRequest, context: Context
    ) -> AsyncIterator[pb.ListLineDigestsResponse]:
        """Yield the digest of each line, by charge id."""
        async for page in self._digests.pages(scope_from_message(request.scope)):
            yield pb.ListLineDigestsResponse(
                digests=[
                    pb.LineDigest(charge_id=charge_id, content_hash=content_hash) for charge_id, content_hash in page
                ]
            )

    async def DiffDigest(
        self, requests: AsyncIterator[pb.DiffDigestRequest], context: Context
    ) -> pb.DiffDigestResponse:
        """Return the lines that differ from the streamed digests. INVALID_ARGUMENT SCOPE_MISSING."""
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("scope"):
            raise errors.scope_missing()
        count, differences = await self._digests.diff(scope_from_message(first.scope), _streamed(first, requests))
        return pb.DiffDigestResponse(
            difference_count=count, differences=[difference_to_message(difference) for difference in differences]
        )

    async def CheckLedger(self, request: pb.CheckLedgerRequest, context: Context) -> pb.CheckLedgerResponse:
        """Return every invariant, and what breaks it."""
        outcomes = await self._invariants.check()
        return pb.CheckLedgerResponse(
            results=[invariant_to_message(outcome) for outcome in outcomes],
            holds=not any(outcome.violation_count for outcome in outcomes),
        )


async def _streamed(
    first: pb.DiffDigestRequest, rest: AsyncIterator[pb.DiffDigestRequest]
) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """Yield the digests of all messages, the first one included."""
    yield [(digest.charge_id, digest.content_hash) for digest in first.digests]
    async for request in rest:
        yield [(digest.charge_id, digest.content_hash) for digest in request.digests]
