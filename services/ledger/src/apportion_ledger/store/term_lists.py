"""Partners, tiers, rates and partners of record as lists: what was ever set, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.names import contains, is_called, neighbours
from apportion_common.db.scaled import scaled_of_percent
from apportion_common.instants import datetime_of_us, us_of_datetime
from apportion_common.names import MATCHES_MAX
from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.attribution import MatchKind, PorSubject
from apportion_ledger.domain.partners import Partner, PartnerOfRecord, PartnerTier, RateOfTier, RateQuery
from apportion_ledger.store.tables import commission_rate, partner, partner_of_record, partner_tier
from apportion_ledger.store.terms import partner_of_record_of

_PARTNER: Final = (partner.c.partner_id, partner.c.name, partner.c.payout_currency)


class TermListStore:
    """What was ever set, read and never changed."""

    async def partners_by_ids(self, connection: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Partner]:
        """Return the partners with these ids."""
        return await _partners(connection, select(*_PARTNER).where(partner.c.partner_id.in_(ids)))

    async def partners_by_names(self, connection: AsyncConnection, names: Sequence[str]) -> Sequence[Partner]:
        """Return the partners with these names, in either case, of one name no more than can be shown."""
        place = func.row_number().over(partition_by=func.lower(partner.c.name), order_by=partner.c.partner_id)
        numbered = select(*_PARTNER, place.label("place")).where(is_called(partner.c.name, names)).subquery()
        statement = select(numbered).where(numbered.c.place <= MATCHES_MAX).order_by(numbered.c.place)
        return await _partners(connection, statement)

    async def partner_names_near(self, connection: AsyncConnection, name: str) -> Sequence[str]:
        """Return names that stand beside a name in their order."""
        return await neighbours(connection, partner.c.name, name)

    async def partners(
        self, connection: AsyncConnection, search: str, after: UUID | None, limit: int
    ) -> Sequence[Partner]:
        """Return partners by id, after an id; with a text in their name, or all."""
        statement = select(*_PARTNER).order_by(partner.c.partner_id).limit(limit)
        if search:
            statement = statement.where(contains(partner.c.name, search))
        if after is not None:
            statement = statement.where(partner.c.partner_id > after)
        return await _partners(connection, statement)

    async def tier_at(self, connection: AsyncConnection, partner_id: UUID, at_us: int) -> str:
        """Return the tier of a partner at an instant; empty for none yet."""
        columns = partner_tier.c
        statement = (
            select(columns.tier)
            .where(columns.partner_id == partner_id, columns.effective_at <= datetime_of_us(at_us))
            .order_by(columns.effective_at.desc(), columns.revision.desc())
            .limit(1)
        )
        return (await connection.execute(statement)).scalar_one_or_none() or ""

    async def tiers(
        self, connection: AsyncConnection, partner_id: UUID | None, after: tuple[UUID, int] | None, limit: int
    ) -> Sequence[PartnerTier]:
        """Return the tiers of a partner, or of all, by partner and revision, after both."""
        columns = partner_tier.c
        order = (columns.partner_id, columns.revision)
        statement = select(*order, columns.tier, columns.effective_at).order_by(*order).limit(limit)
        if partner_id is not None:
            statement = statement.where(columns.partner_id == partner_id)
        if after is not None:
            statement = statement.where(tuple_(*order) > tuple_(*after))
        return [
            PartnerTier(row.partner_id, row.tier, us_of_datetime(row.effective_at), row.revision)
            for row in await connection.execute(statement)
        ]

    async def rates(
        self, connection: AsyncConnection, query: RateQuery, after: UUID | None, limit: int
    ) -> Sequence[RateOfTier]:
        """Return the rates that a query selects, by id, after an id."""
        columns = commission_rate.c
        conditions: list[ColumnElement[bool]] = []
        if query.tier:
            conditions.append(columns.partner_tier == query.tier)
        if query.match_kind is not None:
            conditions.append(columns.match_kind == query.match_kind.value)
        if query.match_value:
            conditions.append(columns.match_value == query.match_value)
        if after is not None:
            conditions.append(columns.rate_id > after)
        statement = select(commission_rate).where(*conditions).order_by(columns.rate_id).limit(limit)
        return [
            RateOfTier(
                row.rate_id,
                row.partner_tier,
                MatchKind(row.match_kind),
                row.match_value,
                scaled_of_percent(row.pct) or 0,
                us_of_datetime(row.effective_at),
                row.revision,
            )
            for row in await connection.execute(statement)
        ]

    async def partners_of_record(
        self,
        connection: AsyncConnection,
        subject: tuple[PorSubject, UUID] | None,
        partner_id: UUID | None,
        at_us: int | None,
        after: UUID | None,
        limit: int,
    ) -> Sequence[PartnerOfRecord]:
        """Return the assignments of a subject, of a partner and at an instant, by id, after an id; None selects all."""
        columns = partner_of_record.c
        conditions: list[ColumnElement[bool]] = []
        if subject is not None:
            conditions += [columns.subject_type == subject[0].value, columns.subject_id == subject[1]]
        if partner_id is not None:
            conditions.append(columns.partner_id == partner_id)
        if at_us is not None:
            at = datetime_of_us(at_us)
            conditions += [columns.start_at <= at, or_(columns.end_at.is_(None), columns.end_at > at)]
        if after is not None:
            conditions.append(columns.por_id > after)
        statement = select(partner_of_record).where(*conditions).order_by(columns.por_id).limit(limit)
        return [partner_of_record_of(row) for row in await connection.execute(statement)]


async def _partners(connection: AsyncConnection, statement: Select[Any]) -> Sequence[Partner]:
    return [Partner(row.partner_id, row.name, row.payout_currency) for row in await connection.execute(statement)]
