"""Reasons are a vocabulary: listed, told apart by one status each, named in the contracts as they are, and tested."""

from __future__ import annotations

import re
from pathlib import Path

from apportion_common.lanes import errors as lane_errors
from apportion_common.topology import DEAD_LETTER_REASONS
from house import ROOT, expect_none

from scripts import error_reasons

STATUSES = set(error_reasons.statuses().values()) | {"INTERNAL", "UNKNOWN"}
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
WORD = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


def test_the_page_of_reasons_is_what_the_code_says() -> None:
    text = error_reasons.document(error_reasons.collect())
    assert error_reasons.DOCUMENT.read_text(encoding="utf-8") == text, "Run `make docs`."


def test_every_reason_is_upper_snake_and_has_a_meaning() -> None:
    reasons = error_reasons.collect()
    expect_none(name for name in reasons if not UPPER_SNAKE.fullmatch(name))
    expect_none(name for name, reason in reasons.items() if not (error_reasons.MEANINGS.get(name) or reason.meaning))
    expect_none(name for name in error_reasons.MEANINGS if name not in reasons)


def test_a_reason_comes_with_one_status() -> None:
    """Programs decide by the reason: it means the same wherever it is raised."""
    expect_none(
        f"{name}: {', '.join(sorted(reason.statuses))} in {', '.join(sorted(reason.modules))}"
        for name, reason in error_reasons.collect().items()
        if len(reason.statuses) > 1
    )


def test_every_reason_that_a_contract_names_is_raised() -> None:
    """Comments of RPCs name reasons after "Errors:", up to the comment's end."""
    raised = set(error_reasons.collect())
    found = []
    for file in sorted((ROOT / "proto" / "apportion").rglob("*_service.proto")):
        for comment in re.findall(r"((?:^ *// .*\n)+) *rpc (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            text, rpc = comment
            _, named, errors = text.partition("Errors:")
            if named:
                found += [
                    f"{file.stem} {rpc}: {name}" for name in WORD.findall(errors) if name not in raised | STATUSES
                ]
    expect_none(found)


def test_every_reason_is_asserted_in_a_test() -> None:
    texts = "\n".join(file.read_text(encoding="utf-8") for file in _tests())
    expect_none(name for name in error_reasons.collect() if not re.search(rf"\b{name}\b", texts))


def test_every_reason_for_which_a_mail_proves_nothing_is_asserted_in_a_test() -> None:
    texts = "\n".join(file.read_text(encoding="utf-8") for file in _tests())
    expect_none(name for name in error_reasons.mail_reasons() if not re.search(rf"\b{name}\b", texts))


def test_every_reason_of_dead_letters_and_stopped_lanes_is_explained() -> None:
    page = error_reasons.DEAD_LETTERS
    letters = DEAD_LETTER_REASONS
    assert set(re.findall(r"^\| `(\w+)` \|.*\|.*\|$", page.partition("## Why a lane")[0], re.MULTILINE)) == set(letters)
    stopped = set(WORD.findall(lane_errors.__doc__ or ""))
    assert set(re.findall(r"`(\w+)`", page.partition("## Why a lane")[2])) == stopped


def _tests() -> list[Path]:
    places = ("libs/*/tests", "services/*/tests", "tests")
    files = {file for place in places for file in ROOT.glob(f"{place}/**/*.py")}
    return sorted(file for file in files if "architecture" not in file.parts)
