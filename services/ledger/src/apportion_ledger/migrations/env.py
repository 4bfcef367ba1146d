"""Alembic's environment of ledger: its tables, run as the conductor runs every service's."""

from __future__ import annotations

from apportion_ledger.store.tables import metadata
from apportion_migrate.environment import run

run(metadata, service="ledger")
