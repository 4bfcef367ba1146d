"""Billing accounts: where the bills of a group come together."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.head import current_revision, next_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.money import minor_unit
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.messages import account_message
from apportion_orgs.app.ports import AccountRecord, AccountStore, OrgStore


class BillingAccounts:
    """The accounts that organisations can be billed on."""

    def __init__(self, orgs: OrgStore, accounts: AccountStore) -> None:
        """Work on these stores."""
        self._orgs = orgs
        self._accounts = accounts

    async def create(self, tx: Transaction, account: AccountRecord) -> tuple[AccountRecord, int]:
        """Add an account; gives it and its revision. An id that the very same account has already changes nothing.

        Raises InvalidArgument CURRENCY_UNKNOWN, NotFound ORG_NOT_FOUND, AlreadyExists BILLING_ACCOUNT_EXISTS.
        """
        minor_unit(account.currency)
        if await self._orgs.find(tx.connection, account.owner_org_id) is None:
            raise errors.org_not_found("owner_org_id")
        if await self._same_account(tx.connection, account):
            return account, await current_revision(tx.connection, share=False)
        revision = await next_revision(tx)
        if not await self._accounts.add(tx, account, revision):
            # Somebody else was faster: now it is seen who it is.
            await self._same_account(tx.connection, account)
            return account, revision
        await tx.audit(
            "billing_account.create",
            f"billing_account/{account.account_id}",
            org_id=account.owner_org_id,
            after=account_message(account),
        )
        return account, revision

    async def get(self, connection: AsyncConnection, account_id: UUID) -> AccountRecord:
        """The account with the id. Raises NotFound BILLING_ACCOUNT_NOT_FOUND."""
        account = await self._accounts.find(connection, account_id)
        if account is None:
            raise errors.billing_account_not_found()
        return account

    async def _same_account(self, connection: AsyncConnection, account: AccountRecord) -> bool:
        """Whether the very same account is there; raises when its id belongs to another."""
        found = await self._accounts.find(connection, account.account_id)
        if found is not None and found != account:
            raise errors.billing_account_exists()
        return found is not None
