"""Adopting a baseline: a database that has its tables already, made by hand or by another tool, is taken as it is."""

from __future__ import annotations

import re
from typing import Final

from alembic.script import Script
from sqlalchemy import Connection

from apportion_migrate.catalog import Catalog, read_catalog
from apportion_migrate.errors import MigrationError
from apportion_migrate.statements import revision_statements

COMPARED_KINDS: Final = ("column ", "constraint ", "index ")
"""What a standing baseline must have: its tables follow from their columns."""
DIFFERENCES_SHOWN_MAX: Final = 10

_CREATED: Final = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?([a-z_][a-z0-9_]*)", re.IGNORECASE)


def standing_tables(connection: Connection, script: Script, service: str) -> list[str]:
    """Return the tables of a baseline that stand in the current schema, whoever made them; needs only to look."""
    names = [name for text in revision_statements(script, service) for name in _CREATED.findall(text)]
    rows = connection.exec_driver_sql(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s)",
        (names,),
    )
    return sorted(str(row[0]) for row in rows)


def require_same_baseline(connection: Connection, script: Script, service: str) -> None:
    """See that what stands has everything the baseline makes, defined the same; what there is beside it may stay.

    The baseline is made once more among the session's temporary objects, compared, and rolled back. The connection
    is outside a transaction and not in autocommit. Raises MigrationError with the differences.
    """
    with connection.begin() as transaction:
        present = read_catalog(connection)
        connection.exec_driver_sql("SET LOCAL search_path = pg_temp")
        for statement in revision_statements(script, service)[1:-1]:
            connection.exec_driver_sql(statement.replace("%", "%%"))
        wanted = read_catalog(connection)
        transaction.rollback()
    found = list(_missing(wanted, present))
    if found:
        shown = "; ".join(found[:DIFFERENCES_SHOWN_MAX])
        raise MigrationError(
            f"Tables of {service} stand without a version, but not as {script.revision} makes them: {shown}"
            + (f"; and {len(found) - DIFFERENCES_SHOWN_MAX} more." if len(found) > DIFFERENCES_SHOWN_MAX else ".")
        )


def _missing(wanted: Catalog, present: Catalog) -> list[str]:
    """Return one line for each thing that is wanted and not there, or there in another form."""
    return [
        f"{name} is {present.get(name, 'missing')}, not {definition}"
        for name, definition in sorted(wanted.items())
        if name.startswith(COMPARED_KINDS) and present.get(name) != definition
    ]
