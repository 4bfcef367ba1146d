"""Which organisation is billed on which account, from which instant on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.messages import mapping_message
from apportion_orgs.app.ports import AccountStore, MappingRecord, MappingStore, OrgStore
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.mappings import MappingRow, check_allocation
from apportion_orgs.domain.periods import period_of


@dataclass(frozen=True, slots=True)
class NewMapping:
    """An organisation to bill on an account from an instant (in microseconds) on; `percent` is scaled by 4 places."""

    org_id: UUID
    account_id: UUID
    allocation: Allocation
    percent: int | None
    effective_at_us: int


class Mappings:
    """The mappings; append-only."""

    def __init__(self, orgs: OrgStore, accounts: AccountStore, mappings: MappingStore) -> None:
        """Work on these stores."""
        self._orgs = orgs
        self._accounts = accounts
        self._mappings = mappings

    async def map_org(self, tx: Transaction, new: NewMapping) -> MappingRecord:
        """Bill an organisation on an account from an instant on, which may be in the past.

        Raises NotFound ORG_NOT_FOUND or BILLING_ACCOUNT_NOT_FOUND, AlreadyExists MAPPING_EXISTS, FailedPrecondition
        ALLOCATION_NOT_PERIOD_START, OutOfRange TIME_OUT_OF_RANGE.
        """
        period_of(new.effective_at_us)
        revision = await next_revision(tx)
        connection = tx.connection
        if await self._orgs.find(connection, new.org_id) is None:
            raise errors.org_not_found()
        if await self._accounts.find(connection, new.account_id) is None:
            raise errors.billing_account_not_found()
        rows = [mapping.row() for mapping in await self._mappings.of_org(connection, new.org_id)]
        if any(row.effective_at_us == new.effective_at_us for row in rows):
            raise errors.mapping_exists()
        check_allocation(rows, _row(new, revision))
        mapping = await self._mappings.add(
            tx, new.org_id, new.account_id, new.allocation, new.percent, new.effective_at_us, revision
        )
        message = mapping_message(mapping)
        await tx.audit(
            "billing_mapping.create", f"org_billing_mapping/{mapping.mapping_id}", org_id=new.org_id, after=message
        )
        await tx.publish("orgs.billing_mapping.created", message, org_id=new.org_id)
        return mapping

    async def page(
        self,
        connection: AsyncConnection,
        org_id: UUID | None,
        account_id: UUID | None,
        after: tuple[int, int, UUID] | None,
        most: int,
    ) -> Sequence[MappingRecord]:
        """Mappings of an organisation, an account or both, in the order in which they were declared."""
        return await self._mappings.page(connection, org_id, account_id, after, most)


def _row(new: NewMapping, revision: int) -> MappingRow:
    """The mapping as the domain rules take it; its id is not known yet and does not matter to them."""
    return MappingRow(
        b"", new.org_id.bytes, new.account_id.bytes, new.allocation, new.percent, new.effective_at_us, revision
    )
