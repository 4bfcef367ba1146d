"""What can be said of revisions without a database: their SQL is safe, and what was let in once stays as it is."""

from __future__ import annotations

import json
import subprocess

from apportion_migrate.checksums import MANIFEST_FILE, changed, checksums, load_manifest
from apportion_migrate.lint import lint
from apportion_migrate.plan import Plan


def test_no_revision_has_unsafe_sql_or_leaves_its_notes_unsaid(plan: Plan) -> None:
    assert [complaint.as_text() for complaint in lint(plan)] == []


def test_every_revision_is_in_the_manifest_as_it_is(plan: Plan) -> None:
    now = {service: checksums(plan.script(service), service) for service in plan.services}
    assert load_manifest(plan.root) == now, "run `make migration-checksums` for a revision that is new"


def test_no_revision_of_the_last_release_has_changed(plan: Plan) -> None:
    tag = _git(plan, "describe", "--tags", "--abbrev=0")
    text = _git(plan, "show", f"{tag}:{MANIFEST_FILE}") if tag else ""
    released = json.loads(text) if text else {}
    assert changed(released, load_manifest(plan.root)) == []


def _git(plan: Plan, *arguments: str) -> str:
    """What git says; nothing where it has nothing to say, as before the first release."""
    done = subprocess.run(["git", *arguments], cwd=plan.root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
