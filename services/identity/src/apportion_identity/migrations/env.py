"""Alembic's environment of identity: its tables, run as the conductor runs every service's."""

from __future__ import annotations

from apportion_identity.store.tables import metadata
from apportion_migrate.environment import run

run(metadata, service="identity")
