"""billing_account."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import ColumnElement, Row, Select, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.limits import INVOICE_PAUSE_S
from apportion_orgs.store.tables import billing_account

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


def _select(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    columns = billing_account.c
    return select(
        columns.billing_account_id, columns.owner_org_id, columns.name, columns.currency, columns.is_default
    ).where(condition)


def _account(row: Row[*tuple[Any, ...]] | None) -> BillingAccount | None:
    if row is None:
        return None
    return BillingAccount(row.billing_account_id, row.owner_org_id, row.name, row.currency, row.is_default)
