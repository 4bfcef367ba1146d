"""Billing accounts and who is billed on them: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_orgs.app.billing_accounts import BillingAccounts
from apportion_orgs.app.mappings import Mappings
from apportion_orgs.app.messages import account_message, mapping_message, resolved_message
from apportion_orgs.app.resolve import ResolveAccounts
from apportion_orgs.rpc.mapping import id_of, needs_of, new_account, new_mapping, optional_id_of


class BillingRpcs(OrgsServiceServicer):
    """The RPCs about billing accounts and mappings."""

    _database: Database
    _billing_accounts: BillingAccounts
    _mappings: Mappings
    _resolve: ResolveAccounts

    async def CreateBillingAccount(
        self, request: pb.CreateBillingAccountRequest, context: Any
    ) -> pb.CreateBillingAccountResponse:
        """Add an account that organisations can be billed on."""
        account = new_account(request)

        async def work(tx: Transaction) -> pb.CreateBillingAccountResponse:
            created, revision = await self._billing_accounts.create(tx, account)
            return pb.CreateBillingAccountResponse(billing_account=account_message(created), revision=revision)

        return await run_mutation(
            self._database, "CreateBillingAccount", request, pb.CreateBillingAccountResponse, work
        )

    async def GetBillingAccount(
        self, request: pb.GetBillingAccountRequest, context: Any
    ) -> pb.GetBillingAccountResponse:
        """Read an account."""
        account_id = id_of(request.billing_account_id, "billing_account_id")
        async with self._database.read() as connection:
            account = await self._billing_accounts.get(connection, account_id)
        return pb.GetBillingAccountResponse(billing_account=account_message(account))

    async def MapOrg(self, request: pb.MapOrgRequest, context: Any) -> pb.MapOrgResponse:
        """Bill an organisation on an account from an instant on."""
        new = new_mapping(request)

        async def work(tx: Transaction) -> pb.MapOrgResponse:
            mapping = await self._mappings.map_org(tx, new)
            return pb.MapOrgResponse(mapping=mapping_message(mapping), revision=mapping.revision)

        return await run_mutation(self._database, "MapOrg", request, pb.MapOrgResponse, work)

    async def ListMappings(self, request: pb.ListMappingsRequest, context: Any) -> pb.ListMappingsResponse:
        """List the mappings of an organisation or an account, in declared order."""
        size = page_size(request.page_size)
        org_id = optional_id_of(request.org_id, "org_id")
        account_id = optional_id_of(request.billing_account_id, "billing_account_id")
        after = read_token(request.page_token, lambda revision, order, key: (int(revision), int(order), UUID(key)))
        async with self._database.read() as connection:
            found = await self._mappings.page(connection, org_id, account_id, after, size + 1)
        page, token = split_page(found, size, lambda row: (row.revision, row.declared_order, row.mapping_id))
        return pb.ListMappingsResponse(mappings=map(mapping_message, page), next_page_token=token)

    async def ResolveBillingAccounts(
        self, request: pb.ResolveBillingAccountsRequest, context: Any
    ) -> pb.ResolveBillingAccountsResponse:
        """Tell which account each organisation is billed on at its instant, and until when that holds."""
        revision, found = await self._resolve.resolve(needs_of(request.items), request.as_of_revision)
        results = [resolved_message(item.org_id, answer) for item, answer in zip(request.items, found, strict=True)]
        return pb.ResolveBillingAccountsResponse(revision=revision, results=results)
