"""organization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.names import begins_with, contains, is_called, neighbours
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import Row, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.organizations import Org
from apportion_orgs.store.tables import organization

ORG_COLUMNS: Final = (
    organization.c.org_id,
    organization.c.legal_name,
    organization.c.org_slug,
    organization.c.billing_email,
    organization.c.default_timezone,
    organization.c.tax_id,
    organization.c.visibility,
    organization.c.parent_org_id,
)


def org_of(row: Row[*tuple[Any, ...]]) -> Org:
    """Return the organisation of a row that has ORG_COLUMNS."""
    return Org(
        row.org_id,
        row.legal_name,
        row.org_slug,
        row.billing_email or "",
        row.default_timezone or "",
        row.tax_id or "",
        row.visibility,
        row.parent_org_id,
    )


class OrganizationStore:
    """Organisations in the database."""

    async def find(self, connection: AsyncConnection, org_id: UUID) -> Org | None:
        """Return the organisation with the id."""
        row = (await connection.execute(select(*ORG_COLUMNS).where(organization.c.org_id == org_id))).first()
        return None if row is None else org_of(row)

    async def is_slug_taken(self, connection: AsyncConnection, slug: str) -> bool:
        """Return whether an organisation has the slug."""
        return bool((await connection.execute(select(exists().where(organization.c.org_slug == slug)))).scalar_one())

    async def by_ids(self, connection: AsyncConnection, org_ids: Sequence[UUID]) -> Sequence[Org]:
        """Return the organisations with these ids."""
        statement = select(*ORG_COLUMNS).where(organization.c.org_id.in_(org_ids))
        return [org_of(row) for row in await connection.execute(statement)]

    async def by_slugs(self, connection: AsyncConnection, slugs: Sequence[str]) -> Sequence[Org]:
        """Return the organisations with these slugs."""
        statement = select(*ORG_COLUMNS).where(organization.c.org_slug.in_(slugs))
        return [org_of(row) for row in await connection.execute(statement)]

    async def slugs_near(self, connection: AsyncConnection, name: str) -> Sequence[str]:
        """Return slugs that stand beside a name in their order."""
        return await neighbours(connection, organization.c.org_slug, name)

    async def slugs_of_legal_name(self, connection: AsyncConnection, name: str, limit: int) -> Sequence[str]:
        """Return the slugs of organisations with a legal name, in either case."""
        statement = select(organization.c.org_slug).where(is_called(organization.c.legal_name, [name]))
        return list((await connection.execute(statement.order_by(organization.c.org_slug).limit(limit))).scalars())

    async def page(
        self,
        connection: AsyncConnection,
        parent_org_id: UUID | None,
        slug_prefix: str,
        search: str,
        after: str | None,
        limit: int,
    ) -> Sequence[Org]:
        """Return organisations by slug, after a slug; empty texts and None select all."""
        columns = organization.c
        statement = select(*ORG_COLUMNS).order_by(columns.org_slug).limit(limit)
        if parent_org_id is not None:
            statement = statement.where(columns.parent_org_id == parent_org_id)
        if slug_prefix:
            statement = statement.where(begins_with(columns.org_slug, slug_prefix))
        if search:
            statement = statement.where(contains(columns.org_slug, search) | contains(columns.legal_name, search))
        if after is not None:
            statement = statement.where(columns.org_slug > after)
        return [org_of(row) for row in await connection.execute(statement)]

    async def add(self, tx: Transaction, org: Org, revision: int) -> bool:
        """Add an organisation; return False when its id or slug was taken meanwhile."""
        statement = (
            insert(organization)
            .values(
                org_id=org.org_id,
                legal_name=org.legal_name,
                org_slug=org.slug,
                billing_email=org.billing_email or None,
                default_timezone=org.default_timezone or None,
                tax_id=org.tax_id or None,
                visibility=org.visibility,
                parent_org_id=org.parent_org_id,
                revision=revision,
                created_by=current_actor(tx.service).subject,
            )
            .on_conflict_do_nothing()
            .returning(organization.c.org_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def set_parent(self, tx: Transaction, org_id: UUID, parent_org_id: UUID) -> None:
        """Change the parent pointer."""
        await tx.execute(
            update(organization).where(organization.c.org_id == org_id).values(parent_org_id=parent_org_id)
        )
