"""Reopening a closed period, as long as no invoice of it is final (spec 08 choice 19).

Invoices are this service's, the lanes are metering's, which asks nobody: so the operator asks here. Under the locks of
all accounts concerned the reopening is registered, with a number; from then on no invoice of the period becomes final
until the ledger says that it has seen that number and a close after it. Only then is metering told. Whoever dies in
between leaves a period that nobody invoices; the same call again goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from apportion_common.db.head import held_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.periods import parse_period
from google.protobuf.message import Message

from apportion_orgs import errors
from apportion_orgs.app.edges import MeteringClient
from apportion_orgs.domain.invoices import DRAFT
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.invoices import InvoiceStore
from apportion_orgs.store.period_reopenings import PeriodReopeningStore

Answer = TypeVar("Answer", bound=Message)
Reopenings = Sequence[tuple[UUID, int]]
"""Organisations, each with the number of its reopening."""


class PeriodReopenings:
    """The use case behind ReopenPeriod."""

    def __init__(
        self,
        database: Database,
        accounts: BillingAccountStore,
        invoices: InvoiceStore,
        reopenings: PeriodReopeningStore,
        metering: MeteringClient,
    ) -> None:
        """Work on these stores, and tell metering."""
        self._database = database
        self._accounts = accounts
        self._invoices = invoices
        self._reopenings = reopenings
        self._metering = metering

    async def reopen(
        self,
        mutation: Mutation[Reopenings, Answer],
        period: str,
        org_ids: Sequence[UUID],
        reason: str,
        reopenings_of: Callable[[Answer], Reopenings],
    ) -> Answer:
        """Open a period again for organisations; `reopenings_of` reads an answer, which may be that of an earlier call.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition PERIOD_FINAL, OutOfRange TIME_OUT_OF_RANGE, Unavailable when
        metering does not answer.
        """
        parse_period(period)

        async def work(tx: Transaction) -> Reopenings:
            # No mapping is declared meanwhile, which could bring another account in.
            await held_revision(tx)
            if await self._reopenings.is_any_unknown(tx, org_ids):
                raise errors.org_not_found("org_ids")
            for account_id in await self._reopenings.accounts_of(tx, org_ids):
                await self._accounts.lock(tx, account_id)
                for head in await self._invoices.of_account(tx.connection, account_id):
                    if head.period == period and head.state != DRAFT:
                        raise errors.period_final(period, head.number)
            reopenings = await self._reopenings.add(tx, period, org_ids, reason)
            after = {"period": period, "reopenings": {str(org): number for org, number in reopenings}, "reason": reason}
            await tx.audit("period.reopen", f"period/{period}", after=after)
            return reopenings

        answer = await run_mutation(self._database, mutation, work)
        await self._metering.reopen_period(period, reopenings_of(answer), reason)
        return answer
