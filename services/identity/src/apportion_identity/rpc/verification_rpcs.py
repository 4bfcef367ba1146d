"""Proofs by mail: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from apportion_identity.app.verification import Verification


class VerificationRpcs(IdentityServiceServicer):
    """The RPC that takes a message."""

    _verification: Verification

    async def SubmitVerificationEmail(
        self, request: pb.SubmitVerificationEmailRequest, context: Any
    ) -> pb.SubmitVerificationEmailResponse:
        """Judge a message that is to prove a claim."""
        return await self._verification.submit(request)
