"""Alembic's environment of orgs: its tables, run as the conductor runs every service's."""

from __future__ import annotations

from apportion_migrate.environment import run
from apportion_orgs.store.tables import metadata

run(metadata, service="orgs")
