"""The RPCs about billing accounts."""

from __future__ import annotations

from typing import Any

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of, optional_id
from apportion_common.names import NameMatch
from apportion_common.pages import int_of, page_size, read_token, split_page

from apportion_orgs.app.billing_accounts import BillingAccounts, CreatedAccount
from apportion_orgs.app.lookups import Lookups
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.rpc.messages import account_from_message, account_to_message


class BillingAccountRpcs(OrgsServiceServicer):
    """Creates, finds and lists billing accounts."""

    billing_accounts: BillingAccounts
    lookups: Lookups

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

    async def LookupBillingAccounts(
        self, request: pb.LookupBillingAccountsRequest, context: Any
    ) -> pb.LookupBillingAccountsResponse:
        """Return the accounts of each name or id, and what comes nearest to one that no account has."""
        matches = await self.lookups.accounts(request.names)
        return pb.LookupBillingAccountsResponse(matches=map(_match_to_message, matches))

    async def ListBillingAccounts(
        self, request: pb.ListBillingAccountsRequest, context: Any
    ) -> pb.ListBillingAccountsResponse:
        """List accounts as they were made. NOT_FOUND ORG_NOT_FOUND, INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, int_of)
        owner = optional_id(request.owner_org_id, "owner_org_id")
        found = await self.billing_accounts.page(owner, request.search, after, size + 1)
        page, token = split_page(found, size, lambda row: (row[0],))
        accounts = [account_to_message(account) for _, account in page]
        return pb.ListBillingAccountsResponse(accounts=accounts, next_page_token=token)


def _match_to_message(match: NameMatch[BillingAccount]) -> pb.BillingAccountMatch:
    return pb.BillingAccountMatch(name=match.name, accounts=map(account_to_message, match.found), nearest=match.nearest)


def _created(created: CreatedAccount) -> pb.CreateBillingAccountResponse:
    return pb.CreateBillingAccountResponse(
        billing_account=account_to_message(created.account), revision=created.revision
    )
