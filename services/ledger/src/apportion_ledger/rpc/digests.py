"""RPCs of digests and checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.decimals import AMOUNT_PLACES, QUANTITY_PLACES
from apportion_common.protos import scaled_to_decimal_proto

from apportion_ledger import errors
from apportion_ledger.app.check import LedgerCheck
from apportion_ledger.app.digest import DifferenceKind, Digests
from apportion_ledger.app.ports import GrossSum
from apportion_ledger.rpc.convert import line_message, scope_of

Context = grpc.aio.ServicerContext[Any, Any]

DIFFERENCE_KINDS: Final = {
    DifferenceKind.MISSING: pb.DIFFERENCE_KIND_MISSING,
    DifferenceKind.EXTRA: pb.DIFFERENCE_KIND_EXTRA,
    DifferenceKind.DIFFERENT: pb.DIFFERENCE_KIND_DIFFERENT,
}


class DigestRpcs(LedgerServiceServicer):
    """Digests and checks."""

    digests: Digests
    check: LedgerCheck

    async def GetDigest(self, request: pb.GetDigestRequest, context: Context) -> pb.GetDigestResponse:
        """The digest of a scope's lines and the coarse one. RESOURCE_EXHAUSTED TOO_MANY_LINES."""
        digest = await self.digests.digest(scope_of(request.scope))
        return pb.GetDigestResponse(
            digest=digest.digest.hex(),
            line_count=digest.line_count,
            coarse_digest=digest.coarse_digest.hex(),
            gross=[_gross_message(row) for row in digest.gross],
        )

    async def ListLineDigests(
        self, request: pb.ListLineDigestsRequest, context: Context
    ) -> AsyncIterator[pb.ListLineDigestsResponse]:
        """The digest of each line, by charge id."""
        async for page in self.digests.pages(scope_of(request.scope)):
            yield pb.ListLineDigestsResponse(
                digests=[
                    pb.LineDigest(charge_id=charge_id, content_hash=content_hash) for charge_id, content_hash in page
                ]
            )

    async def DiffDigest(
        self, requests: AsyncIterator[pb.DiffDigestRequest], context: Context
    ) -> pb.DiffDigestResponse:
        """The lines that differ from the streamed digests. INVALID_ARGUMENT SCOPE_MISSING."""
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("scope"):
            raise errors.scope_missing()
        count, differences = await self.digests.diff(scope_of(first.scope), _streamed(first, requests))
        return pb.DiffDigestResponse(
            difference_count=count,
            differences=[
                pb.LineDifference(
                    charge_id=str(UUID(bytes=difference.charge_id)),
                    kind=DIFFERENCE_KINDS[difference.kind],
                    line=None if difference.line is None else line_message(difference.line),
                )
                for difference in differences
            ],
        )

    async def CheckLedger(self, request: pb.CheckLedgerRequest, context: Context) -> pb.CheckLedgerResponse:
        """Every invariant, and what breaks it."""
        outcomes = await self.check.run()
        return pb.CheckLedgerResponse(
            results=[
                pb.InvariantResult(
                    name=outcome.name,
                    holds=outcome.violation_count == 0,
                    violation_count=outcome.violation_count,
                    examples=outcome.examples,
                )
                for outcome in outcomes
            ],
            holds=not any(outcome.violation_count for outcome in outcomes),
        )


async def _streamed(
    first: pb.DiffDigestRequest, rest: AsyncIterator[pb.DiffDigestRequest]
) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """The digests of all messages, the first one included."""
    yield [(digest.charge_id, digest.content_hash) for digest in first.digests]
    async for request in rest:
        yield [(digest.charge_id, digest.content_hash) for digest in request.digests]


def _gross_message(row: GrossSum) -> pb.GrossOfKey:
    return pb.GrossOfKey(
        org_id=str(row.org_id),
        sku=row.sku,
        period=row.period,
        currency=row.currency,
        line_count=row.line_count,
        quantity=scaled_to_decimal_proto(row.quantity, QUANTITY_PLACES),
        gross=scaled_to_decimal_proto(row.gross, AMOUNT_PLACES),
    )
