"""Scaffolds a revision of a service at the end of the plan: its file with the header to fill in, and its step.

Used by `make new-revision SERVICE=… NAME=…`. The gates refuse it until the gaps are filled.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from alembic.script import ScriptDirectory
from apportion_common.clock import SystemClock
from apportion_migrate.plan import PLAN_FILE, Plan, PlanError, find_root, load_plan

NAME = re.compile(r"[a-z][a-z0-9_]{2,60}")
NUMBERED = re.compile(r"\d{8}_(\d+)_")


def new_revision(plan: Plan, service: str, name: str, day: str) -> Path:
    """Write a revision's file and its step on a day such as "20250920"; PlanError where name or service is none."""
    if service not in plan.services:
        raise PlanError(f"SERVICE is one of {', '.join(plan.services)}, not {service!r}.")
    if NAME.fullmatch(name) is None:
        raise PlanError(f"NAME is lower-case words joined by underscores, not {name!r}.")
    plan.check()
    numbers = [int(found.group(1)) for step in plan.steps if (found := NUMBERED.match(step.revision))]
    revision = f"{day}_{max(numbers, default=0) + 1:02}_{name}"
    script = ScriptDirectory.from_config(plan.alembic_config(service))
    title = name.replace("_", " ").capitalize()
    made = script.generate_revision(revision, f"{title}.", head="head")
    if made is None:
        raise PlanError(f"Alembic made no file for {revision}.")
    baseline = next(step.revision for step in plan.steps if step.service == service)
    lines = ("", "[[step]]", f'title = "{title}"', f'service = "{service}"', f'baseline = "{baseline}"')
    file = plan.root / PLAN_FILE
    text = file.read_text(encoding="utf-8").rstrip("\n")
    file.write_text("\n".join((text, *lines, f'revision = "{revision}"', "")), encoding="utf-8")
    load_plan(plan.root).check()
    return Path(made.path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    plan = load_plan(find_root())
    try:
        made = new_revision(plan, arguments.service, arguments.name, f"{SystemClock().now():%Y%m%d}")
    except PlanError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made.relative_to(plan.root)}: fill in what is marked with …, then `make migration-checksums`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
