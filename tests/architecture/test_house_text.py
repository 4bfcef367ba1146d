"""The product's text speaks of the product: no machine's paths, no address of a package registry, no secret."""

from __future__ import annotations

import re
from pathlib import Path

from house import ROOT, expect_none, tracked_files

# Written in pieces, so that this file does not find itself.
FORBIDDEN = re.compile(
    "|".join(
        (
            r"(?<![\w.])/" + r"work/",
            r"/tmp/" + r"brief",
            r"\.\./" + r"shared/",
            r"\b" + r"facts/[a-z-]+\.md",
            r"\b" + r"spec/0\d",
            r"\b[Ii]ssue " + r"#?\d",
            r"/home/" + r"[a-z]",
            r"/Users/" + r"[A-Za-z]",
        )
    )
)
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE " + r"KEY-----\s+[A-Za-z0-9+/=]{40,}"
    r"|\beyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}"
)
REGISTRY = re.compile(r"(?:pypi|pythonhosted|npmjs|crates)\." + r"(?:org|io|com)|index-" + r"url", re.IGNORECASE)
# Other people's messages are read where they lie, by one default of one setting, and never kept here.
MAIL_CASES = (Path("conftest.py"), "../" + "shared/", 'MAIL_CASES = "../' + 'shared/cases/mail.json"')
BINARY = {".gz", ".png", ".ico", ".binpb"}
LOCK = "uv.lock"


def texts() -> list[tuple[Path, str]]:
    files = (file for file in tracked_files() if file.suffix not in BINARY)
    return [(file.relative_to(ROOT), file.read_text(encoding="utf-8")) for file in files]


def test_no_text_speaks_of_the_place_where_it_was_written() -> None:
    expect_none(
        f"{file}:{text.count(chr(10), 0, hit.start()) + 1}: {hit.group()}"
        for file, text in texts()
        if file.name != LOCK
        for hit in FORBIDDEN.finditer(text)
        if not is_the_mail_cases_default(file, text, hit)
    )


def test_the_mail_cases_are_named_once() -> None:
    file, words, line = MAIL_CASES
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.count(words) == text.splitlines().count(line) == 1


def is_the_mail_cases_default(file: Path, text: str, hit: re.Match[str]) -> bool:
    """Whether this is the one line that says where the published mail cases lie."""
    allowed_file, words, line = MAIL_CASES
    start = text.rfind("\n", 0, hit.start()) + 1
    return file == allowed_file and hit.group() == words and text[start:].partition("\n")[0] == line


def test_only_the_lock_file_names_a_package_registry() -> None:
    expect_none(
        f"{file}: {hit.group()}" for file, text in texts() if file.name != LOCK for hit in REGISTRY.finditer(text)
    )


def test_no_private_key_and_no_token_is_checked_in() -> None:
    expect_none(f"{file}: {hit.group()[:40]}" for file, text in texts() for hit in SECRET.finditer(text))


def test_generated_stubs_and_data_apart_every_text_file_ends_in_one_line_feed() -> None:
    expect_none(
        str(file)
        for file, text in texts()
        if text and not (text.endswith("\n") and not text.endswith("\n\n"))
        if "gen/src" not in file.as_posix() and file.suffix not in {".json", ".csv"}
    )
