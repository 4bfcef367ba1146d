"""Creating and reading organisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from apportion_common.db.head import current_revision, next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from apportion_common.money import minor_unit
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.events import org_created, org_to_message
from apportion_orgs.app.tree_locks import TreeLocks
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.organizations import Org
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.hierarchy import HierarchyStore
from apportion_orgs.store.mappings import MappingStore
from apportion_orgs.store.organizations import OrganizationStore

Answer = TypeVar("Answer", bound=Message)

DEFAULT_CURRENCY: Final = "AUD"
DEFAULT_MAPPING_AT_US: Final = 0
"""1970-01-01: a root is on its default account from before anything that could be charged."""


@dataclass(frozen=True, slots=True)
class NewOrg:
    """An organisation to create; without an id it gets one."""

    org_id: UUID | None
    legal_name: str
    slug: str
    billing_email: str
    default_timezone: str
    tax_id: str
    visibility: str
    parent_org_id: UUID | None
    currency: str
    owner_user_id: UUID | None
    owner_email: str

    def org(self) -> Org:
        """Return the organisation under its id, or under a new one."""
        return Org(
            self.org_id or uuid7(),
            self.legal_name,
            self.slug,
            self.billing_email,
            self.default_timezone,
            self.tax_id,
            self.visibility,
            self.parent_org_id,
        )


class CreatedOrg(NamedTuple):
    """An organisation, and the revision that it is known from."""

    org: Org
    revision: int


class Organizations:
    """The organisations of the platform."""

    def __init__(
        self,
        database: Database,
        orgs: OrganizationStore,
        hierarchy: HierarchyStore,
        accounts: BillingAccountStore,
        mappings: MappingStore,
    ) -> None:
        """Work on these stores."""
        self._database = database
        self._orgs = orgs
        self._hierarchy = hierarchy
        self._accounts = accounts
        self._mappings = mappings
        self._locks = TreeLocks(hierarchy)

    async def create(self, mutation: Mutation[CreatedOrg, Answer], new: NewOrg) -> Answer:
        """Create an organisation; return it and its revision.

        A root gets a default billing account, on which it is from 1970 on; a child has no mapping until MapOrg. An id
        that the very same organisation has already changes nothing, and returns the newest revision. Raises
        AlreadyExists ORG_EXISTS or ORG_SLUG_TAKEN, NotFound ORG_NOT_FOUND (parent), FailedPrecondition DEPTH_EXCEEDED,
        InvalidArgument TIMEZONE_UNKNOWN or CURRENCY_UNKNOWN, Unavailable HIERARCHY_BUSY.
        """

        async def work(tx: Transaction) -> CreatedOrg:
            _check_timezone(new.default_timezone)
            minor_unit(new.currency)
            org = new.org()
            if org.parent_org_id is not None:
                await self._locks.lock_for_leaf(tx, org.parent_org_id)
            if await self._is_there(tx.connection, org, new.currency):
                return CreatedOrg(org, await current_revision(tx.connection))
            revision = await next_revision(tx)
            if not await self._orgs.add(tx, org, revision):
                # Somebody else was faster: now it is seen who it is.
                await self._is_there(tx.connection, org, new.currency)
                return CreatedOrg(org, revision)
            await self._hierarchy.add_leaf(tx, org.org_id, org.parent_org_id)
            if org.parent_org_id is None:
                await self._add_default_account(tx, org, new.currency, revision)
            await tx.audit("org.create", f"organization/{org.org_id}", org_id=org.org_id, after=org_to_message(org))
            created = org_created(org, new.owner_user_id, new.owner_email)
            await tx.publish("orgs.org.created", created, org_id=org.org_id)
            return CreatedOrg(org, revision)

        return await run_mutation(self._database, mutation, work)

    async def get(self, org_id: UUID) -> Org:
        """Return the organisation with the id. Raises NotFound ORG_NOT_FOUND."""
        async with self._database.read() as connection:
            org = await self._orgs.find(connection, org_id)
        if org is None:
            raise errors.org_not_found()
        return org

    async def page(
        self, parent_org_id: UUID | None, slug_prefix: str, search: str, after: str | None, limit: int
    ) -> Sequence[Org]:
        """Return organisations by slug; empty texts and None select all. Raises NotFound ORG_NOT_FOUND (parent)."""
        async with self._database.read(snapshot=True) as connection:
            if parent_org_id is not None and await self._orgs.find(connection, parent_org_id) is None:
                raise errors.org_not_found("parent_org_id")
            return await self._orgs.page(connection, parent_org_id, slug_prefix, search, after, limit)

    async def _is_there(self, connection: AsyncConnection, org: Org, currency: str) -> bool:
        """Return whether the very same organisation is there; raise when its id or slug belongs to another."""
        found = await self._orgs.find(connection, org.org_id)
        if found is not None:
            account = await self._accounts.find_default(connection, org.org_id)
            if found != org or (account is not None and account.currency != currency):
                raise errors.org_exists()
            return True
        if await self._orgs.is_slug_taken(connection, org.slug):
            raise errors.org_slug_taken()
        return False

    async def _add_default_account(self, tx: Transaction, org: Org, currency: str, revision: int) -> None:
        """Add the account that a root has from its beginning, which absorbs what it uses."""
        account = BillingAccount(uuid7(), org.org_id, org.legal_name, currency, is_default=True)
        await self._accounts.add(tx, account, revision)
        await self._mappings.add(
            tx, org.org_id, account.account_id, Allocation.ABSORB, None, DEFAULT_MAPPING_AT_US, revision
        )


def _check_timezone(name: str) -> None:
    """Accept an IANA name or nothing."""
    if not name:
        return
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # Not found, an absolute path, the name of a folder.
        raise errors.timezone_unknown() from None
