"""Proofs by mail: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation

from apportion_identity.app.verifications import SubmittedMail, Verifications
from apportion_identity.rpc.messages import outcome_to_message


class VerificationRpcs(IdentityServiceServicer):
    """The RPC that takes a message."""

    _verifications: Verifications

    async def SubmitVerificationEmail(
        self, request: pb.SubmitVerificationEmailRequest, context: Any
    ) -> pb.SubmitVerificationEmailResponse:
        """Verify a message that is to prove a claim."""
        mail = SubmittedMail(request.message, request.client_ip, request.helo, request.mail_from, request.rcpt_to)
        return await self._verifications.submit(mutation(request, outcome_to_message), mail)
