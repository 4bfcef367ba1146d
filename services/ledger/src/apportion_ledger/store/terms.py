"""Partners, tiers, rates and partners of record: append-only rows, each under a revision."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.scaled import scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import PERCENT_PLACES, from_scaled
from apportion_common.instants import (
    datetime_of_us,
    optional_datetime_of_us,
    optional_us_of_datetime,
    us_of_datetime,
)
from psycopg import errors as pg_errors
from sqlalchemy import Row, exc, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.attribution import (
    AttributionIndex,
    MatchKind,
    PartnerTierRow,
    PorRow,
    PorStatus,
    PorSubject,
    RateRow,
)
from apportion_ledger.domain.partners import Partner, PartnerOfRecord
from apportion_ledger.domain.terms import CommissionTerms, PayoutTerms
from apportion_ledger.store.tables import (
    commission_rate,
    partner,
    partner_of_record,
    partner_of_record_version,
    partner_tier,
)

HELD_PARTNERS: Final = """
    SELECT p.partner_id FROM partner AS p WHERE p.status = 'held'
    UNION SELECT r.partner_id FROM partner_of_record AS r WHERE r.status = 'disputed'
    UNION SELECT d.partner_id FROM dispute AS d WHERE d.state = 'open'
"""
"""Partners whose payouts wait (spec 02 rules 2 and 6)."""

_PARTNERS: Final = text(
    f"SELECT p.partner_id, p.payout_currency, p.partner_id IN ({HELD_PARTNERS}) AS held FROM partner AS p"
)
_RATES: Final = text(
    f"SELECT partner_tier, match_kind, match_value, {scaled_sql('pct', PERCENT_PLACES)} AS pct, effective_at, revision"
    " FROM commission_rate"
)


_A_PARTNER_OF: Final = text("SELECT FROM partner_tier WHERE tier = :tier LIMIT 1")
_A_RATE_OF: Final = text("SELECT FROM commission_rate WHERE partner_tier = :tier LIMIT 1")


class TermsStore:
    """Terms, read whole or one by one, and added to."""

    async def load(self, connection: AsyncConnection, revision: int) -> CommissionTerms:
        """Return all terms; `revision` is the head's, read in the same transaction."""
        por, version = partner_of_record.c, partner_of_record_version.c
        columns = (
            por.por_id, por.subject_type, por.subject_id, por.partner_id, por.start_at, version.end_at, version.status,
            version.revision,
        )  # fmt: skip
        pors = await connection.execute(select(*columns).join_from(partner_of_record, partner_of_record_version))
        por_rows = [
            PorRow(
                row.por_id.bytes,
                PorSubject(row.subject_type),
                row.subject_id.bytes,
                row.partner_id.bytes,
                us_of_datetime(row.start_at),
                optional_us_of_datetime(row.end_at),
                PorStatus(row.status),
                row.revision,
            )
            for row in pors
        ]
        tiers = [
            PartnerTierRow(row.partner_id.bytes, row.tier, us_of_datetime(row.effective_at), row.revision)
            for row in await connection.execute(select(partner_tier))
        ]
        rates = [
            RateRow(
                row.partner_tier,
                MatchKind(row.match_kind),
                row.match_value,
                int(row.pct),
                us_of_datetime(row.effective_at),
                row.revision,
            )
            for row in await connection.execute(_RATES)
        ]
        partners = {
            row.partner_id.bytes: PayoutTerms(row.payout_currency, row.held)
            for row in await connection.execute(_PARTNERS)
        }
        return CommissionTerms(revision, AttributionIndex(por_rows, tiers, rates), partners)

    async def partner(self, connection: AsyncConnection, partner_id: UUID) -> Partner | None:
        """Return the partner with this id."""
        row = (await connection.execute(select(partner).where(partner.c.partner_id == partner_id))).one_or_none()
        return None if row is None else Partner(row.partner_id, row.name, row.payout_currency)

    async def add_partner(self, tx: Transaction, added: Partner, revision: int) -> bool:
        """Add a partner; return False when its id is taken."""
        statement = (
            pg_insert(partner)
            .values(
                partner_id=added.partner_id,
                name=added.name,
                payout_currency=added.payout_currency,
                revision=revision,
                created_by=_actor(tx),
            )
            .on_conflict_do_nothing()
            .returning(partner.c.partner_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def add_tier(self, tx: Transaction, partner_id: UUID, tier: str, effective_at_us: int, revision: int) -> None:
        """Add the tier that a partner has from an instant on."""
        await tx.execute(
            insert(partner_tier).values(
                partner_id=partner_id,
                revision=revision,
                tier=tier,
                effective_at=datetime_of_us(effective_at_us),
                created_by=_actor(tx),
            )
        )

    async def has_partner(self, connection: AsyncConnection, tier: str) -> bool:
        """Return whether some partner has the tier, at whatever time."""
        return (await connection.execute(_A_PARTNER_OF, {"tier": tier})).first() is not None

    async def has_rate(self, connection: AsyncConnection, tier: str) -> bool:
        """Return whether some rate is set for the tier, at whatever time."""
        return (await connection.execute(_A_RATE_OF, {"tier": tier})).first() is not None

    async def add_rate(
        self,
        tx: Transaction,
        rate_id: UUID,
        tier: str,
        kind: MatchKind,
        value: str,
        pct: int,
        effective_at_us: int,
        revision: int,
    ) -> None:
        """Add the rate that a tier has from an instant on; `pct` scaled by 4 places."""
        await tx.execute(
            insert(commission_rate).values(
                rate_id=rate_id,
                partner_tier=tier,
                match_kind=kind.value,
                match_value=value,
                pct=from_scaled(pct, PERCENT_PLACES),
                effective_at=datetime_of_us(effective_at_us),
                revision=revision,
                created_by=_actor(tx),
            )
        )

    async def add_por(self, tx: Transaction, added: PartnerOfRecord, revision: int) -> bool:
        """Add an assignment; return False when it overlaps another one of the subject."""
        try:
            async with tx.savepoint():
                await tx.execute(
                    insert(partner_of_record).values(
                        por_id=added.por_id,
                        subject_type=added.subject_kind.value,
                        subject_id=added.subject_id,
                        partner_id=added.partner_id,
                        start_at=datetime_of_us(added.start_at_us),
                        end_at=optional_datetime_of_us(added.end_at_us),
                        revision=revision,
                        created_by=_actor(tx),
                    )
                )
        except exc.IntegrityError as error:
            if isinstance(error.orig, pg_errors.ExclusionViolation):
                return False
            raise
        await self._add_version(tx, added.por_id, added.end_at_us, PorStatus.ACTIVE, revision)
        return True

    async def por(self, connection: AsyncConnection, por_id: UUID) -> PartnerOfRecord | None:
        """Return the assignment with this id, in its current state."""
        table = partner_of_record
        row = (await connection.execute(select(table).where(table.c.por_id == por_id))).one_or_none()
        return None if row is None else partner_of_record_of(row)

    async def end_por(self, tx: Transaction, por_id: UUID, end_at_us: int, revision: int) -> None:
        """End an open assignment; what was known before stays in its versions."""
        table = partner_of_record
        ended = (
            update(table).where(table.c.por_id == por_id).values(end_at=datetime_of_us(end_at_us), revision=revision)
        )
        await tx.execute(ended)
        await self._add_version(tx, por_id, end_at_us, PorStatus.ACTIVE, revision)

    async def _add_version(
        self, tx: Transaction, por_id: UUID, end_at_us: int | None, status: PorStatus, revision: int
    ) -> None:
        await tx.execute(
            insert(partner_of_record_version).values(
                por_id=por_id,
                revision=revision,
                end_at=optional_datetime_of_us(end_at_us),
                status=status.value,
                created_by=_actor(tx),
            )
        )


def _actor(tx: Transaction) -> str:
    return current_actor(tx.service).subject


def partner_of_record_of(row: Row[Any]) -> PartnerOfRecord:
    """Return the assignment of a row of the table partner_of_record."""
    return PartnerOfRecord(
        row.por_id,
        PorSubject(row.subject_type),
        row.subject_id,
        row.partner_id,
        us_of_datetime(row.start_at),
        optional_us_of_datetime(row.end_at),
    )
