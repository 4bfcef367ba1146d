"""The runbook has a section for every state in which work stands still."""

from __future__ import annotations

import re
from pathlib import Path

from apportion_common import standstill
from apportion_common.lanes import errors

RUNBOOK = Path(__file__).parents[2] / standstill.RUNBOOK


def test_every_state_in_which_work_stands_still_has_its_section_in_the_runbook() -> None:
    states = {value for name, value in vars(standstill).items() if name.isupper() and value == name}
    stops = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", errors.__doc__ or ""))
    headings = set(re.findall(r"^### ([A-Z_]+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(states) == 10
    assert len(stops) == 5
    assert states | stops == headings
