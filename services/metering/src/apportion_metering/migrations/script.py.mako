"""${message}

Why:        …
Lock class: …
Reversible: …
Pre-flight: …
Test:       …
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="…",
    phase="expand",
    lock_class="none",
    reversible=True,
    checks=(),
    test="…",
)


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
