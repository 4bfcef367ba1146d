"""What a way back would take with it, and whether somebody has said that it may."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from alembic.script import Script
from sqlalchemy import Connection, text

from apportion_migrate.checksums import Applied, recorded
from apportion_migrate.databases import Environ, current_version, owner_session, revisions_at
from apportion_migrate.errors import IrreversibleError
from apportion_migrate.plan import Plan, Step
from apportion_migrate.revision import notes_of
from apportion_migrate.statements import revision_statements

_DROP_TABLE: Final = re.compile(r"\ADROP TABLE (?:IF EXISTS )?(\w+)", re.IGNORECASE)
_KEPT_BY_MIGRATIONS: Final = frozenset({"config_head", "data_migration", "lane"})
"""Tables whose rows revisions and the runner write themselves: an environment without any data has them too."""


def require_losses_named(plan: Plan, steps: Sequence[Step], destroy: Collection[str], environ: Environ) -> None:
    """See that everything irreversible on the way back was named, and nothing else; raises IrreversibleError."""
    strangers = sorted(set(destroy) - {step.revision for step in steps})
    if strangers:
        raise IrreversibleError(f"{', '.join(strangers)} would not be undone, so there is nothing to destroy.")
    refused: list[str] = []
    for service in dict.fromkeys(step.service for step in steps):
        with owner_session(service, environ) as connection:
            covered = revisions_at(plan, service, current_version(connection, service))
            applied = recorded(connection)
            for step in steps:
                if step.service != service or step.revision not in covered or step.revision in destroy:
                    continue
                reason = _loss(plan, step, connection, applied)
                if reason:
                    refused.append(f'--destroy "{step.revision}" ({reason})')
    if refused:
        raise IrreversibleError(f"This way back loses what nothing brings back. To go it, say {', '.join(refused)}.")


def _loss(plan: Plan, step: Step, connection: Connection, applied: Mapping[str, Applied]) -> str:
    """Return why undoing a step needs its name said; empty when it does not."""
    script = plan.revision_of(step)
    notes = notes_of(script)
    if step.revision in applied and applied[step.revision].adopted:
        return "its tables were adopted, not made here"
    if notes is None:
        return "it does not say that it can be undone"
    if not notes.reversible:
        return notes.irreversible_reason
    lost = _tables_with_rows_lost(connection, script, step.service)
    return f"it drops what is in {', '.join(lost)}" if lost else ""


def _tables_with_rows_lost(connection: Connection, script: Script, service: str) -> list[str]:
    """Return the tables, by name, that undoing a revision drops with rows in them; only looks."""
    names = [
        found[1]
        for statement in revision_statements(script, service, "down")
        if (found := _DROP_TABLE.match(statement)) is not None
    ]
    return [
        name
        for name in names
        if name not in _KEPT_BY_MIGRATIONS
        and connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar_one() is not None
        # The name is one of the revision's own.
        and connection.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar_one()  # noqa: S608
    ]
