"""What digests are made of: the hash of each line, and the gross of each key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import psycopg
from apportion_common.db.engine import allow_statement_s
from apportion_common.db.scaled import scaled_sql
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.kinds import PRICED_KINDS
from apportion_ledger.domain.lines import DigestScope, GrossSum
from apportion_ledger.limits import DIGEST_PAGE_LINES, REPORT_TIMEOUT_S

# Whoever reads a report over all lines may take longer than a caller of the hot path.
_STAND_IDLE: Final = sql.SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(
    sql.Literal(f"{REPORT_TIMEOUT_S}s")
)


class DigestStore:
    """The lines of a scope, as their hashes and sums."""

    async def hashes(self, connection: AsyncConnection, scope: DigestScope) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Yield charge id and content hash of the scope's lines by charge id, in pages of DIGEST_PAGE_LINES."""
        where, parameters = _scope(scope)
        raw = await _driver(connection)
        statement = f"SELECT uuid_send(charge_id), content_hash FROM ledger_line WHERE {where} ORDER BY charge_id"
        await allow_statement_s(connection, REPORT_TIMEOUT_S)
        await raw.execute(_STAND_IDLE)
        async with raw.cursor(name="line_digests", binary=True) as cursor:
            cursor.itersize = DIGEST_PAGE_LINES
            await cursor.execute(statement, parameters)
            while rows := await cursor.fetchmany(DIGEST_PAGE_LINES):
                yield [(bytes(charge_id), bytes(content_hash)) for charge_id, content_hash in rows]

    async def gross(self, connection: AsyncConnection, scope: DigestScope, limit: int) -> list[GrossSum]:
        """Return the scope's gross per organisation, SKU, period and currency, at most `limit` of them."""
        where, parameters = _scope(scope)
        raw = await _driver(connection)
        async with raw.cursor() as cursor:
            await cursor.execute(
                f"SELECT org_id, sku, period, currency, count(*), {scaled_sql('sum(quantity)')}, "
                f"{scaled_sql('sum(amount_gross)')} FROM ledger_line WHERE {where} "
                'GROUP BY org_id, sku, period, currency ORDER BY org_id, sku COLLATE "C", period, currency '
                "LIMIT %(limit)s",
                {**parameters, "limit": limit},
            )
            return [GrossSum(row[0], row[1], row[2], row[3], row[4], int(row[5]), int(row[6])) async for row in cursor]


def _scope(scope: DigestScope) -> tuple[str, dict[str, object]]:
    """Return the condition of a digest's lines, for psycopg, and its parameters."""
    conditions = ["kind = ANY(%(kinds)s)"]
    parameters: dict[str, object] = {"kinds": list(PRICED_KINDS)}
    for column, value in zip(DigestScope._fields, scope, strict=True):
        if value is not None:
            conditions.append(f"{column} = %({column})s")
            parameters[column] = value
    return " AND ".join(conditions), parameters


async def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """Return the psycopg connection of a read-only transaction, which is begun if need be."""
    if not connection.in_transaction():
        await connection.begin()
    outer = await connection.get_raw_connection()
    driver = outer.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver
