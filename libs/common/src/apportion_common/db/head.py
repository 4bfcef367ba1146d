"""The revision of a service's configuration: one row that every configuration write locks.

Numbers given under the row's lock become visible in their order and without gaps, so "everything up to revision n"
means the same in a first run and in a replay. A sequence could not promise that.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_common.db.unit_of_work import Transaction

_LOCK = text("SELECT revision FROM config_head FOR UPDATE")
_BUMP = text("UPDATE config_head SET revision = :revision")
_READ = text("SELECT revision FROM config_head")
_READ_SHARED = text("SELECT revision FROM config_head FOR SHARE")


async def next_revision(tx: Transaction) -> int:
    """Take the configuration's lock until the transaction ends and give the revision that its rows carry."""
    current: int = (await tx.execute(_LOCK)).scalar_one()
    revision = current + 1
    await tx.execute(_BUMP, {"revision": revision})
    return revision


async def current_revision(connection: AsyncConnection, *, share: bool) -> int:
    """The newest committed revision; with `share` it stays the newest until the transaction ends."""
    revision: int = (await connection.execute(_READ_SHARED if share else _READ)).scalar_one()
    return revision
