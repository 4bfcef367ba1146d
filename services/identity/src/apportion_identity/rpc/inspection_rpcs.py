"""Looking at a domain: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller

from apportion_identity.app.inspect_domain import InspectDomain
from apportion_identity.app.ports.common import RateLimiter
from apportion_identity.domain.mail.inspection import Inspection, RecordNote
from apportion_identity.limits import (
    FINDING_ADVICE_CHARS_MAX,
    FINDING_NAME_CHARS_MAX,
    FINDING_VALUE_CHARS_MAX,
    FINDINGS_MAX,
    INSPECTION_ADVICE_MAX,
)


class InspectionRpcs(IdentityServiceServicer):
    """The RPC that shows what a mail from a domain would be judged on."""

    _inspect_domain: InspectDomain
    _inspection_rate: RateLimiter

    async def InspectDomain(self, request: pb.InspectDomainRequest, context: Any) -> pb.InspectDomainResponse:
        """Look at a domain. RESOURCE_EXHAUSTED INSPECTION_RATE_LIMITED."""
        self._inspection_rate.take(current_caller().subject, reason="INSPECTION_RATE_LIMITED")
        return _inspection_message(await self._inspect_domain(request.domain, request.selector))


def _inspection_message(found: Inspection) -> pb.InspectDomainResponse:
    """An inspection as the contract tells it; what is too long for it is cut."""
    return pb.InspectDomainResponse(
        domain=found.domain,
        organizational_domain=found.organizational_domain,
        claimable=found.is_claimable,
        reason=found.reason,
        records=[_finding(record) for record in found.records[:FINDINGS_MAX]],
        advice=[_cut(text, FINDING_ADVICE_CHARS_MAX) for text in found.advice[:INSPECTION_ADVICE_MAX]],
    )


def _finding(record: RecordNote) -> pb.RecordFinding:
    return pb.RecordFinding(
        name=_cut(record.name, FINDING_NAME_CHARS_MAX),
        kind=record.kind,
        value=_cut(record.value, FINDING_VALUE_CHARS_MAX),
        state=record.state,
        advice=_cut(record.advice, FINDING_ADVICE_CHARS_MAX),
    )


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
