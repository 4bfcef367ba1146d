"""Scaffolds a revision of a service at the end of the plan: its file with the header to fill in, and its step.

Used by `make new-revision SERVICE=… NAME=…`. The gates refuse it until the gaps are filled.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from apportion_common.clock import SystemClock
from apportion_migrate.plan import Plan, PlanError, load_plan, package_folder

NAME: Final = re.compile(r"[a-z][a-z0-9_]{2,60}")
NUMBERED: Final = re.compile(r"\d{8}_(\d+)_")
SCAFFOLD: Final = '''"""{title}.

Why:        …
Lock class: …
Reversible: …
Pre-flight: …
Test:       …
"""

from __future__ import annotations

from apportion_migrate.revision import RevisionNotes

revision = "{revision}"
down_revision = "{down_revision}"
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
    """Go to this revision: by `op`, and by what `apportion_migrate.ops` has for it."""


def downgrade() -> None:
    """Go back to the one before it."""
'''


def new_revision(plan: Plan, service: str, name: str, day: str) -> Path:
    """Write a revision's file and its step on a day such as "20250920"; PlanError where name or service is none."""
    if service not in plan.services:
        raise PlanError(f"SERVICE is one of {', '.join(plan.services)}, not {service!r}.")
    if NAME.fullmatch(name) is None:
        raise PlanError(f"NAME is lower-case words joined by underscores, not {name!r}.")
    plan.check()
    numbers = [int(found.group(1)) for step in plan.steps if (found := NUMBERED.match(step.revision))]
    revision = f"{day}_{max(numbers, default=0) + 1:02}_{name}"
    steps = plan.steps_of(service)
    title = name.replace("_", " ").capitalize()
    file = package_folder(service) / "migrations" / "versions" / f"{revision}.py"
    text = SCAFFOLD.format(title=title, revision=revision, down_revision=steps[-1].revision)
    file.write_text(text, encoding="utf-8")
    step = ("", "[[step]]", f'title = "{title}"', f'service = "{service}"', f'baseline = "{steps[0].revision}"')
    before = plan.file.read_text(encoding="utf-8").rstrip("\n")
    plan.file.write_text("\n".join((before, *step, f'revision = "{revision}"', "")), encoding="utf-8")
    load_plan(plan.file).check()
    return file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    try:
        made = new_revision(load_plan(), arguments.service, arguments.name, f"{SystemClock().now():%Y%m%d}")
    except PlanError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made}: fill in what is marked with …, then `make migration-checksums`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
