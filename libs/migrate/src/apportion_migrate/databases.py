"""One service's database as a run meets it: a session of its owner, and where it stands in its revisions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from apportion_migrate.checksums import Applied, checksums, recorded
from apportion_migrate.errors import ChecksumError, MigrationError
from apportion_migrate.plan import BASE, Plan
from apportion_migrate.sessions import apply_session_settings, migration_engine, migration_url

Environ = Mapping[str, str] | None
"""Where the URLs are read; None for the process's own environment."""


@contextmanager
def owner_session(service: str, environ: Environ) -> Iterator[Connection]:
    """Open a session of a service's database owner, in autocommit, with the migration's time-outs; close it at the end.

    MigrationError when the database does not answer, or the URL names a schema that does not exist.
    """
    engine = migration_engine(migration_url(service, environ))
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise MigrationError(f"The database of {service} does not answer: {error.orig}") from error
    with connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        apply_session_settings(connection, service)
        if connection.exec_driver_sql("SELECT current_schema()").scalar_one() is None:
            raise MigrationError(f"The schema that the URL of {service} names in its search path does not exist.")
        connection.commit()
        yield connection


def current_version(connection: Connection, service: str) -> str | None:
    """Return the revision that a database stands at, None before the first; MigrationError when it has several.

    A session that has not begun a transaction is left so.
    """
    outside = not connection.in_transaction()
    heads = MigrationContext.configure(connection).get_current_heads()
    if outside:
        connection.commit()
    if len(heads) > 1:
        raise MigrationError(f"{service} stands at several revisions at once: {', '.join(sorted(heads))}.")
    return heads[0] if heads else None


def revisions_at(plan: Plan, service: str, version: str | None) -> frozenset[str]:
    """Return the revisions that a database at this version has; MigrationError when the checkout does not know the
    version.
    """
    if version is None:
        return frozenset()
    script = plan.script(service)
    # Looked for in the list: Alembic's own search would take the beginning of an id for the id.
    if version not in {revision.revision for revision in script.walk_revisions()}:
        raise MigrationError(f"{service} stands at {version}, which this checkout does not know.")
    return frozenset(revision.revision for revision in script.iterate_revisions(version, BASE))


def changed_since_applied(
    plan: Plan, service: str, revisions: Collection[str], applied: Mapping[str, Applied]
) -> list[str]:
    """Return one line for each of the revisions whose SQL in the checkout is not what was applied."""
    if not applied:
        return []
    now = checksums(plan.script(service), service)
    return [
        f"{revision} was applied as {entry.checksum[:12]} and is {now[revision][:12]} now"
        for revision, entry in applied.items()
        if revision in revisions and revision in now and entry.checksum != now[revision]
    ]


def require_unchanged(plan: Plan, service: str, version: str | None, applied: Mapping[str, Applied]) -> None:
    """See that the revisions that were applied are the checkout's; raises ChecksumError."""
    found = changed_since_applied(plan, service, revisions_at(plan, service, version), applied)
    if found:
        raise ChecksumError(f"Applied revisions never change, but in {service} {'; '.join(found)}.")


def why_not_reached(plan: Plan, service: str, at_least: str, url_variable: str | None, environ: Environ) -> str | None:
    """Return None when a database is at a revision or beyond, else why it does not count as there; any role may ask."""
    url = migration_url(service, environ, url_variable)
    try:
        with migration_engine(url).connect() as connection:
            if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one() is None:
                return "nothing was applied yet"
            version = current_version(connection, service)
            applied = recorded(connection)
    except DBAPIError as error:
        return f"the database does not answer: {error.orig}".strip()
    try:
        reached = at_least in applied or at_least in revisions_at(plan, service, version)
    except MigrationError as error:
        return str(error).rstrip(".")
    return None if reached else f"it is at {version or BASE}"
