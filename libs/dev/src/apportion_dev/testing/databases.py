"""Databases to throw away: each test gets a fresh clone of a template that is migrated once per session."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from apportion_common.clock import Clock, SystemClock
from apportion_common.db.engine import make_engine, normalise_url, psycopg_url
from apportion_common.db.tables import (
    HEAD_DDL,
    HEAD_GRANTS,
    LANE_DDL,
    LANE_GRANTS,
    LANE_PARTS_DDL,
    SHARED_DDL,
    SHARED_GRANTS,
)
from apportion_common.db.unit_of_work import Database
from apportion_migrate.plan import alembic_config
from psycopg import sql
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

PREFIX: Final = "apportion_test"
POOL_SIZE: Final = 10
ROLE_CONNECTIONS_MAX: Final = 120
"""Connection limit of a role, which the test processes of one server share: each has several engines."""
BASE: Final = "base"
"""The service name of databases that hold the base's own tables only."""
_ROLE_LOCK: Final = 8_216_005_331
"""Advisory lock under which test processes make roles; any number that nothing else uses."""


class ServiceDatabase:
    """A database of one service, for one test: dropped afterwards."""

    def __init__(self, service: str, name: str, owner_url: str, app_url: str) -> None:
        """Name a database that exists; connects nowhere."""
        self.service = service
        self.name = name
        self.owner_url = owner_url
        """For migrations and for looking at what the application may not touch."""
        self.app_url = app_url
        """What the service runs as."""
        self._engines: dict[str, AsyncEngine] = {}

    @property
    def engine(self) -> AsyncEngine:
        """An engine as the service's role, of the session's event loop."""
        return self._engine(self.app_url)

    @property
    def owner_engine(self) -> AsyncEngine:
        """An engine as the owner."""
        return self._engine(self.owner_url)

    def database(self, clock: Clock | None = None) -> Database:
        """Return the service's unit of work on this database."""
        return Database(self.engine, self.service, clock or SystemClock())

    async def close(self) -> None:
        """Close every connection that the engines hold."""
        for engine in self._engines.values():
            await engine.dispose()
        self._engines.clear()

    def _engine(self, url: str) -> AsyncEngine:
        if url not in self._engines:
            self._engines[url] = make_engine(url, f"test {self.service}", POOL_SIZE)
        return self._engines[url]


class DatabaseFactory:
    """Makes and drops databases on one server; every name carries this process's own mark."""

    def __init__(self, admin_url: str) -> None:
        """Use a server's superuser."""
        self._admin = normalise_url(admin_url)
        self._mark = f"{PREFIX}_{os.getpid()}_{secrets.token_hex(3)}"
        self._templates: dict[str, str] = {}
        self._made: list[str] = []
        self._count = 0

    def blank(self, service: str = BASE) -> ServiceDatabase:
        """Return a database without any table, with the roles `<service>_owner` and `<service>_app`."""
        self._make_roles(service)
        return self._create(service, template=None)

    def base(self, service: str = BASE) -> ServiceDatabase:
        """Return a database with the shared tables, the lane tables and the configuration head, with their grants."""
        return self._clone(f"{BASE}:{service}", service, lambda made: self._install_base(made))

    def service(self, service: str) -> ServiceDatabase:
        """Return a database with everything that a service's migrations make."""
        return self._clone(service, service, lambda made: self._migrate(made))

    def copy(self, database: ServiceDatabase) -> ServiceDatabase:
        """Return a database like this one, which must have no session at the moment."""
        return self._create(database.service, database.name)

    def drop(self, name: str) -> None:
        """Drop a database, cutting its sessions."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        if name in self._made:
            self._made.remove(name)

    def close(self) -> None:
        """Drop every database that this factory made."""
        for name in list(self._made):
            self.drop(name)

    def alembic_config(self, database: ServiceDatabase) -> Config:
        """Return Alembic's configuration of a service, bound to a database as its owner."""
        config = alembic_config(database.service)
        config.attributes["connection"] = create_engine(normalise_url(database.owner_url), poolclass=NullPool)
        return config

    def _clone(self, key: str, service: str, fill: Callable[[ServiceDatabase], None]) -> ServiceDatabase:
        """Return a clone of the key's template, which is made and filled at the first call."""
        if key not in self._templates:
            template = self.blank(service)
            fill(template)
            self._templates[key] = template.name
        return self._create(service, self._templates[key])

    def _install_base(self, database: ServiceDatabase) -> None:
        app = sql.Identifier(f"{database.service}_app")
        with psycopg.connect(psycopg_url(database.owner_url)) as connection:
            for statement in (*SHARED_DDL, *LANE_DDL, *LANE_PARTS_DDL, *HEAD_DDL):
                connection.execute(statement)
            for table, privileges in (SHARED_GRANTS | LANE_GRANTS | HEAD_GRANTS).items():
                connection.execute(
                    sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(privileges), sql.Identifier(table), app)
                )

    def _migrate(self, database: ServiceDatabase) -> None:
        command.upgrade(self.alembic_config(database), "head")

    def _create(self, service: str, template: str | None) -> ServiceDatabase:
        self._count += 1
        name = f"{self._mark}_{self._count}"
        source = sql.Identifier(template or "template0")
        self._execute(
            # A copy of the files costs less than writing every page of the template to the log.
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ENCODING 'UTF8' STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(f"{service}_owner"), source
            )
        )
        self._made.append(name)
        return ServiceDatabase(service, name, self._url(name, f"{service}_owner"), self._url(name, f"{service}_app"))

    def _make_roles(self, service: str) -> None:
        """Make the service's two roles; test processes that share a server find each other's and know the passwords."""
        with psycopg.connect(self._admin_text(), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_ROLE_LOCK,))
            for role in (f"{service}_owner", f"{service}_app"):
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                    connection.execute(
                        sql.SQL(
                            "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {}"
                        ).format(
                            sql.Identifier(role), sql.Literal(ROLE_CONNECTIONS_MAX), sql.Literal(self._password(role))
                        )
                    )

    def _password(self, role: str) -> str:
        """Return a role's password: the same in every test process that knows the superuser's."""
        return hashlib.sha256(f"{self._admin.password}:{role}".encode()).hexdigest()[:32]

    def _url(self, name: str, role: str) -> str:
        url: URL = self._admin.set(drivername="postgresql", username=role, password=self._password(role), database=name)
        return url.render_as_string(hide_password=False)

    def _admin_text(self) -> str:
        return self._admin.set(drivername="postgresql").render_as_string(hide_password=False)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._admin_text(), autocommit=True) as connection:
            connection.execute(statement)


def fetch_all(url: str, query: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a connection of its own; for looking at a database from outside."""
    with psycopg.connect(psycopg_url(url), autocommit=True) as connection:
        return connection.execute(query.encode(), tuple(parameters)).fetchall()
