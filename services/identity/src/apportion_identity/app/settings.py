"""The settings that operators change at run time: read through a short-lived cache, changed with an audit entry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import InvalidArgument
from apportion_common.logs import get_logger
from google.protobuf.message import Message

from apportion_identity.domain.global_settings import KNOWN_SETTINGS, KnownSetting, known_setting
from apportion_identity.limits import SETTINGS_CACHE_S
from apportion_identity.store.settings import SettingRow, SettingStore

_CACHE_US: Final = SETTINGS_CACHE_S * 1_000_000

Answer = TypeVar("Answer", bound=Message)

log = get_logger(__name__)


class CurrentSetting(NamedTuple):
    """A known setting, with its row if it was ever set."""

    known: KnownSetting
    row: SettingRow | None


class GlobalSettings:
    """The value of every setting, at most SETTINGS_CACHE_S old; in the process that changed one, at once.

    Reading may take a connection of its own, so it is done before a transaction begins, never inside one: a pool of
    transactions that each wait for a second connection would stand still.
    """

    def __init__(self, database: Database, store: SettingStore) -> None:
        """Read through `database`; nothing is read before it is asked for."""
        self._database = database
        self._store = store
        self._clock = database.clock
        self._loading = asyncio.Lock()
        self._values: Mapping[str, str] = {}
        self._read_at_us: int | None = None
        self._generation = 0

    async def get_int(self, key: str) -> int:
        """Return the value of an int setting."""
        setting = known_setting(key)
        return setting.int_of(await self._text(setting))

    async def get_list(self, key: str) -> tuple[str, ...]:
        """Return the items of a list setting, sorted."""
        setting = known_setting(key)
        return setting.list_of(await self._text(setting))

    async def all(self) -> Sequence[CurrentSetting]:
        """Return every known setting, past the cache."""
        async with self._database.read() as connection:
            rows = await self._store.all_settings(connection)
        return [CurrentSetting(setting, rows.get(key)) for key, setting in sorted(KNOWN_SETTINGS.items())]

    async def find(self, key: str) -> CurrentSetting:
        """Return a setting, past the cache. NotFound SETTING_NOT_FOUND."""
        setting = known_setting(key)
        async with self._database.read() as connection:
            rows = await self._store.all_settings(connection)
        return CurrentSetting(setting, rows.get(key))

    async def change(self, mutation: Mutation[CurrentSetting, Answer], key: str, text: str, reason: str) -> Answer:
        """Set a setting, audited with its previous value.

        NotFound SETTING_NOT_FOUND; InvalidArgument SETTING_VALUE_MALFORMED or SETTING_OUT_OF_RANGE.
        """

        async def work(tx: Transaction) -> CurrentSetting:
            setting = known_setting(key)
            value = setting.canonical(text)
            before = await self._store.lock_setting(tx, key)
            row = SettingRow(key, value, tx.clock.now())
            await self._store.put_setting(tx, row, setting.value_type)
            await tx.audit(
                "global_setting.set",
                f"global_setting/{key}",
                before={"value": setting.default if before is None else before.value},
                after={"value": value, "reason": reason},
            )
            return CurrentSetting(setting, row)

        answer = await run_mutation(self._database, mutation, work)
        self._forget()
        return answer

    def _forget(self) -> None:
        """Read again at the next call; called when a change has been committed."""
        self._read_at_us = None
        self._generation += 1

    async def _text(self, setting: KnownSetting) -> str:
        if not self._is_fresh():
            async with self._loading:
                if not self._is_fresh():
                    await self._load()
        return self._values[setting.key]

    def _is_fresh(self) -> bool:
        if self._read_at_us is None:
            return False
        # A clock that was set back makes the cache old, not young forever: a TTLCache would take it for young.
        return 0 <= self._clock.now_us() - self._read_at_us < _CACHE_US

    async def _load(self) -> None:
        generation, read_at_us = self._generation, self._clock.now_us()
        async with self._database.read() as connection:
            rows = await self._store.all_settings(connection)
        self._values = {key: _sound(setting, rows.get(key)) for key, setting in KNOWN_SETTINGS.items()}
        # A change that was committed while this was read may not be in it: then it serves this call alone.
        self._read_at_us = read_at_us if generation == self._generation else None


def _sound(setting: KnownSetting, row: SettingRow | None) -> str:
    """Return the row's value; the default when nothing was set, or what SetGlobalSetting would have rejected."""
    if row is None:
        return setting.default
    try:
        return setting.canonical(row.value)
    except InvalidArgument as error:
        log.warning("setting_unusable", setting=setting.key, reason=error.reason)
        return setting.default
