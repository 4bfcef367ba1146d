"""What the documentation says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from apportion_common.settings import SERVICES
from apportion_common.topology import STREAMS
from house import ROOT, expect_none, tracked_files

from scripts import limits_table, observed, parties_table, status_table

README = ROOT / "README.md"
README_LINES_MAX = 120
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    return [file for file in tracked_files() if file.suffix == ".md"]


def test_the_page_of_rpcs_is_what_the_services_are_and_a_test_run_has_seen() -> None:
    text = status_table.document(status_table.rpcs(), observed.load())
    assert status_table.DOCUMENT.read_text(encoding="utf-8") == text, "Run `make docs`."


def test_every_rpc_that_is_built_has_been_answered() -> None:
    """Write a test that calls it and run `make observe`."""
    expect_none(status_table.unanswered(status_table.rpcs(), observed.load()))


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_gives_the_command_as_a_line_of_its_own(command: str) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert any(command in block.splitlines() for block in blocks)


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES_MAX


def test_the_page_of_limits_is_what_the_code_says() -> None:
    assert parties_table.DOCUMENT.read_text(encoding="utf-8") == parties_table.document(), "Run `make docs`."
    assert limits_table.DOCUMENT.read_text(encoding="utf-8") == limits_table.document(), "Run `make docs`."


def test_every_link_within_the_documentation_leads_somewhere() -> None:
    expect_none(
        f"{file.relative_to(ROOT)}: {target}"
        for file in documents()
        for target in LINK.findall(file.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("#")
        if not (file.parent / target.partition("#")[0]).exists()
    )


def test_every_make_target_that_the_documentation_names_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    expect_none(
        f"{file.relative_to(ROOT)}: make {name}"
        for file in documents()
        for name in re.findall(r"(?:`|^|&& )make ([a-z-]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        if name not in targets
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_test_that_a_service_names_as_proof_exists(service: str) -> None:
    readme = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
    tests = (ROOT / "services" / service / "tests").rglob("*.py")
    common = (ROOT / "libs").rglob("test_*.py")
    whole = (ROOT / "tests").rglob("test_*.py")
    defined = {
        name
        for file in (*tests, *common, *whole)
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    } | {file.stem for file in (ROOT / "services" / service / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(test_\w+)`", readme))
    assert named, "The README names no test as proof of an invariant."
    expect_none(named - defined)


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_readme_says_what_holds_what_comes_and_goes_and_how_to_operate_it(service: str) -> None:
    text = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
    headings = " ".join(line.lower() for line in text.splitlines() if line.startswith("#"))
    assert "hold" in headings or "invariant" in headings, "What always holds, and which test shows it?"
    assert "operat" in headings, "How is it operated?"
    streams = [name for spec in STREAMS for name in (spec.name, spec.subjects[0].rstrip("*>"))]
    assert "events" in headings or any(name in text for name in streams), "Which events come in, and which go out?"


def test_the_picture_of_imports_shows_no_way_across_and_is_drawn_the_same_twice(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; sys.path.insert(0, 'scripts'); import import_graph as g;"
        "parts, found = g.edges(); assert not g.across(found);"
        "pathlib.Path(sys.argv[1]).write_text(g.draw(parts, found), encoding='utf-8')"
    )
    for name in ("first", "second"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], cwd=ROOT, check=True)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (ROOT / "docs" / "imports.svg").exists()
