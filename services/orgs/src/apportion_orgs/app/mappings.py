"""Which organisation is billed on which account, from which instant on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from apportion_common.db.head import current_revision, next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.periods import period_of
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.events import mapping_to_message
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.mappings import BillingMapping, MappingRow, ResolvedAccount, check_allocation
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.mappings import MappingStore
from apportion_orgs.store.organizations import OrganizationStore

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class NewMapping:
    """An organisation to bill on an account from an instant (in microseconds) on; `percent` is scaled by 4 places."""

    org_id: UUID
    account_id: UUID
    allocation: Allocation
    percent: int | None
    effective_at_us: int

    def row(self, revision: int) -> MappingRow:
        """Return the row as the rules take it; its id is not known yet and does not matter to them."""
        return MappingRow(
            b"",
            self.org_id.bytes,
            self.account_id.bytes,
            self.allocation,
            self.percent,
            self.effective_at_us,
            revision,
        )


class Mappings:
    """The mappings; append-only."""

    def __init__(
        self, database: Database, orgs: OrganizationStore, accounts: BillingAccountStore, mappings: MappingStore
    ) -> None:
        """Work on these stores."""
        self._database = database
        self._orgs = orgs
        self._accounts = accounts
        self._mappings = mappings

    async def map_org(self, mutation: Mutation[BillingMapping, Answer], new: NewMapping) -> Answer:
        """Bill an organisation on an account from an instant on, which may be in the past.

        Raises NotFound ORG_NOT_FOUND or BILLING_ACCOUNT_NOT_FOUND, AlreadyExists MAPPING_EXISTS, FailedPrecondition
        ALLOCATION_NOT_PERIOD_START, OutOfRange TIME_OUT_OF_RANGE.
        """

        async def work(tx: Transaction) -> BillingMapping:
            period_of(new.effective_at_us)
            revision = await next_revision(tx)
            await self._check(tx.connection, new, revision)
            mapping = await self._mappings.add(
                tx, new.org_id, new.account_id, new.allocation, new.percent, new.effective_at_us, revision
            )
            message = mapping_to_message(mapping)
            await tx.audit(
                "billing_mapping.create", f"org_billing_mapping/{mapping.mapping_id}", org_id=new.org_id, after=message
            )
            await tx.publish("orgs.billing_mapping.created", message, org_id=new.org_id)
            return mapping

        return await run_mutation(self._database, mutation, work)

    async def page(
        self, org_id: UUID | None, account_id: UUID | None, after: tuple[int, int, UUID] | None, limit: int
    ) -> Sequence[BillingMapping]:
        """Return mappings of an organisation, an account or both, in the order in which they were declared.

        Raises NotFound ORG_NOT_FOUND, BILLING_ACCOUNT_NOT_FOUND.
        """
        async with self._database.read(snapshot=True) as connection:
            if org_id is not None and await self._orgs.find(connection, org_id) is None:
                raise errors.org_not_found()
            if account_id is not None and await self._accounts.find(connection, account_id) is None:
                raise errors.billing_account_not_found()
            return await self._mappings.page(connection, org_id, account_id, after, limit)

    async def resolve(
        self, needs: Sequence[tuple[str, int]], as_of_revision: int
    ) -> tuple[int, Sequence[ResolvedAccount]]:
        """Return which account each organisation is billed on at its instant; pricing asks before every batch.

        Every answer is from one snapshot and from the revision that is returned with them; without needs there is the
        revision alone. `needs` are ids, in text that has been checked, and instants in microseconds. `as_of_revision`
        0 means the newest. Raises OutOfRange REVISION_UNKNOWN for one that is not written yet.
        """
        async with self._database.read(snapshot=True) as connection:
            newest = await current_revision(connection)
            if as_of_revision > newest:
                raise errors.revision_unknown(newest)
            revision = as_of_revision or newest
            if not needs:
                return revision, ()
            return revision, await self._mappings.resolve(connection, needs, revision)

    async def _check(self, connection: AsyncConnection, new: NewMapping, revision: int) -> None:
        """Raise unless the organisation may be mapped so; the configuration's revision is locked."""
        if await self._orgs.find(connection, new.org_id) is None:
            raise errors.org_not_found()
        if await self._accounts.find(connection, new.account_id) is None:
            raise errors.billing_account_not_found()
        rows = [mapping.row() for mapping in await self._mappings.of_org(connection, new.org_id)]
        if any(row.effective_at_us == new.effective_at_us for row in rows):
            raise errors.mapping_exists()
        check_allocation(rows, new.row(revision))
