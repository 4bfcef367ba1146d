"""A plan of its own with two toy services of two revisions each, in packages and on databases of their own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from apportion_migrate.plan import PLAN_SETTING, Plan, load_plan

TOYS = ("alpha", "beta")

ENV = """
from apportion_migrate.environment import run
from sqlalchemy import MetaData

run(MetaData(), service="{service}")
"""
REVISION = """
from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.preflight import Check
from apportion_migrate.revision import RevisionNotes

revision = {revision!r}
down_revision = {down!r}
NOTES = RevisionNotes({notes})


def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
"""
NOTES = {
    "why": "A toy.",
    "phase": "expand",
    "lock_class": "exclusive-short",
    "reversible": True,
    "test": "plan.toml",
}
NOTE = "op.execute(\"INSERT INTO step_log SELECT '{}', pg_backend_pid(), current_setting('lock_timeout')\")"


@dataclass(frozen=True)
class Toy:
    """Toy services below a folder, and the environment that leads to their plan, packages and databases."""

    root: Path
    plan: Plan
    environ: dict[str, str]
    app_url: Callable[[str], str]

    def connect(self, service: str) -> psycopg.Connection[tuple[object, ...]]:
        """A session of a toy's database owner, in autocommit."""
        return psycopg.connect(self.environ[f"{service.upper()}_MIGRATION_DATABASE_URL"], autocommit=True)

    def rewrite(self, service: str, upgrade: str, downgrade: str = "pass", **notes: object) -> None:
        """Give the service's second revision another body, and what it says of itself."""
        write_revision(self.root, service, f"{service}_2", f"{service}_1", upgrade, downgrade, **notes)


def migrations_of(root: Path, service: str) -> Path:
    """Return the folder of a toy's migrations."""
    return root / f"apportion_{service}" / "migrations"


def write_revision(
    root: Path, service: str, revision: str, down: str | None, upgrade: str, downgrade: str, **notes: object
) -> None:
    file = migrations_of(root, service) / "versions" / f"{revision}.py"
    said = {**NOTES, **notes}
    shown = ", ".join(f"{name}={value if name == 'checks' else repr(value)}" for name, value in said.items())
    text = REVISION.format(revision=revision, down=down, upgrade=upgrade, downgrade=downgrade, notes=shown)
    file.write_text(text)


def make_toy(root: Path, owner_url: Callable[[str], str], app_url: Callable[[str], str]) -> Toy:
    """Write plan and packages, and put these on the path of imports.

    The revisions note in `step_log` that they ran, and with which lock time-out.
    """
    plan = ""
    for service in TOYS:
        folder = migrations_of(root, service)
        (folder / "versions").mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / "env.py").write_text(ENV.format(service=service))
        first, second = f"{service}_1", f"{service}_2"
        create = 'op.execute("CREATE TABLE step_log (step text, backend int, lock_timeout text)"); '
        write_revision(root, service, first, None, create + NOTE.format(first), 'op.execute("DROP TABLE step_log")')
        write_revision(root, service, second, first, NOTE.format(second), "pass")
        plan += f'[[step]]\ntitle = "{service}"\nservice = "{service}"\nbaseline = "{first}"\nrevision = "{second}"\n'
    file = root / "plan.toml"
    file.write_text(plan)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    environ = {f"{service.upper()}_MIGRATION_DATABASE_URL": owner_url(service) for service in TOYS}
    environ |= {PLAN_SETTING: str(file), "PYTHONPATH": str(root)}
    return Toy(root, load_plan(file), environ, app_url)
