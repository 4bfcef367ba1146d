"""RPCs of the catalog's SKUs."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.pages import page_size, read_token, split_page
from grpc.aio import ServicerContext

from apportion_pricing.app.skus import Skus
from apportion_pricing.rpc.messages import sku_from_message, sku_to_message

Context = ServicerContext[Any, Any]


class SkuRpcs(PricingServiceServicer):
    """Adds and lists SKUs."""

    skus: Skus

    async def CreateSku(self, request: pb.CreateSkuRequest, context: Context) -> pb.CreateSkuResponse:
        """Add a meterable capability. ALREADY_EXISTS SKU_EXISTS."""

        def created(revision: int) -> pb.CreateSkuResponse:
            return pb.CreateSkuResponse(sku=request.sku, revision=revision)

        return await self.skus.create(mutation(request, created), sku_from_message(request.sku))

    async def ListSkus(self, request: pb.ListSkusRequest, context: Context) -> pb.ListSkusResponse:
        """Return the catalog by SKU, a page at a time."""
        size = page_size(request.page_size)
        found = await self.skus.page(read_token(request.page_token, str) or "", size + 1)
        page, token = split_page(found, size, lambda sku: (sku.sku,))
        return pb.ListSkusResponse(skus=map(sku_to_message, page), next_page_token=token)
