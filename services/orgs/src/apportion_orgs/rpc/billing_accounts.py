"""The RPCs about billing accounts."""

from __future__ import annotations

from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of

from apportion_orgs.app.billing_accounts import BillingAccounts, CreatedAccount
from apportion_orgs.rpc.messages import account_from_message, account_to_message


class BillingAccountRpcs(OrgsServiceServicer):
    """Creates and reads billing accounts."""

    billing_accounts: BillingAccounts

    async def CreateBillingAccount(
        self, request: pb.CreateBillingAccountRequest, context: Any
    ) -> pb.CreateBillingAccountResponse:
        """Add an account that organisations can be billed on."""
        return await self.billing_accounts.create(mutation(request, _created), account_from_message(request))

    async def GetBillingAccount(
        self, request: pb.GetBillingAccountRequest, context: Any
    ) -> pb.GetBillingAccountResponse:
        """Return an account."""
        account = await self.billing_accounts.get(id_of(request.billing_account_id, "billing_account_id"))
        return pb.GetBillingAccountResponse(billing_account=account_to_message(account))


def _created(created: CreatedAccount) -> pb.CreateBillingAccountResponse:
    return pb.CreateBillingAccountResponse(
        billing_account=account_to_message(created.account), revision=created.revision
    )
