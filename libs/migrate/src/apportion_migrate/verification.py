"""What must hold of a schema once every step is done: nothing half-built, nothing half-checked."""

from __future__ import annotations

from sqlalchemy import Connection

_INVALID_INDEXES = """
    SELECT 'index ' || c.relname || ' of ' || t.relname || ' is invalid'
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relnamespace = current_schema()::regnamespace
    ORDER BY 1
"""
_UNVALIDATED_CONSTRAINTS = """
    SELECT 'constraint ' || n.conname || ' of ' || c.relname || ' is not validated'
    FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
    WHERE NOT n.convalidated AND c.relnamespace = current_schema()::regnamespace
    ORDER BY 1
"""


def unsound(connection: Connection, *, at_head: bool) -> list[str]:
    """Return what is amiss in the current schema, one line each: invalid indexes and, at head, unvalidated constraints.

    On the way to the head a constraint may wait for its validation; an invalid index never helps anybody.
    """
    found = [str(row[0]) for row in connection.exec_driver_sql(_INVALID_INDEXES)]
    if at_head:
        found += [str(row[0]) for row in connection.exec_driver_sql(_UNVALIDATED_CONSTRAINTS)]
    return found
