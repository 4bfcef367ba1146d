"""Write docs/errors.md: the reasons that the code declares and that a test run has seen.

`python -m scripts.error_reasons` writes the file; with `--check` it fails when the file is not what the code and
docs/observed-answers.json say. What is declared is read from the code itself, what was seen from that file.
A reason is the first argument of an error of `apportion_common.errors`. It is a text, a constant of its module, or
the attribute of a table of constants such as `DecimalKind`; anything else is refused here, so that no reason hides.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apportion_common.lanes import errors as lane_errors
from apportion_common.topology import DEAD_LETTER_REASONS
from apportion_dev.testing.observed import RAISED, SERVER, SERVICER, STOPPED, WIRE
from apportion_identity.app.verifications import PROVED
from apportion_identity.app.verifications import REASONS as CLAIM_REASONS
from apportion_identity.app.verify_mail import TOO_MANY_QUESTIONS
from apportion_identity.domain.mail import message, verifier

from scripts import observed
from scripts.observed import Observed

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "errors.md"
CODE = ("libs/common/src", "services/*/src")
# The tree of the errors themselves and rate limits pass on the reasons that they are given.
PASS_ON = ("apportion_common/errors.py", "apportion_common/rate_limit.py", "apportion_dev/testing/observed.py")
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
    "DATABASE_UNAVAILABLE": "The database does not answer.",
    "DEPENDENCY_UNAVAILABLE": "Another service or server that is needed does not answer.",
    "EFFECTIVE_AT_NOT_PERIOD_START": "Only prices change within a period; this takes effect at a period's start.",
    "HIERARCHY_CYCLE": "The organisation would come to stand above itself.",
    "ID_MALFORMED": "An id is no UUID of 36 characters, or of 16 bytes in a compact event.",
    "METADATA_MALFORMED": "A label has no name, or is no valid text.",
    "METADATA_TOO_LARGE": "An event has too many labels, or labels of more than 1 KiB in all.",
    "MONEY_MALFORMED": "An amount of money has units and nanos that do not fit together.",
    "ORG_NOT_FOUND": "There is no organisation with that id.",
    "PARITY_NOT_PROVED": "The engine goes live only on a parity proof, or by an override where the profile allows one.",
    "ROLE_REQUIRED": "The token has none of the roles that may call this.",
    "STREAM_UNAVAILABLE": (
        "The stream gives no answer, did not acknowledge every message, or nobody can tell now whether it flushes "
        "before it acknowledges: none, some or all was taken. Send it again."
    ),
    "TIERS_MALFORMED": "Tiers are not a list of thresholds and prices.",
    "TIME_MALFORMED": "A time is missing or is no timestamp.",
    "TIME_OUT_OF_RANGE": "A time lies outside the years that are allowed.",
}
"""Meanings of reasons whose messages differ from place to place."""

SAFETY_NETS = {
    "CLAIM_TRANSITION": "every use case looks at the claim's status before it changes it",
    "ENTRY_TOO_LARGE": "the bounds of an event's fields keep every entry far below a message's size",
    "ENVELOPE_TOO_LARGE": "the services' events are far smaller; a larger one must fail its transaction",
    "FROM_NOT_UTF8": "the header as a whole is refused before (`HEADER_NOT_UTF8`)",
    "INTEGER_EMPTY": "the writer of a lane's message always writes at least one byte",
    "PAGE_SIZE_INVALID": "the contract's rule on page_size comes first",
    "REQUEST_ID_REQUIRED": "the contract's rule on request_id comes first; no mutation may run without one",
    "TIERS_MALFORMED": "what the contract or the service wrote has both parts as texts; other writers may not",
}
"""Reasons that no call is refused with as long as another check comes first, and that check."""

HEAD = """\
# Why a call is refused

Every refusal is a `google.rpc.Status` with an `ErrorInfo` of the domain `apportion`, whose reason is one of these and
does not change; programs decide by the reason, people read the message. Fields at fault come as `BadRequest`, and what
may work later as `RetryInfo`. The rejections of single events in `IngestEvents` use the same reasons.

This page is written by `make docs` from the code and from [what a test run has seen](observed-answers.json): a reason
that nothing returned has no place in the first table. In a meaning, `‹…›` stands for what the message names. Seen as:

- *answer*: a running server answered with it
- *servicer*: a service's method refused with it, called without a server
- *rejection*: `IngestEvents` rejected an event with it
- *error*: the module raised it for another part of the code, which decides what comes of it

| reason | status | meaning | raised in | seen as |
| --- | --- | --- | --- | --- |
"""

NETS = """
## Safety nets

The code can refuse with these too, but another check comes first: no call is known that is refused with them.

| reason | status | meaning | raised in | what comes first |
| --- | --- | --- | --- | --- |
"""

MAILS = """
## What is answered to a mail

`SubmitVerificationEmail` answers with one of these, and so does the mail gateway, after 250 where the mail counted and
after 550 where it proves nothing. A reason that begins with DKIM may also stand with one of several signatures, of
which another one counted.

| reason | what the sender is told |
| --- | --- |
"""

DEAD_LETTERS_HEAD = """
## Why an event becomes a dead letter

The event was taken and its id is claimed; it is not charged until it is requeued (docs/runbook.md).

| reason | meaning | can be requeued |
| --- | --- | --- |
"""

DEAD_LETTERS = {
    "UNKNOWN_ORG": "orgs knows no such organisation",
    "UNKNOWN_SKU": "the catalog has no such SKU",
    "NO_ENTITLEMENT": "the organisation has no plan at that time, or its plan has no row for the SKU",
    "PERIOD_CLOSED": "the month of the event is closed for the organisation; requeued, an open one bills it",
    "EVENT_IN_FUTURE": "the event's time lies more than five minutes after its arrival",
    "CORRECTION_BELOW_ZERO": "a negative quantity is more than what was used in the period",
    "CORRECTION_EXCEEDS_CHARGED": (
        "a negative quantity takes back more than the month was charged, at its time's prices, and usage remains"
    ),
    "PAYLOAD_MISMATCH": "the id was used before with other content; the first stands",
    "UNDECODABLE": "the message on the lane cannot be read",
    "PROCESSING_FAILED": "the event fails alone, after retries, for a reason that no rule names",
}

STOPS_HEAD = """
## Why a lane stops

A lane that cannot go on safely stops and waits for a person (docs/runbook.md).

| reason | meaning |
| --- | --- |
"""

STOPS = {
    "STREAM_REWOUND": "the input stream was made again, or ends before what the lane has committed",
    "BATCH_SEQ_GAP": "the batch after the last applied one is missing on the stream",
    "BATCH_PART_GAP": "a part of the next batch is missing on the stream, or another part came in its place",
    "OUTPUT_REWOUND": "the output stream ends before what the lane has published",
    "OUTPUT_TOO_LARGE": "a batch has more bytes or parts than the lane's limits, the stream or its server take",
}


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
    """Return the module as `observed.module_name` does."""
    parts = path.with_suffix("").parts
    place = next(i for i, part in enumerate(parts) if part.startswith("apportion_"))
    return observed.module_name(".".join(parts[place:]))


def mail_reasons() -> dict[str, str]:
    """Return every reason that a mail is answered with, and its sentence."""
    proved = {reason: explanation for _, reason, explanation in PROVED.values()}
    others = {TOO_MANY_QUESTIONS.reason: TOO_MANY_QUESTIONS.explanation}
    return {**proved, **CLAIM_REASONS, **message.REASONS, **verifier.REASONS, **others}


def dead_letter_reasons() -> dict[str, bool]:
    """Return every reason of a dead letter, and whether it can be requeued."""
    declared = importlib.import_module("apportion_metering.domain.dead_letters")
    return {name: name not in declared.NEVER_REQUEUED for name in DEAD_LETTER_REASONS}


def stop_reasons() -> set[str]:
    """Return every reason for which a lane stops."""
    return set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", lane_errors.__doc__ or ""))


def all_reasons() -> set[str]:
    """Return everything that the code declares as a reason."""
    return {*collect(), *mail_reasons(), *dead_letter_reasons(), *stop_reasons()}


def unseen(seen: Observed) -> list[str]:
    """Return what the code declares and nothing returned, but for the safety nets."""
    return [
        *(f"refusal {name}" for name in collect() if not seen.is_refusal(name) and name not in SAFETY_NETS),
        *(
            f"verdict on a mail {name}"
            for name in mail_reasons()
            if not seen.is_verdict(name) and name not in SAFETY_NETS
        ),
        *(f"dead letter {name}" for name in dead_letter_reasons() if not seen.is_dead_letter(name)),
        *(f"stopped lane {name}" for name in stop_reasons() if not seen.seen_as(name, [STOPPED])),
    ]


def document(reasons: dict[str, Reason], seen: Observed) -> str:
    """Return the whole page."""
    rows, nets = [], []
    for name in sorted(reasons):
        reason = reasons[name]
        meaning = " ".join(MEANINGS.get(name, reason.meaning).split()).replace("|", "\\|")
        row = f"| `{name}` | {', '.join(sorted(reason.statuses))} | {meaning} | {', '.join(sorted(reason.modules))}"
        if name in SAFETY_NETS:
            nets.append(f"{row} | {SAFETY_NETS[name]} |\n")
        elif seen.is_refusal(name):
            rows.append(f"{row} | {_seen_as(name, seen)} |\n")
    mails = []
    for name, text in sorted(mail_reasons().items()):
        if name in SAFETY_NETS:
            nets.append(f"| `{name}` | verdict on a mail | {text} | identity: domain/mail | {SAFETY_NETS[name]} |\n")
        elif seen.is_verdict(name):
            mails.append(f"| `{name}` | {text} |\n")
    letters = [
        f"| `{name}` | {DEAD_LETTERS[name]} | {'yes' if again else 'no'} |\n"
        for name, again in dead_letter_reasons().items()
        if seen.is_dead_letter(name)
    ]
    stops = [f"| `{name}` | {meaning} |\n" for name, meaning in STOPS.items() if seen.seen_as(name, [STOPPED])]
    parts = [(HEAD, rows), (NETS, sorted(nets)), (MAILS, mails), (DEAD_LETTERS_HEAD, letters), (STOPS_HEAD, stops)]
    return "".join(head + "".join(lines) for head, lines in parts if lines)


def _seen_as(name: str, seen: Observed) -> str:
    """Return the strongest way in which a refusal was seen."""
    if seen.seen_as(name, [WIRE, SERVER]):
        return "answer"
    if seen.seen_as(name, [SERVICER]):
        return "servicer"
    if seen.carried(name, "metering"):
        return "rejection"
    assert seen.seen_as(name, [RAISED])
    return "error"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when docs/errors.md is not up to date")
    args = parser.parse_args()
    text = document(collect(), observed.load())
    if args.check:
        if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
            return 0
        print("docs/errors.md is not up to date; run `make docs`.")
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
