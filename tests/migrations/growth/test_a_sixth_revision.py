"""The plan grows: a revision is scaffolded, filled in and judged by every gate, with nothing else to edit."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from apportion_migrate.plan import load_plan

from conftest import Tree

SERVICE = "orgs"
FILLED = {
    "Why:        …": "Why:        An organisation belongs to a region.",
    "Lock class: …": "Lock class: exclusive-short (a column without a default).",
    "Reversible: …": "Reversible: yes.",
    "Pre-flight: …": "Pre-flight: nothing can be in the way.",
    "Test:       …": "Test:       tests/migrations/growth/test_a_sixth_revision.py",
    'why="…"': 'why="An organisation belongs to a region."',
    'lock_class="none"': 'lock_class="exclusive-short"',
    'test="…"': 'test="tests/migrations/growth/test_a_sixth_revision.py"',
    "import annotations\n": "import annotations\n\nfrom alembic import op",
    '    """Go to this revision: by `op`, and by what `apportion_migrate.ops` has for it."""': (
        '    op.execute("ALTER TABLE organization ADD COLUMN region text")'
    ),
    '    """Go back to the one before it."""': '    op.execute("ALTER TABLE organization DROP COLUMN region")',
}
MODEL = '\nmetadata.tables["organization"].append_column(Column("region", Text))\n'
GATES = (
    "tests/migrations/gates",
    "tests/architecture/test_migrations_match_models.py",
    "libs/migrate/tests/migrations/test_migration_plan.py",
)


def revision_in(tree: Tree) -> Path:
    """Return the file of the revision that was scaffolded last."""
    folder = tree.root / f"services/{SERVICE}/src/apportion_{SERVICE}/migrations/versions"
    return max(folder.glob("2*.py"))


def fill(tree: Tree) -> str:
    """Fill the scaffold and the model in; return the revision."""
    file = revision_in(tree)
    text = file.read_text(encoding="utf-8")
    for gap, filling in FILLED.items():
        assert gap in text, gap
        text = text.replace(gap, filling)
    file.write_text(text, encoding="utf-8")
    tables = tree.root / f"services/{SERVICE}/src/apportion_{SERVICE}/store/tables.py"
    tables.write_text(tables.read_text(encoding="utf-8") + MODEL, encoding="utf-8")
    return file.stem


def test_a_scaffolded_revision_has_the_next_number_and_its_step_and_is_formatted(tree: Tree) -> None:
    done = tree.scaffold(SERVICE, "add_region")
    assert done.returncode == 0, done.stderr
    number = len(load_plan().steps) - len(load_plan().services) + 1
    assert re.fullmatch(rf"\d{{8}}_{number:02}_add_region", revision_in(tree).stem)
    assert revision_in(tree).stem in (tree.root / "libs/migrate/src/apportion_migrate/plan.toml").read_text()
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (["format", "--check"], ["check"]):
        program = f"import subprocess, sys; sys.exit(subprocess.call({[ruff, *command, str(revision_in(tree))]}))"
        checked = tree.run("-c", program)
        assert checked.returncode == 0, checked.stdout


def test_a_scaffold_is_refused_until_its_gaps_are_filled(tree: Tree) -> None:
    tree.scaffold(SERVICE, "add_region")
    linted = tree.run("-m", "apportion_migrate.command", "lint")
    complaints = [json.loads(line)["message"] for line in linted.stdout.splitlines()]
    assert complaints == ["The scaffold's gaps are still to be filled."]


@pytest.mark.parametrize(("service", "name"), [("billing", "add_region"), ("orgs", "Add Region"), ("orgs", "x")])
def test_a_revision_of_no_service_or_no_name_is_refused(tree: Tree, service: str, name: str) -> None:
    plan = (tree.root / "libs/migrate/src/apportion_migrate/plan.toml").read_text()
    assert tree.scaffold(service, name).returncode == 1
    assert (tree.root / "libs/migrate/src/apportion_migrate/plan.toml").read_text() == plan


@pytest.mark.servers
def test_a_sixth_revision_passes_every_gate_with_its_model_and_its_checksum_alone(tree: Tree) -> None:
    tree.scaffold(SERVICE, "add_region")
    revision = fill(tree)
    written = tree.run("scripts/migration_checksums.py")
    assert written.returncode == 0, written.stderr
    # What every other revision passes is shown by the gates themselves; here it is the new one's turn.
    chosen = f"{revision} or {SERVICE} or test_gate_text or test_plan_both_ways or test_migration_plan"
    code, said = tree.pytest(*GATES, "-k", chosen)
    assert code == 0, said[-4_000:]
    assert re.search(r"\b\d+ passed", said)


@pytest.mark.servers
def test_a_sixth_revision_that_forgets_its_model_or_changes_an_older_one_is_refused(tree: Tree) -> None:
    tree.scaffold(SERVICE, "add_region")
    fill(tree)
    tables = tree.root / f"services/{SERVICE}/src/apportion_{SERVICE}/store/tables.py"
    tables.write_text(tables.read_text(encoding="utf-8").replace(MODEL, ""), encoding="utf-8")
    older = next(revision_in(tree).parent.glob("20250920_05_*.py"))
    older.write_text(older.read_text(encoding="utf-8").replace("clock_timestamp()", "now()", 1), encoding="utf-8")
    written = tree.run("scripts/migration_checksums.py")
    assert (written.returncode, "20250920_05" in written.stderr) == (1, True)
    code, said = tree.pytest("tests/architecture/test_migrations_match_models.py", "-k", SERVICE)
    assert code == 1
    assert "region" in said
