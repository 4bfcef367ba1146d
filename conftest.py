"""Every test of the workspace runs against real servers; published cases are read from where a setting says."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# As in apportion_cli: tests start servers from processes that have called by grpc.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# How fast an example is says nothing on a busy machine; a failure prints what reproduces it.
settings.register_profile(
    "apportion",
    deadline=None,
    print_blob=True,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("apportion")

pytest_plugins = ["apportion_dev.testing.plugin", "apportion_dev.testing.observed"]

ROOT = Path(__file__).resolve().parent
MAIL_CASES = "../shared/cases/mail.json"
"""Where the published mail cases lie, seen from here, unless APPORTION_MAIL_CASES says otherwise."""
MAIL_CASES_NUMBER = 328
"""How many there are. Their messages are other people's, so they are read where they lie and never kept here."""
MAIL_CASE = "mail_case"
OUTCOMES = ("agree", "stricter", "differ")

_verdicts: Counter[tuple[str, str, str]] = Counter()
"""How many verdicts there were of each (kind, outcome, rule), told by the tests' reports: from every process."""


def mail_cases_file() -> Path:
    """The file of the published mail cases, there or not."""
    return (ROOT / os.environ.get("APPORTION_MAIL_CASES", MAIL_CASES)).resolve()


def pytest_report_header() -> str:
    """Say whether the published mail cases are judged."""
    if mail_cases_file().is_file():
        return f"mail cases: {MAIL_CASES_NUMBER} from {mail_cases_file()}"
    return f"mail cases: {MAIL_CASES_NUMBER} deselected, there is no {mail_cases_file()} (APPORTION_MAIL_CASES)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell tests where the cases are: `config.getoption("mail_cases")` is the file, or None where there is none."""
    file = mail_cases_file()
    parser.addoption("--mail-cases", default=str(file) if file.is_file() else None, help="published mail cases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the published mail cases where they are not."""
    if config.getoption("mail_cases") is not None:
        return
    without = [item for item in items if item.get_closest_marker("mail_cases")]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in set(without)]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the verdicts that tests recorded."""
    if report.when == "call":
        _verdicts.update(value for name, value in _properties(report) if name == MAIL_CASE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show how the verdicts on the published mail cases compare, and by which rules ours are stricter."""
    if not _verdicts:
        return
    write = terminalreporter.write_line
    terminalreporter.section("published mail cases")
    write(f"{'kind':42}{'cases':>7}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES))
    for kind in sorted({kind for kind, _, _ in _verdicts}):
        counts = [_count(kind, outcome) for outcome in OUTCOMES]
        write(f"{kind:42}{sum(counts):>7}" + "".join(f"{count:>10}" for count in counts))
    for (kind, outcome, rule), count in sorted(_verdicts.items()):
        if rule:
            write(f"  {kind}: {outcome} by {rule}: {count}")


def _properties(report: pytest.TestReport) -> list[tuple[str, tuple[str, str, str]]]:
    found = []
    for name, value in report.user_properties:
        kind, outcome, rule = str(value).split("|") if name == MAIL_CASE else ("", "", "")
        found.append((name, (kind, outcome, rule)))
    return found


def _count(kind: str, outcome: str) -> int:
    return sum(count for (one, what, _), count in _verdicts.items() if (one, what) == (kind, outcome))
