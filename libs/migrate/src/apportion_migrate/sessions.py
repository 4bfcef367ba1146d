"""The sessions of a migration: where each service's database is, and the settings that its owner works under."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

LOCK_TIMEOUT_MS: Final = 2_000
"""Longest wait for a table lock: while DDL waits for its lock, every later query on the table waits behind it."""
STATEMENT_TIMEOUT_MS: Final = 15_000
CLIENT_CHECK_INTERVAL_MS: Final = 1_000
"""How soon the server notices that the runner is gone, and gives up the statement it was on."""
APPLICATION_NAME_MAX_BYTES: Final = 63


class MigrationSettingError(RuntimeError):
    """An environment variable that a migration needs is missing or unusable."""


def url_setting(service: str) -> str:
    """Return the name of the environment variable with the URL of a service's database owner."""
    return f"{service.upper()}_MIGRATION_DATABASE_URL"


def migration_url(service: str, environ: Mapping[str, str] | None = None, variable: str | None = None) -> URL:
    """Return the URL of a service's database for its migrating owner, or the one in another environment variable.

    Raises MigrationSettingError when it is not set or is none.
    """
    variable = variable or url_setting(service)
    text = (os.environ if environ is None else environ).get(variable, "")
    if not text:
        raise MigrationSettingError(f"Set {variable} to the URL of the database of {service}.")
    try:
        return psycopg_url(text)
    except ArgumentError:
        # Without the cause: it would repeat the text, which may hold a password.
        raise MigrationSettingError(f"{variable} is not the URL of a database.") from None


def require_urls(services: Iterable[str], environ: Mapping[str, str] | None = None) -> None:
    """See that every service's URL is set and is one; MigrationSettingError names all that are missing at once."""
    values = os.environ if environ is None else environ
    missing = [url_setting(service) for service in services if not values.get(url_setting(service))]
    if missing:
        raise MigrationSettingError(
            f"Set {', '.join(missing)}: each to the URL of its service's database, as its owner."
        )
    for service in services:
        migration_url(service, environ)


def psycopg_url(text: str) -> URL:
    """Return a PostgreSQL URL for psycopg, whatever driver it names."""
    return make_url(text).set(drivername="postgresql+psycopg")


def migration_engine(url: URL) -> Engine:
    """Return an engine whose connections end with their use: a migration keeps no idle session."""
    return create_engine(url, poolclass=NullPool)


def session_settings(service: str) -> dict[str, str]:
    """Return the settings of a migrating session; milliseconds where they are times."""
    name = f"apportion-migrate {service} {socket.gethostname()}:{os.getpid()}"
    return {
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "client_connection_check_interval": str(CLIENT_CHECK_INTERVAL_MS),
        "application_name": name.encode()[:APPLICATION_NAME_MAX_BYTES].decode(errors="ignore"),
    }


def apply_session_settings(connection: Connection, service: str) -> None:
    """Set the session settings on a connection.

    A transaction that the caller has open stays open; otherwise none is left open, so that Alembic commits its own.
    """
    outside = not connection.in_transaction()
    for name, value in session_settings(service).items():
        connection.exec_driver_sql("SELECT set_config(%s, %s, false)", (name, value))
    if outside:
        connection.commit()
