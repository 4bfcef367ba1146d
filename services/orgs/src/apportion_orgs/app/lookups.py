"""Names of organisations and billing accounts: whose they are, and what comes nearest to one that nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apportion_common.caller import FINANCE, Caller, current_caller, org_forbidden
from apportion_common.db.unit_of_work import Database
from apportion_common.names import NEAREST_MAX, NameMatch, look_up
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.billing_accounts import BillingAccount, NamedAccount, accounts_meant
from apportion_orgs.domain.organizations import Org
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.hierarchy import HierarchyStore
from apportion_orgs.store.organizations import OrganizationStore


class Lookups:
    """Finds organisations and accounts by their names, as far as the caller may see them."""

    def __init__(
        self, database: Database, orgs: OrganizationStore, hierarchy: HierarchyStore, accounts: BillingAccountStore
    ) -> None:
        """Read these stores."""
        self._database = database
        self._orgs = orgs
        self._hierarchy = hierarchy
        self._accounts = accounts

    async def orgs(self, names: Sequence[str]) -> list[NameMatch[Org]]:
        """Return the organisation of each slug or id. Raises PermissionDenied ORG_FORBIDDEN for who has none."""
        own = _only_org_of(current_caller())
        async with self._database.read(snapshot=True) as connection:
            return await look_up(names, _Orgs(self._orgs, self._hierarchy, connection, own))

    async def accounts(self, names: Sequence[str]) -> list[NameMatch[BillingAccount]]:
        """Return the accounts of each name or id. Raises PermissionDenied ORG_FORBIDDEN for who has no organisation."""
        own = _only_org_of(current_caller())
        async with self._database.read(snapshot=True) as connection:
            found = await look_up(names, _Accounts(self._accounts, connection, own))
        return [NameMatch(match.name, accounts_meant(match.found), match.nearest) for match in found]


def _only_org_of(caller: Caller) -> UUID | None:
    """Return the organisation that a caller sees alone; None for who sees all."""
    if caller.is_platform or caller.has_role(FINANCE):
        return None
    if caller.org_id is None:
        raise org_forbidden()
    return caller.org_id


@dataclass(frozen=True, slots=True)
class _Orgs:
    """Organisations that are found by slug; only `own` and what is below it are to be seen, if it is given."""

    store: OrganizationStore
    hierarchy: HierarchyStore
    connection: AsyncConnection
    own: UUID | None

    async def by_ids(self, ids: Sequence[UUID]) -> Sequence[Org]:
        return await self._seen(await self.store.by_ids(self.connection, ids))

    async def by_names(self, names: Sequence[str]) -> Sequence[Org]:
        return await self._seen(await self.store.by_slugs(self.connection, names))

    async def names_near(self, name: str) -> Sequence[str]:
        if self.own is not None:
            return [org.slug for org in await self.store.by_ids(self.connection, [self.own])]
        by_name = await self.store.slugs_of_legal_name(self.connection, name, NEAREST_MAX)
        return by_name or await self.store.slugs_near(self.connection, name)

    def id_of(self, one: Org) -> UUID:
        return one.org_id

    def names_of(self, one: Org) -> Sequence[str]:
        return (one.slug,)

    async def _seen(self, found: Sequence[Org]) -> Sequence[Org]:
        if self.own is None:
            return found
        own = await self.hierarchy.those_below(self.connection, self.own, [org.org_id for org in found])
        return [org for org in found if org.org_id in own]


@dataclass(frozen=True, slots=True)
class _Accounts:
    """Billing accounts; `own` is the organisation whose accounts alone are to be seen."""

    store: BillingAccountStore
    connection: AsyncConnection
    own: UUID | None

    async def by_ids(self, ids: Sequence[UUID]) -> Sequence[NamedAccount]:
        return await self.store.by_ids(self.connection, ids, self.own)

    async def by_names(self, names: Sequence[str]) -> Sequence[NamedAccount]:
        return await self.store.by_names(self.connection, names, self.own)

    async def names_near(self, name: str) -> Sequence[str]:
        return () if self.own is not None else await self.store.names_near(self.connection, name)

    def id_of(self, one: NamedAccount) -> UUID:
        return one.account.account_id

    def names_of(self, one: NamedAccount) -> Sequence[str]:
        return one.names
