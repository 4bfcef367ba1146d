"""The orgs service over gRPC, as delegation needs it."""

from __future__ import annotations

from uuid import UUID

import grpc
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceStub
from apportion_common.grpc.client import retrying

from apportion_identity import errors
from apportion_identity.limits import ASK_ORGS_TIMEOUT_S


class GrpcOrgs:
    """The orgs service; a call is a read and is retried while orgs does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over a channel."""
        self._stub = OrgsServiceStub(channel)

    async def is_subsidiary(self, org_id: UUID, of_org_id: UUID) -> bool:
        """Return whether one organisation stands below another; what orgs does not know stands nowhere.

        Raises Unavailable ORGS_UNAVAILABLE for anything else than an answer.
        """
        request = pb.ListAncestorsRequest(org_id=str(org_id))
        try:
            answer: pb.ListAncestorsResponse = await retrying(self._stub.ListAncestors, request, ASK_ORGS_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False
            raise errors.orgs_unavailable() from error
        return any(found.org.org_id == str(of_org_id) for found in answer.orgs)
