"""billing_account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.names import contains, is_called, neighbours
from apportion_common.db.unit_of_work import Transaction
from apportion_common.names import MATCHES_MAX
from sqlalchemy import ColumnElement, Row, Select, func, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.billing_accounts import BillingAccount, NamedAccount
from apportion_orgs.limits import INVOICE_PAUSE_S
from apportion_orgs.store.tables import billing_account, organization

_MAY_PAUSE: Final = text("SELECT set_config('idle_in_transaction_session_timeout', :pause, true)")


class BillingAccountStore:
    """Billing accounts in the database."""

    async def find(self, connection: AsyncConnection, account_id: UUID) -> BillingAccount | None:
        """Return the account with the id."""
        return _account((await connection.execute(_select(billing_account.c.billing_account_id == account_id))).first())

    async def find_default(self, connection: AsyncConnection, owner_org_id: UUID) -> BillingAccount | None:
        """Return the account that an organisation got when it was made."""
        condition = (billing_account.c.owner_org_id == owner_org_id) & billing_account.c.is_default
        return _account((await connection.execute(_select(condition))).first())

    async def by_ids(
        self, connection: AsyncConnection, account_ids: Sequence[UUID], owner_org_id: UUID | None
    ) -> Sequence[NamedAccount]:
        """Return the accounts with these ids, all or those of one owner."""
        condition = billing_account.c.billing_account_id.in_(account_ids) & _of_owner(owner_org_id)
        return _named(await connection.execute(select(*_NAMED).select_from(_WITH_OWNER).where(condition)))

    async def by_names(
        self, connection: AsyncConnection, names: Sequence[str], owner_org_id: UUID | None
    ) -> Sequence[NamedAccount]:
        """Return the accounts with these names, in either case or as owner-slug/name, all or those of one owner.

        Of one name those come first that were not made with their owner, and there are no more than can be shown.
        """
        qualified = func.concat(organization.c.org_slug, "/", billing_account.c.name)
        columns = billing_account.c
        place = func.row_number().over(
            partition_by=func.lower(columns.name), order_by=(columns.is_default, columns.account_no)
        )
        numbered = (
            select(*_NAMED, place.label("place"))
            .select_from(_WITH_OWNER)
            .where((is_called(columns.name, names) | is_called(qualified, names)) & _of_owner(owner_org_id))
            .subquery()
        )
        statement = select(numbered).where(numbered.c.place <= MATCHES_MAX).order_by(numbered.c.place)
        return _named(await connection.execute(statement))

    async def names_near(self, connection: AsyncConnection, name: str) -> Sequence[str]:
        """Return names that stand beside a name in their order."""
        return await neighbours(connection, billing_account.c.name, name)

    async def page(
        self,
        connection: AsyncConnection,
        owner_org_id: UUID | None,
        search: str,
        after: int | None,
        limit: int,
    ) -> Sequence[tuple[int, BillingAccount]]:
        """Return accounts with their number, by it, after a number; None and an empty text select all."""
        columns = billing_account.c
        statement = select(*_COLUMNS, columns.account_no).order_by(columns.account_no).limit(limit)
        if owner_org_id is not None:
            statement = statement.where(columns.owner_org_id == owner_org_id)
        if search:
            statement = statement.where(contains(columns.name, search))
        if after is not None:
            statement = statement.where(columns.account_no > after)
        return [(row.account_no, _made(row)) for row in await connection.execute(statement)]

    async def lock(self, tx: Transaction, account_id: UUID) -> BillingAccount | None:
        """Return the account, locked until the transaction ends by whoever writes its invoices.

        Between two statements such a transaction packs or reads tens of thousands of lines, so it may be idle longer
        than others; the lock keeps nobody waiting but other invoices of the account.
        """
        await tx.execute(_MAY_PAUSE, {"pause": f"{INVOICE_PAUSE_S}s"})
        statement = _select(billing_account.c.billing_account_id == account_id).with_for_update(key_share=True)
        return _account((await tx.execute(statement)).first())

    async def add(self, tx: Transaction, account: BillingAccount, revision: int) -> bool:
        """Add an account; return False when its id was taken meanwhile."""
        statement = (
            insert(billing_account)
            .values(
                billing_account_id=account.account_id,
                owner_org_id=account.owner_org_id,
                name=account.name,
                currency=account.currency,
                is_default=account.is_default,
                revision=revision,
                created_by=current_actor(tx.service).subject,
            )
            .on_conflict_do_nothing()
            .returning(billing_account.c.billing_account_id)
        )
        return (await tx.execute(statement)).first() is not None


_COLUMNS: Final = (
    billing_account.c.billing_account_id,
    billing_account.c.owner_org_id,
    billing_account.c.name,
    billing_account.c.currency,
    billing_account.c.is_default,
)


def _select(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).where(condition)


_NAMED: Final = (*_COLUMNS, organization.c.org_slug)
_WITH_OWNER: Final = billing_account.join(organization, billing_account.c.owner_org_id == organization.c.org_id)


def _named(rows: Iterable[Row[*tuple[Any, ...]]]) -> Sequence[NamedAccount]:
    return [NamedAccount(_made(row), row.org_slug) for row in rows]


def _of_owner(owner_org_id: UUID | None) -> ColumnElement[bool]:
    return true() if owner_org_id is None else billing_account.c.owner_org_id == owner_org_id


def _account(row: Row[*tuple[Any, ...]] | None) -> BillingAccount | None:
    return None if row is None else _made(row)


def _made(row: Row[*tuple[Any, ...]]) -> BillingAccount:
    return BillingAccount(row.billing_account_id, row.owner_org_id, row.name, row.currency, row.is_default)
