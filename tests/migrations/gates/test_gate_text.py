"""What can be said of revisions without a database: their SQL is safe, and what was let in once stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from apportion_migrate.checksums import changed, checksums, load_manifest, merged_manifest
from apportion_migrate.lint import lint
from apportion_migrate.plan import Plan

ROOT: Final = Path(__file__).resolve().parents[3]


def test_no_revision_has_unsafe_sql_or_leaves_its_notes_unsaid(plan: Plan) -> None:
    assert [complaint.as_text() for complaint in lint(plan, ROOT)] == []


def test_every_revision_is_in_the_manifest_as_it_is(plan: Plan) -> None:
    now = {service: checksums(plan.script(service), service) for service in plan.services}
    assert load_manifest(ROOT) == now, "run `make migration-checksums` for a revision that is new"


def test_no_revision_that_main_has_is_another_one_here() -> None:
    assert changed(merged_manifest(ROOT), load_manifest(ROOT)) == []
