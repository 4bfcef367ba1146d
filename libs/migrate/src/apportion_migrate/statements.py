"""The SQL of a revision, statement by statement, as Alembic writes it without a database."""

from __future__ import annotations

import io
from typing import Literal

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script

Way = Literal["up", "down"]


class _Collector(io.StringIO):
    """Takes Alembic's output apart again: it writes one statement at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: list[str] = []

    def write(self, text: str) -> int:
        statement = text.strip()
        if statement:
            self.statements.append(statement)
        return len(text)


def revision_statements(script: Script, service: str, way: Way = "up") -> tuple[str, ...]:
    """Return what a revision runs on its way up or down, from BEGIN to COMMIT, each statement ending in a semicolon.

    The version table's own statements are not among them. The service's role is `<service>_app`, whatever the
    environment says, so that the text depends on the checkout alone.
    """
    collector = _Collector()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={
            "as_sql": True,
            "output_buffer": collector,
            "literal_binds": True,
            "transaction_per_migration": True,
            "service": service,
            "app_role": f"{service}_app",
        },
    )
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        (script.module.upgrade if way == "up" else script.module.downgrade)()
    return tuple(collector.statements)
