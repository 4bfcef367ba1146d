"""Metering over gRPC, as reopening a period needs it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceStub
from apportion_common.grpc.client import retrying
from apportion_common.grpc.status import error_of

from apportion_orgs.limits import REOPEN_PERIOD_TIMEOUT_S


class GrpcMetering:
    """Calls metering; the call is repeatable and is retried while metering does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over a channel."""
        self._stub = MeteringServiceStub(channel)

    async def reopen_period(self, period: str, reopenings: Sequence[tuple[UUID, int]], reason: str) -> None:
        """Put the reopening of a period into the lanes of organisations. Raises Unavailable."""
        named = sorted((str(org_id), number) for org_id, number in reopenings)
        request = pb.ReopenPeriodRequest(
            period=period,
            reopenings=[pb.Reopening(org_id=org_id, number=number) for org_id, number in named],
            reason=reason,
            # Of what is asked for, so that a repeated call is the same one.
            request_id=f"reopen:{sha256(repr((period, named, reason)).encode()).hexdigest()}",
        )
        try:
            await retrying(self._stub.ReopenPeriod, request, REOPEN_PERIOD_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
