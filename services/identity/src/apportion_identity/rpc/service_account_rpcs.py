"""Service accounts: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_identity.app.service_accounts import ServiceAccounts, account_message
from apportion_identity.rpc.values import id_of, place_of


class ServiceAccountRpcs(IdentityServiceServicer):
    """The RPCs about programs that may ask for tokens."""

    _database: Database
    _service_accounts: ServiceAccounts

    async def CreateServiceAccount(
        self, request: pb.CreateServiceAccountRequest, context: Any
    ) -> pb.CreateServiceAccountResponse:
        """Add a service account and give its key, once."""

        async def work(tx: Transaction) -> pb.CreateServiceAccountResponse:
            account, key = await self._service_accounts.create(tx, request.name, request.roles)
            return pb.CreateServiceAccountResponse(account=account_message(account), key=key)

        return await run_mutation(
            self._database, "CreateServiceAccount", request, pb.CreateServiceAccountResponse, work
        )

    async def ListServiceAccounts(
        self, request: pb.ListServiceAccountsRequest, context: Any
    ) -> pb.ListServiceAccountsResponse:
        """List service accounts without their keys, newest first."""
        size = page_size(request.page_size)
        after = read_token(request.page_token, place_of)
        async with self._database.read() as connection:
            found = await self._service_accounts.page(
                connection, include_revoked=request.include_revoked, after=after, limit=size + 1
            )
        page, token = split_page(found, size, lambda account: (account.created_at.isoformat(), account.account_id))
        return pb.ListServiceAccountsResponse(accounts=map(account_message, page), next_page_token=token)

    async def RevokeServiceAccount(
        self, request: pb.RevokeServiceAccountRequest, context: Any
    ) -> pb.RevokeServiceAccountResponse:
        """End a service account."""
        account_id = id_of(request.account_id, "account_id")

        async def work(tx: Transaction) -> pb.RevokeServiceAccountResponse:
            account = await self._service_accounts.revoke(tx, account_id, request.reason)
            return pb.RevokeServiceAccountResponse(account=account_message(account))

        return await run_mutation(
            self._database, "RevokeServiceAccount", request, pb.RevokeServiceAccountResponse, work
        )
