"""Service accounts: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.pages import page_size, read_token, split_page, time_cursor

from apportion_identity.app.service_accounts import NewServiceAccount, ServiceAccounts
from apportion_identity.domain.service_accounts import ServiceAccount
from apportion_identity.rpc.messages import service_account_to_message


class ServiceAccountRpcs(IdentityServiceServicer):
    """The RPCs about programs that may ask for tokens."""

    _service_accounts: ServiceAccounts

    async def CreateServiceAccount(
        self, request: pb.CreateServiceAccountRequest, context: Any
    ) -> pb.CreateServiceAccountResponse:
        """Add a service account; its key is in this answer alone."""
        return await self._service_accounts.create(mutation(request, _created), request.name, request.roles)

    async def ListServiceAccounts(
        self, request: pb.ListServiceAccountsRequest, context: Any
    ) -> pb.ListServiceAccountsResponse:
        """List service accounts without their keys, newest first."""
        size, after = page_size(request.page_size), read_token(request.page_token, time_cursor)
        found = await self._service_accounts.page(after, size + 1, include_revoked=request.include_revoked)
        page, token = split_page(found, size, lambda account: (account.created_at, account.account_id))
        return pb.ListServiceAccountsResponse(accounts=map(service_account_to_message, page), next_page_token=token)

    async def RevokeServiceAccount(
        self, request: pb.RevokeServiceAccountRequest, context: Any
    ) -> pb.RevokeServiceAccountResponse:
        """End a service account."""
        account_id = id_of(request.account_id, "account_id")
        return await self._service_accounts.revoke(mutation(request, _revoked), account_id, request.reason)


def _created(made: NewServiceAccount) -> pb.CreateServiceAccountResponse:
    return pb.CreateServiceAccountResponse(account=service_account_to_message(made.account), key=made.key)


def _revoked(account: ServiceAccount) -> pb.RevokeServiceAccountResponse:
    return pb.RevokeServiceAccountResponse(account=service_account_to_message(account))
