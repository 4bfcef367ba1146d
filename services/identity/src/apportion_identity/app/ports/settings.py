"""Global settings: as operators set them, and as use cases read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A global setting that was set once."""

    key: str
    value: str
    updated_at: datetime


class SettingStore(Protocol):
    """The global settings that were set."""

    async def all_settings(self, connection: AsyncConnection) -> Mapping[str, SettingRow]:
        """Every setting that was set once, by its key."""
        ...

    async def hold_setting(self, tx: Transaction, key: str) -> SettingRow | None:
        """The setting, if it was set; nobody else sets it until the transaction ends."""
        ...

    async def put_setting(self, tx: Transaction, row: SettingRow, value_type: str) -> None:
        """Set a setting."""
        ...


class RuntimeSettings(Protocol):
    """Values that operators change at run time; read them before a transaction, for they may take a connection."""

    async def get_int(self, key: str) -> int:
        """The number under a known key."""
        ...

    async def get_list(self, key: str) -> Sequence[str]:
        """The items under a known key."""
        ...
