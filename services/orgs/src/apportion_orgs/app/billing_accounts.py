"""Billing accounts: where the bills of a group come together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from apportion_common.db.head import current_revision, next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.money import minor_unit
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.organizations import OrganizationStore

Answer = TypeVar("Answer", bound=Message)


class CreatedAccount(NamedTuple):
    """A billing account, and the revision that it is known from."""

    account: BillingAccount
    revision: int


class BillingAccounts:
    """The accounts that organisations can be billed on."""

    def __init__(self, database: Database, orgs: OrganizationStore, accounts: BillingAccountStore) -> None:
        """Work on these stores."""
        self._database = database
        self._orgs = orgs
        self._accounts = accounts

    async def create(self, mutation: Mutation[CreatedAccount, Answer], account: BillingAccount) -> Answer:
        """Add an account; return it and its revision. An id that the very same account has already changes nothing.

        Raises InvalidArgument CURRENCY_UNKNOWN, NotFound ORG_NOT_FOUND, AlreadyExists BILLING_ACCOUNT_EXISTS.
        """

        async def work(tx: Transaction) -> CreatedAccount:
            minor_unit(account.currency)
            if await self._orgs.find(tx.connection, account.owner_org_id) is None:
                raise errors.org_not_found("owner_org_id")
            if await self._is_there(tx.connection, account):
                return CreatedAccount(account, await current_revision(tx.connection))
            revision = await next_revision(tx)
            if not await self._accounts.add(tx, account, revision):
                # Somebody else was faster: now it is seen who it is.
                await self._is_there(tx.connection, account)
                return CreatedAccount(account, revision)
            await tx.audit(
                "billing_account.create",
                f"billing_account/{account.account_id}",
                org_id=account.owner_org_id,
                after=_audited(account),
            )
            return CreatedAccount(account, revision)

        return await run_mutation(self._database, mutation, work)

    async def get(self, account_id: UUID) -> BillingAccount:
        """Return the account with the id. Raises NotFound BILLING_ACCOUNT_NOT_FOUND."""
        async with self._database.read() as connection:
            account = await self._accounts.find(connection, account_id)
        if account is None:
            raise errors.billing_account_not_found()
        return account

    async def page(
        self, owner_org_id: UUID | None, search: str, after: int | None, limit: int
    ) -> Sequence[tuple[int, BillingAccount]]:
        """Return accounts with their number, by it. Raises NotFound ORG_NOT_FOUND (owner)."""
        async with self._database.read(snapshot=True) as connection:
            if owner_org_id is not None and await self._orgs.find(connection, owner_org_id) is None:
                raise errors.org_not_found("owner_org_id")
            return await self._accounts.page(connection, owner_org_id, search, after, limit)

    async def _is_there(self, connection: AsyncConnection, account: BillingAccount) -> bool:
        """Return whether the very same account is there; raise when its id belongs to another."""
        found = await self._accounts.find(connection, account.account_id)
        if found is not None and found != account:
            raise errors.billing_account_exists()
        return found is not None


def _audited(account: BillingAccount) -> dict[str, object]:
    """Return what an audit row says of an account."""
    return {
        "billing_account_id": account.account_id,
        "owner_org_id": account.owner_org_id,
        "name": account.name,
        "currency": account.currency,
    }
