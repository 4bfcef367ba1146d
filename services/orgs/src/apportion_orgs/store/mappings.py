"""org_billing_mapping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.scaled import percent_of_scaled, scaled_of_percent
from apportion_common.db.unit_of_work import Transaction
from apportion_common.ids import uuid7
from apportion_common.instants import DAY_US, datetime_of_us, us_of_datetime
from sqlalchemy import ColumnElement, Row, Select, func, insert, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.mappings import BillingMapping, ResolvedAccount
from apportion_orgs.store.tables import org_billing_mapping

# Per item one index probe each for the organisation, the mapping in force and the next one (LIMIT keeps the planner
# from hashing whole tables); a row of a later revision is not known yet. Instants come as days and microseconds, which
# intervals hold exactly (sessions are in UTC): integers are written and read far faster than timestamps.
_RESOLVE: Final = text(
    """
    SELECT coalesce(known.org, false), held.mapping_id::text, held.billing_account_id::text, a.currency,
        (extract(epoch FROM held.effective_at) * 1000000)::bigint,
        (extract(epoch FROM next.effective_at) * 1000000)::bigint
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:days AS bigint[]), CAST(:rests_us AS bigint[]))
        WITH ORDINALITY AS asked (org_id, day, rest_us, place)
    CROSS JOIN LATERAL (
        SELECT asked.org_id, asked.place, timestamptz '1970-01-01 00:00:00+00'
            + asked.day * interval '1 day' + asked.rest_us * interval '1 microsecond' AS at
    ) AS item
    LEFT JOIN LATERAL (
        SELECT true AS org FROM organization AS o
        WHERE o.org_id = item.org_id AND o.revision <= :revision LIMIT 1
    ) AS known ON true
    LEFT JOIN LATERAL (
        SELECT m.mapping_id, m.billing_account_id, m.effective_at FROM org_billing_mapping AS m
        WHERE m.org_id = item.org_id AND m.effective_at <= item.at AND m.revision <= :revision
        ORDER BY m.effective_at DESC LIMIT 1
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT m.effective_at FROM org_billing_mapping AS m
        WHERE m.org_id = item.org_id AND m.effective_at > item.at AND m.revision <= :revision
        ORDER BY m.effective_at LIMIT 1
    ) AS next ON true
    LEFT JOIN billing_account AS a ON a.billing_account_id = held.billing_account_id
    ORDER BY item.place
    """
)
_DECLARED: Final = (
    org_billing_mapping.c.revision,
    org_billing_mapping.c.declared_order,
    org_billing_mapping.c.mapping_id,
)
"""The order in which mappings were declared, within an account and across."""


class MappingStore:
    """Mappings in the database."""

    async def of_org(self, connection: AsyncConnection, org_id: UUID) -> Sequence[BillingMapping]:
        """Return every mapping of an organisation."""
        return await _read(connection, _select().where(org_billing_mapping.c.org_id == org_id))

    async def of_account(self, connection: AsyncConnection, account_id: UUID) -> Sequence[BillingMapping]:
        """Return every mapping to an account, in declared order."""
        return await _read(connection, _select().where(_is_of(account_id)))

    async def of_account_orgs(self, connection: AsyncConnection, account_id: UUID) -> Sequence[BillingMapping]:
        """Return every mapping of every organisation that is ever on the account, to whatever account."""
        on_account = select(org_billing_mapping.c.org_id).where(_is_of(account_id)).scalar_subquery()
        return await _read(connection, _select().where(org_billing_mapping.c.org_id.in_(on_account)))

    async def last_declared(self, connection: AsyncConnection, account_id: UUID) -> int:
        """Return the number of the account's last mapping in its declared order; it rises with each one. 0 for none."""
        last = select(func.coalesce(func.max(org_billing_mapping.c.declared_order), 0)).where(_is_of(account_id))
        return int((await connection.execute(last)).scalar_one())

    async def add(
        self,
        tx: Transaction,
        org_id: UUID,
        account_id: UUID,
        allocation: Allocation,
        percent: int | None,
        effective_at_us: int,
        revision: int,
    ) -> BillingMapping:
        """Add a mapping at the end of its account's declared order; the configuration's revision is locked."""
        declared_order = await self.last_declared(tx.connection, account_id) + 1
        mapping = BillingMapping(
            uuid7(), org_id, account_id, allocation, percent, effective_at_us, revision, declared_order
        )
        await tx.execute(
            insert(org_billing_mapping).values(
                mapping_id=mapping.mapping_id,
                org_id=org_id,
                billing_account_id=account_id,
                allocation=allocation.value,
                percent=percent_of_scaled(percent),
                effective_at=datetime_of_us(effective_at_us),
                revision=revision,
                declared_order=declared_order,
                created_by=current_actor(tx.service).subject,
            )
        )
        return mapping

    async def page(
        self,
        connection: AsyncConnection,
        org_id: UUID | None,
        account_id: UUID | None,
        after: tuple[int, int, UUID] | None,
        limit: int,
    ) -> Sequence[BillingMapping]:
        """Return mappings in declared order, after a cursor."""
        statement = _select().limit(limit)
        if org_id is not None:
            statement = statement.where(org_billing_mapping.c.org_id == org_id)
        if account_id is not None:
            statement = statement.where(_is_of(account_id))
        if after is not None:
            statement = statement.where(tuple_(*_DECLARED) > tuple_(*after))
        return await _read(connection, statement)

    async def resolve(
        self, connection: AsyncConnection, needs: Sequence[tuple[str, int]], revision: int
    ) -> Sequence[ResolvedAccount]:
        """Return each organisation's mapping in force at its instant, as known under a revision, in the given order.

        `needs` are ids, in text that has been checked, and instants in microseconds.
        """
        split = [divmod(at_us, DAY_US) for _, at_us in needs]
        parameters = {
            "org_ids": _array(org_id for org_id, _ in needs),
            "days": _array(day for day, _ in split),
            "rests_us": _array(rest_us for _, rest_us in split),
            "revision": revision,
        }
        return [ResolvedAccount(*row) for row in await connection.execute(_RESOLVE, parameters)]


def _array(values: Iterable[object]) -> str:
    """Return the text of an array of ids or integers, which need no quotes."""
    return f"{{{','.join(map(str, values))}}}"


def _is_of(account_id: UUID) -> ColumnElement[bool]:
    return org_billing_mapping.c.billing_account_id == account_id


def _select() -> Select[*tuple[Any, ...]]:
    columns = org_billing_mapping.c
    return select(
        columns.mapping_id,
        columns.org_id,
        columns.billing_account_id,
        columns.allocation,
        columns.percent,
        columns.effective_at,
        columns.revision,
        columns.declared_order,
    ).order_by(*_DECLARED)


async def _read(connection: AsyncConnection, statement: Select[*tuple[Any, ...]]) -> list[BillingMapping]:
    return [_mapping(row) for row in await connection.execute(statement)]


def _mapping(row: Row[*tuple[Any, ...]]) -> BillingMapping:
    return BillingMapping(
        row.mapping_id,
        row.org_id,
        row.billing_account_id,
        Allocation(row.allocation),
        scaled_of_percent(row.percent),
        us_of_datetime(row.effective_at),
        row.revision,
        row.declared_order,
    )
