"""The RPCs about who is billed on which account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import optional_id
from apportion_common.ids import parse_uuid
from apportion_common.pages import int_of, page_size, read_token, split_page

from apportion_orgs.app.events import mapping_to_message
from apportion_orgs.app.mappings import Mappings
from apportion_orgs.domain.mappings import BillingMapping
from apportion_orgs.rpc.messages import needs_from_message, new_mapping_from_message, resolved_to_message


class MappingRpcs(OrgsServiceServicer):
    """Adds, lists and resolves mappings."""

    mappings: Mappings

    async def MapOrg(self, request: pb.MapOrgRequest, context: Any) -> pb.MapOrgResponse:
        """Bill an organisation on an account from an instant on."""
        return await self.mappings.map_org(mutation(request, _mapped), new_mapping_from_message(request))

    async def ListMappings(self, request: pb.ListMappingsRequest, context: Any) -> pb.ListMappingsResponse:
        """List the mappings of an organisation or an account, in declared order."""
        size, after = page_size(request.page_size), read_token(request.page_token, _declared)
        org_id = optional_id(request.org_id, "org_id")
        account_id = optional_id(request.billing_account_id, "billing_account_id")
        found = await self.mappings.page(org_id, account_id, after, size + 1)
        page, token = split_page(found, size, lambda row: (row.revision, row.declared_order, row.mapping_id))
        return pb.ListMappingsResponse(mappings=map(mapping_to_message, page), next_page_token=token)

    async def ResolveBillingAccounts(
        self, request: pb.ResolveBillingAccountsRequest, context: Any
    ) -> pb.ResolveBillingAccountsResponse:
        """Return which account each organisation is billed on at its instant, and until when that holds."""
        revision, found = await self.mappings.resolve(needs_from_message(request), request.as_of_revision)
        results = [resolved_to_message(item.org_id, answer) for item, answer in zip(request.items, found, strict=True)]
        return pb.ResolveBillingAccountsResponse(revision=revision, results=results)


def _mapped(mapping: BillingMapping) -> pb.MapOrgResponse:
    return pb.MapOrgResponse(mapping=mapping_to_message(mapping), revision=mapping.revision)


def _declared(revision: str, order: str, mapping_id: str) -> tuple[int, int, UUID]:
    return int_of(revision), int_of(order), parse_uuid(mapping_id)
