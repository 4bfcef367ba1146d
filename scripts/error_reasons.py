"""Write docs/errors.md: every reason that the code can refuse with, read from the code itself.

`python scripts/error_reasons.py` writes the file; with `--check` it fails when the file is not what the code says.
A reason is the first argument of an error of `apportion_common.errors`. It is a text, a constant of its module, or
the attribute of a table of constants such as `DecimalKind`; anything else is refused here, so that no reason hides.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apportion_identity.app.verifications import REASONS as CLAIM_REASONS
from apportion_identity.app.verify_mail import TOO_MANY_QUESTIONS
from apportion_identity.domain.mail import message, verifier

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "errors.md"
CODE = ("libs/common/src", "services/*/src")
# The tree of the errors themselves and rate limits pass on the reasons that they are given.
PASS_ON = ("apportion_common/errors.py", "apportion_common/rate_limit.py")
RATE_LIMITED = "There were too many of these calls; try again later."
ERRORS = ROOT / "libs" / "common" / "src" / "apportion_common" / "errors.py"

STATUS_OF_OTHERS = {"DeadlineExceeded": "DEADLINE_EXCEEDED"}
OF_NO_CONSTRUCTOR = {
    "INTERNAL": (
        "INTERNAL",
        "The request failed for a reason of our own; it has been recorded.",
        "common: grpc/status",
    ),
    "VALIDATION_FAILED": (
        "INVALID_ARGUMENT",
        "The request breaks rules of its contract; the details name the fields.",
        "common: grpc/status",
    ),
}
"""Refusals whose class knows its own reason."""

DECIMAL_MEANINGS = {
    f"{kind.upper()}_{fault}": meaning.format(kind=kind)
    for kind in ("quantity", "price", "amount", "percent")
    for fault, meaning in (
        ("MALFORMED", "The {kind} is no decimal number, or is longer than one may be written."),
        ("OUT_OF_RANGE", "The {kind} has more digits before the point than fit, or lies outside what is allowed."),
        ("TOO_PRECISE", "The {kind} has more decimal places than are kept."),
    )
}
MEANINGS = DECIMAL_MEANINGS | {
    "CURRENCY_MISMATCH": "Two amounts that belong together are in different currencies.",
    "DATABASE_UNAVAILABLE": "The database does not answer, or is too busy to.",
    "DEPENDENCY_UNAVAILABLE": "Another service or server that is needed does not answer.",
    "EFFECTIVE_AT_NOT_PERIOD_START": "Only prices change within a period; this takes effect at a period's start.",
    "HIERARCHY_CYCLE": "The organisation would come to stand above itself.",
    "ID_MALFORMED": "An id is no UUID of 36 characters, or of 16 bytes in a compact event.",
    "METADATA_MALFORMED": "A label has no name, or is no valid text.",
    "METADATA_TOO_LARGE": "An event has too many labels, or labels of more than 1 KiB in all.",
    "MONEY_MALFORMED": "An amount of money has units and nanos that do not fit together.",
    "ORG_NOT_FOUND": "There is no organisation with that id.",
    "OVERRIDE_MALFORMED": "An override of a plan's row is not of the form that it must have.",
    "PARITY_NOT_PROVED": "The engine goes live only on a parity proof, or by an override where the profile allows one.",
    "ROLE_REQUIRED": "The token has none of the roles that may call this.",
    "STREAM_UNAVAILABLE": "The stream did not acknowledge every message: none, some or all was taken. Send it again.",
    "TIERS_MALFORMED": "A ladder of tiers is not a list of thresholds and prices.",
    "TIME_MALFORMED": "A time is missing or is no timestamp.",
    "TIME_OUT_OF_RANGE": "A time lies outside the years that are allowed.",
}
"""Meanings of reasons whose messages differ from place to place."""

HEAD = """\
# Why a call is refused

Every refusal is a `google.rpc.Status` with an `ErrorInfo` of the domain `apportion`, whose reason is one of these and
does not change; programs decide by the reason, people read the message. Fields at fault come as `BadRequest`, and what
may work later as `RetryInfo`. The rejections of single events in `IngestEvents` use the same reasons.

This page is written from the code by `make docs`. In a meaning, `‹…›` stands for what the message names.

| reason | status | meaning | raised in |
| --- | --- | --- | --- |
"""

DEAD_LETTERS = """
## Why an event becomes a dead letter

The event was taken and its id is claimed; it is not charged until it is requeued (docs/runbook.md).

| reason | meaning | can be requeued |
| --- | --- | --- |
| `UNKNOWN_ORG` | orgs knows no such organisation | yes |
| `UNKNOWN_SKU` | the catalog has no such SKU | yes |
| `NO_ENTITLEMENT` | the organisation has no plan at that time, or its plan has no row for the SKU | yes |
| `PERIOD_CLOSED` | the month of the event is closed for the organisation | yes |
| `EVENT_IN_FUTURE` | the event's time lies more than five minutes after its arrival | yes |
| `CORRECTION_BELOW_ZERO` | a negative quantity is more than what was used in the period | yes |
| `PAYLOAD_MISMATCH` | the id was used before with other content; the first stands | no |
| `UNDECODABLE` | the message on the lane cannot be read | no |
| `PROCESSING_FAILED` | the event fails alone, after retries, for a reason that no rule names | yes |

## Why a lane stops

A lane that cannot go on safely stops and waits for a person (docs/runbook.md).

| reason | meaning |
| --- | --- |
| `STREAM_REWOUND` | the input stream was made anew, or ends before what the lane has committed |
| `POS_GAP` | the batch after the last applied one is missing on the stream |
| `OUTPUT_REWOUND` | the output stream ends before what the lane has published |
"""


MAILS = """
## Why a mail proves no domain

`SubmitVerificationEmail` answers with one of these, and so does the mail gateway, after 550. A reason that begins with
DKIM may also stand with one of several signatures, of which another one counted.

| reason | what the sender is told |
| --- | --- |
"""


@dataclass
class Reason:
    """A reason, the statuses it comes with, its first message and the modules that raise it."""

    name: str
    statuses: set[str] = field(default_factory=set)
    meaning: str = ""
    modules: set[str] = field(default_factory=set)


class HiddenReasonError(Exception):
    """A reason that cannot be read from the code; the message names the place."""


def statuses() -> dict[str, str]:
    """Status name by class name, from the tree of errors."""
    found = dict(STATUS_OF_OTHERS)
    for node in ast.parse(ERRORS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                    found[node.name] = str(ast.literal_eval(line.value))
    return found


def collect() -> dict[str, Reason]:
    """All reasons by name. Raises HiddenReasonError for one that is neither a text nor a constant."""
    found = {
        name: Reason(name, {status}, meaning, {module}) for name, (status, meaning, module) in OF_NO_CONSTRUCTOR.items()
    }
    status_of = statuses()
    for path in sorted(file for place in CODE for folder in ROOT.glob(place) for file in folder.rglob("*.py")):
        if str(path).endswith(PASS_ON):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call, status in _refusals(tree, status_of):
            for name in _names(call, tree, path):
                reason = found.setdefault(name, Reason(name))
                reason.statuses.add(status)
                reason.modules.add(_module(path))
                reason.meaning = reason.meaning or _meaning(call, tree)
    return found


def _refusals(tree: ast.Module, status_of: dict[str, str]) -> Iterator[tuple[ast.Call, str]]:
    """Calls that make an error, with its status; a helper that is given the error's class counts as one, and so does
    taking a try of a rate limit."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
        if called == "take" and given:
            limited = ast.Call(func=node.func, args=[*given, ast.Constant(RATE_LIMITED)], keywords=[])
            yield ast.copy_location(limited, node), "RESOURCE_EXHAUSTED"
        elif called in status_of and node.args:
            yield node, status_of[called]
        elif len(node.args) > 1 and isinstance(node.args[0], ast.Name) and node.args[0].id in status_of:
            inner = ast.Call(func=node.args[0], args=node.args[1:], keywords=node.keywords)
            yield ast.copy_location(inner, node), status_of[node.args[0].id]


def _names(call: ast.Call, tree: ast.Module, path: Path) -> list[str]:
    """The reasons that a call may make: one, or those of a table's column."""
    first = call.args[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return [first.value]
    if isinstance(first, ast.Name) and (value := _constant(tree, first.id)) is not None:
        return [value]
    if isinstance(first, ast.Attribute) and (column := _column(tree, first.attr)):
        return column
    if isinstance(first, ast.Attribute) and first.attr == "reason":
        return []  # An error that is passed on keeps the reason of where it was made.
    raise HiddenReasonError(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(first)} is not a plain reason.")


def _constant(tree: ast.Module, name: str) -> str | None:
    """The text that a constant of the module is."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == name and isinstance(node.value.value, str):
                return node.value.value
    return None


def _column(tree: ast.Module, attribute: str) -> list[str]:
    """The texts that the instances of the module's own record class have in one attribute."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        names = [ast.unparse(line.target) for line in node.body if isinstance(line, ast.AnnAssign)]
        if attribute not in names:
            continue
        place = names.index(attribute)
        made = [c for c in ast.walk(tree) if isinstance(c, ast.Call) and ast.unparse(c.func) == node.name]
        return [str(ast.literal_eval(call.args[place])) for call in made if len(call.args) > place]
    return []


def _meaning(call: ast.Call, tree: ast.Module) -> str:
    """The message with its variable parts as ‹…›; without a message of its own the function's docstring."""
    if len(call.args) > 1:
        message = call.args[1]
        if isinstance(message, ast.Constant) and isinstance(message.value, str):
            return message.value
        if isinstance(message, ast.JoinedStr):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "‹…›" for part in message.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and call in ast.walk(node) and (text := ast.get_docstring(node)):
            return text.splitlines()[0]
    return ""


def _module(path: Path) -> str:
    """`ledger: app/sweep` of a service's module, `common: grpc/auth` of the floor's."""
    parts = path.with_suffix("").parts
    place = next(i for i, part in enumerate(parts) if part.startswith("apportion_"))
    return f"{parts[place].removeprefix('apportion_')}: {'/'.join(parts[place + 1 :])}"


def mail_reasons() -> dict[str, str]:
    """Every reason for which a mail proves nothing, with its sentence."""
    too_many = {TOO_MANY_QUESTIONS.reason: TOO_MANY_QUESTIONS.explanation}
    return {**CLAIM_REASONS, **message.REASONS, **verifier.REASONS, **too_many}


def document(reasons: dict[str, Reason]) -> str:
    """The whole page."""
    rows = []
    for name in sorted(reasons):
        reason = reasons[name]
        meaning = " ".join(MEANINGS.get(name, reason.meaning).split()).replace("|", "\\|")
        where = ", ".join(sorted(reason.modules))
        rows.append(f"| `{name}` | {', '.join(sorted(reason.statuses))} | {meaning} | {where} |\n")
    mails = [f"| `{name}` | {text} |\n" for name, text in sorted(mail_reasons().items())]
    return HEAD + "".join(rows) + MAILS + "".join(mails) + DEAD_LETTERS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when docs/errors.md is not what the code says")
    args = parser.parse_args()
    text = document(collect())
    if args.check:
        if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
            return 0
        print("docs/errors.md is not what the code says; run `make docs`.")
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
