"""Reasons are a vocabulary: listed, told apart by one status each, named in the contracts as they are, and returned.

What was returned is told by docs/observed-answers.json, which `make observe` writes from what test runs have seen.
"""

from __future__ import annotations

import json
import re

from house import ROOT, expect_none

from scripts import error_reasons, observed, status_table

STATUSES = set(error_reasons.statuses().values()) | {"INTERNAL", "UNKNOWN"}
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
WORD = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


def test_the_page_of_reasons_is_what_the_code_says_and_a_test_run_has_seen() -> None:
    text = error_reasons.document(error_reasons.collect(), observed.load())
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


def test_every_declared_reason_has_been_returned() -> None:
    """Write a test that makes it happen and run `make observe`; or delete the reason with its code."""
    expect_none(error_reasons.unseen(observed.load()))


def test_every_safety_net_is_declared() -> None:
    expect_none(set(error_reasons.SAFETY_NETS) - error_reasons.all_reasons())


def test_no_rpc_or_reason_is_said_to_have_been_seen_that_is_no_longer_there() -> None:
    seen = observed.load()
    expect_none(set(seen.rpcs) - {row.key for row in status_table.rpcs()})
    expect_none(set(seen.reasons) - error_reasons.all_reasons())


def test_the_file_of_what_was_seen_is_written_in_one_way() -> None:
    text = observed.FILE.read_text(encoding="utf-8")
    assert observed.text_of(observed.load()) == text, "Run `make observe`."
    assert json.loads(text)


def test_every_reason_of_dead_letters_and_stopped_lanes_is_explained() -> None:
    assert set(error_reasons.DEAD_LETTERS) == set(error_reasons.dead_letter_reasons())
    assert set(error_reasons.STOPS) == error_reasons.stop_reasons()
