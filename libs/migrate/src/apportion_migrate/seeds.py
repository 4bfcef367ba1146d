"""Seeds: the rows that an environment begins with, as data files, loaded by a step of their own under their flag.

A service's files lie in seeds/*.toml. Each names its flag, and tables with rows by their natural key. Loading a file is
one transaction: rows, their audit entries and, where the table is of the configuration, one new revision. The audit
trail is also the record of what a seed wrote, and that is how an operator's word stands:

    not in the table, never loaded          added
    not in the table, loaded before         removed: somebody took it away, and it stays away
    in the table, never loaded              kept: it is somebody else's
    as it was loaded, and as the file says  same
    as it was loaded, the file says other   changed, where the table's `change` allows it; else stale
    not as it was loaded                    edited: somebody changed it, and it stays as it is
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from apportion_common.db.head import take_revision
from apportion_common.flags import FLAGS
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from apportion_migrate.errors import MigrationError
from apportion_migrate.plan import package_folder
from apportion_migrate.sessions import apply_session_settings

FOLDER: Final = "seeds"
ROWS_MAX: Final = 1_000
"""Rows of one file: seeds are a beginning, not a data set."""
NAMESPACE: Final = UUID("5b1d6c54-0c1e-5d3b-9a57-6d1f1f8f1c11")
"""Under which ids of seeded rows are derived: the same in every environment."""

Outcome = Literal["added", "changed", "same", "kept", "edited", "removed", "stale", "skipped"]
Change = Literal["none", "update", "add"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TABLE_KEYS: Final = frozenset({"name", "key", "id", "revisioned", "change", "now", "parent", "row"})
_PARENT_KEYS: Final = frozenset({"column", "table"})
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.seed', 0))"
_RECORD: Final = """
    SELECT after FROM audit_entry WHERE resource = :resource AND action = 'seed.load' ORDER BY at DESC, audit_id DESC
    LIMIT 1
"""
_AUDIT: Final = """
    INSERT INTO audit_entry (audit_id, actor, action, resource, before, after)
    VALUES (gen_random_uuid(), :actor, 'seed.load', :resource, CAST(:before AS jsonb), CAST(:after AS jsonb))
"""


class SeedError(MigrationError):
    """A seed file that cannot be read, or rows that the database refuses; nothing of the file was loaded."""


@dataclass(frozen=True, kw_only=True)
class SeedTable:
    """One table of a file.

    `key` are the columns of the natural key. `id` is a column whose UUID is derived from the key. `revisioned` tables
    take `revision` and `created_by`. `change` says what becomes of a row that the file changes: nothing (it is
    reported), an update, or one more row in a table whose newest row is the one in force. `now` are columns for the
    time of writing. `parent` says that the key's column of that name refers to a row of another seeded table by its
    own key: a row whose parent is not the seed's own is skipped.
    """

    name: str
    key: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    id_column: str | None = None
    revisioned: bool = False
    change: Change = "none"
    now: tuple[str, ...] = ()
    parent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SeedFile:
    """A file of seeds of a service."""

    service: str
    name: str
    flag: str
    tables: tuple[SeedTable, ...]


@dataclass(frozen=True, slots=True)
class Seeded:
    """What became of one row."""

    service: str
    resource: str
    outcome: Outcome


def load_files(service: str) -> list[SeedFile]:
    """Return the seed files of an installed service, by name. Raises SeedError naming the file and what is amiss."""
    return [parse_file(service, file) for file in sorted((package_folder(service) / FOLDER).glob("*.toml"))]


def parse_file(service: str, file: Path) -> SeedFile:
    """Read one file. Numbers with a fraction are text: TOML would make floats of them. Raises SeedError."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SeedError(f"{file} cannot be read: {error}") from error
    flag = document.get("flag")
    if set(document) != {"flag", "table"} or flag not in FLAGS:
        raise SeedError(f"{file} has a flag that there is, and tables.")
    tables = tuple(_table(file, table) for table in document["table"])
    if sum(len(table.rows) for table in tables) > ROWS_MAX:
        raise SeedError(f"{file} has more than {ROWS_MAX} rows.")
    return SeedFile(service=service, name=file.name, flag=str(flag), tables=tables)


def load(engine: Engine, file: SeedFile, *, dry_run: bool = False) -> list[Seeded]:
    """Load a file whose flag is open, in one transaction, as the database's owner; return what became of each row.

    With `dry_run` the transaction is rolled back. Raises SeedError when the database refuses a row, and then has none.
    """
    with engine.connect() as connection:
        apply_session_settings(connection, file.service)
        with connection.begin() as transaction:
            connection.execute(text("SET LOCAL timezone = 'UTC'"))
            connection.execute(text(_ALONE))
            try:
                found = _Load(connection, file).work()
            except DBAPIError as error:
                raise SeedError(f"{file.name} of {file.service} could not be loaded: {error.orig}") from error
            if dry_run:
                transaction.rollback()
            return found


class _Load:
    """One file's way into the database, in a transaction."""

    def __init__(self, connection: Connection, file: SeedFile) -> None:
        self._connection = connection
        self._file = file
        self._actor = f"seed:{file.name}"
        self._revision: int | None = None
        # Rows of this file that are the seed's own, with their ids, by table and key.
        self._ids: dict[tuple[str, str], UUID | None] = {}

    def work(self) -> list[Seeded]:
        """Load row by row, in the file's order: parents stand before what refers to them."""
        return [self._row(table, row) for table in self._file.tables for row in table.rows]

    def _row(self, table: SeedTable, given: dict[str, Any]) -> Seeded:
        resource = f"{table.name}/{'/'.join(str(given[column]) for column in table.key)}"
        row = self._with_parent(table, given)
        if row is None:
            return Seeded(self._file.service, resource, "skipped")
        if table.id_column is not None:
            named = (*table.key, *(("effective_at",) if table.change == "add" else ()))
            row[table.id_column] = str(uuid5(NAMESPACE, json.dumps([table.name, *(given[name] for name in named)])))
        outcome = self._settle(table, row, given, resource)
        if outcome in ("added", "changed", "same", "stale"):
            own = row.get(table.id_column) if table.id_column is not None else None
            self._ids[table.name, str(given[table.key[0]])] = None if own is None else UUID(own)
        return Seeded(self._file.service, resource, outcome)

    def _with_parent(self, table: SeedTable, given: dict[str, Any]) -> dict[str, Any] | None:
        """Return the row with its parent's id in place of the parent's key; None where the parent is not the
        seed's own.
        """
        row = dict(given)
        if table.parent:
            column = table.parent["column"]
            parent = self._ids.get((table.parent["table"], str(given[column])))
            if parent is None:
                return None
            row[column] = str(parent)
        return row

    def _settle(self, table: SeedTable, row: dict[str, Any], given: dict[str, Any], resource: str) -> Outcome:
        """Compare table, record and file, and write what is to be written."""
        digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
        current = self._current(table, row)
        record = self._connection.execute(text(_RECORD), {"resource": resource}).scalar_one_or_none()
        if record is None:
            if current is not None:
                return "kept"
            self._write(table, row, resource, digest, before=None)
            return "added"
        if current is None:
            return "removed"
        if {name: current.get(name) for name in record["row"]} != record["row"]:
            return "edited"
        if record["file"] == digest:
            return "same"
        if table.change == "none":
            return "stale"
        self._write(table, row, resource, digest, before=record["row"])
        return "changed"

    def _current(self, table: SeedTable, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return the row of this key, the newest where there are several, as the database writes it in JSON."""
        newest = " ORDER BY revision DESC LIMIT 1" if table.change == "add" else ""
        query = f"SELECT to_jsonb(t) FROM {table.name} AS t WHERE {_same_key(table)}{newest}"  # noqa: S608
        found = self._connection.execute(text(query), {"row": json.dumps(row)}).scalar_one_or_none()
        return None if found is None else dict(found)

    def _write(
        self, table: SeedTable, row: dict[str, Any], resource: str, digest: str, before: dict[str, Any] | None
    ) -> None:
        """Write a row, and into the audit trail what stands in the table now."""
        full = dict(row)
        if table.revisioned:
            if self._revision is None:
                self._revision = take_revision(self._connection)
            full |= {"revision": self._revision, "created_by": self._actor}
        columns = ", ".join((*full, *table.now))
        values = ", ".join((*(f"new.{name}" for name in full), *("clock_timestamp()" for _ in table.now)))
        source = f"jsonb_populate_record(NULL::{table.name}, CAST(:row AS jsonb)) AS new"
        if before is not None and table.change == "update":
            statement = (
                f"UPDATE {table.name} AS t SET ({columns}) = (SELECT {values} FROM {source}) WHERE {_same_key(table)}"  # noqa: S608
            )
        else:
            statement = f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {source}"  # noqa: S608
        self._connection.execute(text(statement), {"row": json.dumps(full)})
        current = self._current(table, row) or {}
        written = {name: current[name] for name in row}
        after = {"row": written, "file": digest, **({"revision": self._revision} if table.revisioned else {})}
        values_of_entry = {
            "actor": self._actor,
            "resource": resource,
            "before": None if before is None else json.dumps({"row": before}),
            "after": json.dumps(after),
        }
        self._connection.execute(text(_AUDIT), values_of_entry)


def _same_key(table: SeedTable) -> str:
    """Return the condition that the table's row `t` has the key of the row in the parameter."""
    source = f"jsonb_populate_record(NULL::{table.name}, CAST(:row AS jsonb))"
    columns = ", ".join(f"t.{name}" for name in table.key)
    keys = ", ".join(f"k.{name}" for name in table.key)
    return f"({columns}) = (SELECT {keys} FROM {source} AS k)"  # noqa: S608


def _table(file: Path, given: Mapping[str, Any]) -> SeedTable:
    """Return one table of a file, checked: names go into SQL as text."""
    table = SeedTable(
        name=str(given.get("name", "")),
        key=tuple(given.get("key", ())),
        rows=tuple(given.get("row", ())),
        id_column=given.get("id"),
        revisioned=given.get("revisioned") is True,
        change=given.get("change", "none"),
        now=tuple(given.get("now", ())),
        parent=given.get("parent", {}),
    )
    names = {table.name, *table.key, *table.now, *(column for row in table.rows for column in row)}
    names |= {table.id_column} if table.id_column else set()
    wrong = sorted(name for name in names if not isinstance(name, str) or _NAME.fullmatch(name) is None)
    if wrong or not table.key or not table.rows or not set(given) <= _TABLE_KEYS:
        raise SeedError(f"A table of {file} has a name, a key and rows, all of plain names: {wrong or sorted(given)}.")
    if table.change not in ("none", "update", "add") or (table.parent and set(table.parent) != _PARENT_KEYS):
        raise SeedError(f"{table.name} of {file} has a change or a parent that there is not.")
    for row in table.rows:
        if not set(table.key) <= set(row):
            raise SeedError(f"A row of {table.name} in {file} lacks its key.")
        if any(isinstance(value, float) for value in row.values()):
            raise SeedError(f"A number with a fraction in {table.name} of {file} is written as text.")
    keys = [tuple(str(row[column]) for column in table.key) for row in table.rows]
    if len(set(keys)) != len(keys):
        raise SeedError(f"{table.name} of {file} has two rows of one key.")
    return table
