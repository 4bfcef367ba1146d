"""Mail that has come in by SMTP, as it is handed to the use case behind SubmitVerificationEmail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.db.idempotency import mutation
from apportion_common.ids import uuid7

from apportion_identity.app.verifications import Outcome, Result, SubmittedMail, Verifications
from apportion_identity.domain.mail.types import Envelope

_OUTCOMES: Final = {
    Result.VERIFIED: pb.VERIFICATION_OUTCOME_VERIFIED,
    Result.CONFLICT: pb.VERIFICATION_OUTCOME_CONFLICT,
    Result.REJECTED: pb.VERIFICATION_OUTCOME_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message did: whether its proof is good, why or why not, and what a person can do about it."""

    proved: bool
    reason: str
    explanation: str


class InboundMail(Protocol):
    """What the gateway needs of the service."""

    async def knows(self, recipient: str) -> bool:
        """Return whether a claim waits, or waited, for mail at this address."""
        ...

    async def verify(self, message: bytes, envelope: Envelope) -> Verdict:
        """Return the verdict, the same once a message has proved its claim. Unavailable DNS_UNAVAILABLE, and others."""
        ...


class VerificationMail:
    """The use case behind the RPC, called in the name of identity itself, which saw the client."""

    def __init__(self, verifications: Verifications) -> None:
        """Call this use case."""
        self._verifications = verifications

    async def knows(self, recipient: str) -> bool:
        """Return whether a claim waits, or waited, for mail at this address."""
        return await self._verifications.knows(recipient)

    async def verify(self, message: bytes, envelope: Envelope) -> Verdict:
        """Return the verdict; raises what SubmitVerificationEmail raises.

        Each time is a request of its own: a message that was rejected may be right once its domain's records are, and
        one that has proved its claim gets the same answer again without that.
        """
        request = pb.SubmitVerificationEmailRequest(
            message=message,
            client_ip=envelope.client_ip,
            helo=envelope.helo,
            mail_from=envelope.mail_from,
            rcpt_to=envelope.rcpt_to,
            request_id=f"smtp:{uuid7()}",
        )
        mail = SubmittedMail(message, envelope.client_ip, envelope.helo, envelope.mail_from, envelope.rcpt_to)
        answer = await self._verifications.submit(mutation(request, _response), mail)
        proved = answer.outcome in (pb.VERIFICATION_OUTCOME_VERIFIED, pb.VERIFICATION_OUTCOME_CONFLICT)
        return Verdict(proved, answer.reason, answer.explanation)


def _response(outcome: Outcome) -> pb.SubmitVerificationEmailResponse:
    """Return what a reply tells of an outcome; nobody repeats this request, so the evidence need not be kept."""
    return pb.SubmitVerificationEmailResponse(
        outcome=_OUTCOMES[outcome.result], reason=outcome.reason, explanation=outcome.explanation
    )
