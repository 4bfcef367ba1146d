"""What a way back would take with it: rows of the tables that a revision drops when it is undone."""

from __future__ import annotations

import re
from typing import Final

from alembic.script import Script
from sqlalchemy import Connection, text

from apportion_common.migrations.statements import revision_statements

_DROP_TABLE: Final = re.compile(r"\ADROP TABLE (?:IF EXISTS )?(\w+)", re.IGNORECASE)
_KEPT_BY_MIGRATIONS: Final = frozenset({"config_head", "data_migration", "lane"})
"""Tables whose rows revisions and the runner write themselves: an environment without any data has them too."""


def tables_with_rows_lost(connection: Connection, script: Script, service: str) -> list[str]:
    """The tables, by name, that undoing a revision drops with rows in them; only looks."""
    names = [
        found[1]
        for statement in revision_statements(script, service, "down")
        if (found := _DROP_TABLE.match(statement)) is not None
    ]
    return [
        name
        for name in names
        if name not in _KEPT_BY_MIGRATIONS
        and connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is not None
        # The name is one of the revision's own.
        and connection.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar_one()  # noqa: S608
    ]
