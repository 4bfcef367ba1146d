"""What stood before the plan: nothing.

Why:        Metering is new with the plan. The baseline exists so that every service's history begins the same way,
            and so that adopting a database that stands already is the same step for all five.
Lock class: none.
Reversible: yes, there is nothing to undo.
Pre-flight: none.
"""

from __future__ import annotations

revision = "metering_baseline"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing: no table of metering was there before."""


def downgrade() -> None:
    """Nothing to take away."""
