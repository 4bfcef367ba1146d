"""RPC of charges."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.fields import optional_id_bytes
from apportion_common.pages import int_of, page_size, read_token, split_page
from grpc.aio import ServicerContext

from apportion_pricing.app.charges import Charges
from apportion_pricing.domain.records import ChargeCursor
from apportion_pricing.rpc.messages import charge_to_message

Context = ServicerContext[Any, Any]


class ChargeRpcs(PricingServiceServicer):
    """Lists charges."""

    charges: Charges

    async def ListCharges(self, request: pb.ListChargesRequest, context: Context) -> pb.ListChargesResponse:
        """Return charges in the order in which they were rated. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size = page_size(request.page_size)
        org_id = optional_id_bytes(request.org_id, "org_id")
        found = await self.charges.page(org_id, read_token(request.page_token, _cursor), size + 1)
        charges, token = split_page(found, size, lambda charge: charge.cursor)
        return pb.ListChargesResponse(charges=[charge_to_message(charge) for charge in charges], next_page_token=token)


def _cursor(lane: str, entry_seq: str, kind: str, ordinal: str) -> ChargeCursor:
    """Return the cursor of a page token's texts. Raises ValueError for what no charge can have."""
    cursor = int_of(lane, bits=32), int_of(entry_seq), kind, int_of(ordinal, bits=32)
    if min(cursor[0], cursor[1], cursor[3]) < 0:
        raise ValueError(cursor)
    return cursor
