"""Written lines: listed, found by charge, and summed for invoices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.engine import allow_statement_s
from apportion_common.db.scaled import scaled_sql
from apportion_common.decimals import PERCENT_PLACES
from apportion_common.ids import charge_id as derived_charge_id
from apportion_common.ids import entry_id as derived_entry_id
from apportion_common.instants import datetime_of_us, optional_datetime_of_us, us_of_datetime
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.kinds import PRICED_KINDS
from apportion_ledger.domain.lines import LineQuery, LineSum, StoredLine, SummaryQuery
from apportion_ledger.limits import SUMMARY_TIMEOUT_S

_LINE_COLUMNS: Final = f"""
    l.entry_id, l.charge_id, l.event_id, l.cause_id, l.kind, l.org_id, l.project_id, l.billing_account_id, l.sku,
    {scaled_sql("l.quantity")} AS quantity, l.currency, {scaled_sql("l.amount_gross")} AS gross, l.partner_id,
    l.partner_from_account, {scaled_sql("l.partner_pct", PERCENT_PLACES)} AS pct,
    {scaled_sql("l.partner_amount")} AS share, {scaled_sql("l.net")} AS net, l.event_time, l.period, l.billed_period,
    l.posted_at,
    {scaled_sql("coalesce(s.amount, 0)")} AS real_time_paid,
    coalesce(l.lane, 0) AS lane, coalesce(l.pos, 0) AS pos, coalesce(l.seq, 0) AS seq
"""
_LINE_SOURCE: Final = """
    FROM ledger_line AS l LEFT JOIN settlement AS s ON s.entry_id = l.entry_id AND s.state <> 'void'
"""
# No index has the partner: a line has the one of record of its organisation or its account, and those indexes find it.
_OF_PARTNER: Final = """
    l.partner_id = :partner_id AND (
        l.org_id = ANY(ARRAY(
            SELECT subject_id FROM partner_of_record WHERE partner_id = :partner_id AND subject_type = 'org'
        ))
        OR l.billing_account_id = ANY(ARRAY(
            SELECT subject_id FROM partner_of_record WHERE partner_id = :partner_id AND subject_type = 'billing_account'
        ))
    )
"""
_BILLED: Final = 'coalesce(billed_period, period) COLLATE "C"'
_SUM_KEY: Final = """
    org_id, project_id, sku, kind, currency, partner_id, partner_from_account, mapping_id, period, billed_period
"""
# No line is billed before the period of its event, so that the account's index bounds what is read by the period's end.
_SUMMARY: Final = f"""
    SELECT {_SUM_KEY}, count(*), {scaled_sql("sum(quantity)")} AS quantity,
        {scaled_sql("sum(amount_gross)")} AS gross, {scaled_sql("sum(partner_amount)")} AS share
    FROM ledger_line
    WHERE billing_account_id = :account AND event_time < :until AND posted_xid < CAST(:watermark AS xid8)
        AND {_BILLED} <= :period
"""
_SUMMARY_END: Final = f"""
    GROUP BY {_SUM_KEY} ORDER BY {_BILLED}, {_SUM_KEY.replace("sku,", 'sku COLLATE "C",')} LIMIT :limit
"""


class PostedLineStore:
    """Lines as they are written."""

    async def page(
        self, connection: AsyncConnection, query: LineQuery, after: UUID | None, limit: int
    ) -> list[StoredLine]:
        """Return at most `limit` lines of the query by entry id, from the one after `after` on."""
        wanted: dict[str, object] = {
            "l.org_id = :org_id": query.org_id,
            "l.project_id = :project_id": query.project_id,
            "l.sku = :sku": query.sku,
            "l.billing_account_id = :billing_account_id": query.billing_account_id,
            "l.event_time >= :from_time": optional_datetime_of_us(query.from_us),
            "l.event_time < :until_time": optional_datetime_of_us(query.until_us),
            "l.entry_id > :after": after,
        }
        conditions = {condition: value for condition, value in wanted.items() if value is not None}
        parameters = {condition.rpartition(":")[2]: value for condition, value in conditions.items()}
        if query.partner_id is not None:
            conditions[_OF_PARTNER] = True
            parameters["partner_id"] = query.partner_id
        if query.event_id is not None:
            # The id of a lane's line follows from its event's, so that the key finds it; only others need an index.
            conditions[
                "(l.entry_id = ANY(CAST(:entry_ids AS uuid[])) OR (l.lane IS NULL AND l.event_id = :event_id))"
            ] = True
            parameters["event_id"] = query.event_id
            parameters["entry_ids"] = [
                UUID(bytes=derived_entry_id(derived_charge_id(query.event_id.bytes, kind))) for kind in PRICED_KINDS
            ]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = text(f"SELECT {_LINE_COLUMNS} {_LINE_SOURCE} {where} ORDER BY l.entry_id LIMIT :limit")
        rows = await connection.execute(statement, {**parameters, "limit": limit})
        return [_stored_line(row) for row in rows]

    async def by_charge(self, connection: AsyncConnection, charge_ids: Sequence[bytes]) -> list[StoredLine]:
        """Return the lines of these charges."""
        rows = await connection.execute(
            text(f"SELECT {_LINE_COLUMNS} {_LINE_SOURCE} WHERE l.entry_id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [UUID(bytes=derived_entry_id(charge_id)) for charge_id in charge_ids]},
        )
        return [_stored_line(row) for row in rows]

    async def summary(self, connection: AsyncConnection, query: SummaryQuery, limit: int) -> list[LineSum]:
        """Return the account's lines for an invoice, summed, those of earlier billing periods first; at most `limit`
        sums.
        """
        conditions = [_SUMMARY]
        parameters: dict[str, object] = {
            "account": query.billing_account_id,
            "watermark": str(query.watermark),
            "until": datetime_of_us(query.period.end_us),
            "period": query.period.key,
            "limit": limit,
        }
        for number, held in enumerate(query.held):
            conditions.append(f"AND NOT ({_BILLED} <= :through_{number} AND posted_xid < CAST(:held_{number} AS xid8))")
            parameters |= {f"through_{number}": held.through_period, f"held_{number}": str(held.watermark)}
        await allow_statement_s(connection, SUMMARY_TIMEOUT_S)
        rows = await connection.execute(text("".join((*conditions, _SUMMARY_END))), parameters)
        # Many sums have the same organisation, mapping and partner: one object each.
        ids: dict[UUID, UUID] = {}
        return [
            LineSum._make(
                (
                    *(ids.setdefault(value, value) if isinstance(value, UUID) else value for value in row[:11]),
                    *map(int, row[11:]),
                )
            )
            for row in rows
        ]


def _stored_line(row: Any) -> StoredLine:
    return StoredLine(
        entry_id=row.entry_id,
        charge_id=row.charge_id,
        event_id=row.event_id,
        cause_id=row.cause_id,
        kind=row.kind,
        org_id=row.org_id,
        project_id=row.project_id,
        billing_account_id=row.billing_account_id,
        sku=row.sku,
        quantity=int(row.quantity),
        currency=row.currency,
        gross=int(row.gross),
        partner_id=row.partner_id,
        partner_from_account=row.partner_from_account,
        pct=int(row.pct),
        share=int(row.share),
        net=int(row.net),
        event_time_us=us_of_datetime(row.event_time),
        period=row.period,
        billed_period=row.billed_period or "",
        posted_at_us=us_of_datetime(row.posted_at),
        real_time_paid=int(row.real_time_paid),
        lane=row.lane,
        batch_seq=row.pos,
        entry_seq=row.seq,
    )
