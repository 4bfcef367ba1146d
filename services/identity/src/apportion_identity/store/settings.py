"""global_setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.store.tables import global_setting

SCOPE: Final = "global"
"""The only scope that there is so far: the whole platform."""
SETTING_LOCK: Final = 1_002
"""First key of the advisory locks that let one transaction at a time set a setting, also one without a row yet."""
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:what, hashtext(:key))")
_SELECT: Final = select(global_setting.c.key, global_setting.c.value, global_setting.c.updated_at).where(
    global_setting.c.scope == SCOPE
)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A global setting that was set once."""

    key: str
    value: str
    updated_at: datetime


class SettingStore:
    """The global settings that were set."""

    async def all_settings(self, connection: AsyncConnection) -> Mapping[str, SettingRow]:
        """Return every setting that was set once, by its key."""
        return {row.key: _setting(row) for row in await connection.execute(_SELECT)}

    async def lock_setting(self, tx: Transaction, key: str) -> SettingRow | None:
        """Return the setting, if it was set; nobody else sets it until the transaction ends."""
        await tx.execute(_LOCK, {"what": SETTING_LOCK, "key": key})
        row = (await tx.execute(_SELECT.where(global_setting.c.key == key))).first()
        return None if row is None else _setting(row)

    async def put_setting(self, tx: Transaction, row: SettingRow, value_type: str) -> None:
        """Set a setting."""
        values = {"value": row.value, "value_type": value_type, "updated_at": row.updated_at}
        await tx.execute(
            insert(global_setting)
            .values(key=row.key, scope=SCOPE, **values)
            .on_conflict_do_update(index_elements=["key", "scope"], set_=values)
        )


def _setting(row: Row[*tuple[Any, ...]]) -> SettingRow:
    return SettingRow(row.key, row.value, row.updated_at)
