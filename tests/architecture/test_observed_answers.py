"""What becomes of the evidence of test runs: a file that is the same for the same evidence, and a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import observe, observed
from scripts.observed import Observed

METHOD = "/apportion.orgs.v1.OrgsService/GetOrg"
FACTS = {
    ("wire", METHOD, "OK", ""),
    ("wire", METHOD, "NOT_FOUND", "ORG_NOT_FOUND"),
    ("wire", METHOD, "CANCELLED", ""),
    ("servicer", METHOD, "OK", ""),
    ("data", "/apportion.metering.v1.MeteringService/ListDeadLetters", "UNKNOWN_ORG"),
    ("raised", "apportion_orgs.errors", "ORG_NOT_FOUND"),
    ("raised", "apportion_common.grpc.status", "ORG_EXISTS"),
    ("stopped", "BATCH_SEQ_GAP"),
}


def test_evidence_becomes_what_was_seen_of_rpcs_and_reasons_and_is_read_back_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Observed()
    seen.add(FACTS, {"ORG_NOT_FOUND": {"orgs: errors"}, "ORG_EXISTS": {"orgs: errors"}})
    assert seen.rpcs["orgs GetOrg"].wire == {"OK": set(), "NOT_FOUND": {"ORG_NOT_FOUND"}}
    assert seen.reasons["ORG_NOT_FOUND"].ways == {"wire", "raised"}
    assert "ORG_EXISTS" not in seen.reasons, "an answer of another service that is read is not raised here"
    assert seen.carried("UNKNOWN_ORG", "metering")
    assert not seen.carried("UNKNOWN_ORG", "identity")
    assert seen.seen_as("BATCH_SEQ_GAP", ["stopped"])

    monkeypatch.setattr(observed, "FILE", tmp_path / "observed.json")
    observed.FILE.write_text(observed.text_of(seen), encoding="utf-8")
    assert observed.load() == seen


def test_what_is_no_longer_there_is_forgotten() -> None:
    seen = Observed()
    seen.add(FACTS, {})
    seen.keep(["orgs GetOrg"], ["BATCH_SEQ_GAP"])
    assert seen.rpcs["orgs GetOrg"].wire == {"OK": set(), "NOT_FOUND": set()}
    assert set(seen.reasons) == {"BATCH_SEQ_GAP"}


def test_a_whole_run_that_saw_too_little_or_too_much_fails_and_says_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(observe, "EVIDENCE", tmp_path)
    monkeypatch.setattr(observe, "WHOLE", tmp_path / "whole-run")
    odd = {("wire", METHOD, "INTERNAL", "ORG_NOT_FOUND"), ("wire", METHOD, "NOT_FOUND", "OF_NO_PAGE")}
    monkeypatch.setattr(observed, "evidence", lambda: FACTS | odd)
    assert observe.check() == 1
    said = capsys.readouterr().out
    for line in (
        "orgs AddChild",
        "refusal ORG_SLUG_TAKEN",
        "stopped lane OUTPUT_REWOUND",
        "OF_NO_PAGE",
        "orgs GetOrg: ORG_NOT_FOUND as INTERNAL",
    ):
        assert f"  {line}\n" in said
    assert "  orgs GetOrg\n" not in said
