"""Looks for what is unsafe in a revision before it meets a database: in its notes, and in the SQL it runs.

squawk checks the DDL. What it does not see is checked here: rows changed by a revision, locks and truncations, triggers
switched off, time-outs overridden, transactions taken apart. A statement that must break a rule says so in a comment of
its own, with the reason: `-- allow backfill: a catalog of a hundred rows`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.script import Script

from apportion_migrate.errors import MigrationError
from apportion_migrate.plan import Plan, Step
from apportion_migrate.revision import RevisionNotes, notes_of
from apportion_migrate.sessions import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS
from apportion_migrate.statements import revision_statements

PLACEHOLDER: Final = "…"
"""What the scaffold of a revision leaves to be written."""

STYLE_RULES: Final = (
    "ban-drop-constraint",
    "ban-drop-default",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-robust-stmts",
)
"""Rules of squawk that are matters of style here, or that ours know better: types are the models', a revision runs as
one or again, and a constraint that is dropped to be added again in the same statement is none that goes missing."""

MEASURED_RULES: Final = frozenset(
    {
        "adding-foreign-key-constraint",
        "adding-not-nullable-field",
        "adding-serial-primary-key-field",
        "constraint-missing-not-valid",
        "disallowed-unique-constraint",
        "require-concurrent-index-creation",
    }
)
"""Rules of squawk about how long a strong lock is held: where a revision declares `exclusive-short`, the lock trace
measures it on seeded tables instead of guessing. What may rewrite a table is never among them."""

POSTGRES_VERSION: Final = "15.0"
SQUAWK_TIMEOUT_S: Final = 60

_RULES: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "backfill",
        r"^(UPDATE|DELETE|MERGE)\b|^WITH\b.*\b(UPDATE|DELETE)\b",
        "Rows are changed in chunks by a data migration, not by a revision.",
    ),
    ("lock", r"^LOCK\b", "A revision takes no lock by hand: its statements take what they need."),
    ("truncate", r"^TRUNCATE\b", "A revision empties no table."),
    (
        "disable-trigger",
        r"\bDISABLE\s+(?:TRIGGER|RULE|ROW\s+LEVEL)\b|\bSESSION_REPLICATION_ROLE\b",
        "Triggers hold the rules of the tables, and stay on.",
    ),
    (
        "rewrite",
        r"^(VACUUM\s*\(?.*\bFULL\b|CLUSTER\b|REINDEX\b(?!.*\bCONCURRENTLY\b))|\bSET\s+(?:UN)?LOGGED\b",
        "A table or index is not written anew under a lock.",
    ),
    (
        "drop-constraint",
        r"(?<!SET NOT NULL, )\bDROP\s+CONSTRAINT\s+(?:IF\s+EXISTS\s+)?(?!IF\b)(\w+)\b(?!.*\bADD\s+CONSTRAINT\s+\1\b)",
        "What relies on a constraint is told before it goes.",
    ),
    ("cascade", r"^DROP\b.*\bCASCADE\b", "What is dropped is named, not found by the way."),
    (
        "time-out",
        r"^SET\b.*\b(?:LOCK|STATEMENT)_TIMEOUT\b|\bSET_CONFIG\b.*_TIMEOUT",
        "Time-outs are set aside in the notes, with a reason.",
    ),
    (
        "transaction",
        r"^(BEGIN|COMMIT|ROLLBACK|START\s+TRANSACTION|SAVEPOINT)\b",
        "A revision is one transaction; the helpers leave it where they must.",
    ),
    (
        "seed",
        r"^INSERT\s+INTO\s+(?!CONFIG_HEAD\b)\S+\s*(?:\([^)]*\)\s*)?VALUES\b|^COPY\b",
        "Rows are loaded by the seeds, under their flag, not by a revision.",
    ),
)
_COMPILED: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE | re.DOTALL), message) for name, pattern, message in _RULES
)
_REPEATABLE: Final = re.compile(
    r"\bIF (?:NOT )?EXISTS\b|^ALTER TABLE \S+ VALIDATE CONSTRAINT\b|^CREATE (?:UNIQUE )?INDEX CONCURRENTLY\b"
    r"|^ALTER TABLE \S+ ALTER COLUMN \S+ (?:TYPE|SET|DROP)\b|^CREATE OR REPLACE\b|^(?:GRANT|REVOKE|SELECT)\b",
    re.IGNORECASE,
)
"""What leads to the same however often it runs; the index is the helper's, which looks first."""
_FUNCTION: Final = re.compile(r"^CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE|TRIGGER)\b", re.IGNORECASE)
_DO: Final = re.compile(r"^DO\b", re.IGNORECASE)
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING: Final = re.compile(r"'(?:[^']|'')*'")
_DOLLARS: Final = re.compile(r"\$(\w*)\$")
_ALLOWED: Final = re.compile(r"--\s*allow\s+([a-z-]+):\s*\S")
_SQUAWK_IGNORED: Final = re.compile(r"--\s*squawk-ignore\s+([a-z-]+)")
"""squawk itself looks for its comment on the line above only; ours counts for the whole statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Something unsafe about a revision: the rule, what it is, and the statement where there is one."""

    service: str
    revision: str
    rule: str
    message: str
    statement: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the complaint as JSON fields."""
        return {name: getattr(self, name) for name in ("service", "revision", "rule", "message", "statement")}

    def as_text(self) -> str:
        """Return the complaint as a line for a person."""
        shown = f": {' '.join(self.statement.split())[:120]}" if self.statement else ""
        return f"{self.service} {self.revision} [{self.rule}] {self.message}{shown}"


def lint(plan: Plan, root: Path) -> list[Complaint]:
    """Return every complaint about every revision of the plan, in its order.

    `root` is the checkout, below which the notes name their tests. Raises MigrationError when squawk is not there.
    """
    plan.check()
    return [complaint for step in plan.steps for complaint in lint_revision(root, step, plan.revision_of(step))]


def lint_revision(root: Path, step: Step, script: Script) -> list[Complaint]:
    """Return every complaint about one revision: its notes, our rules, squawk's."""
    notes = notes_of(script)
    statements = revision_statements(script, step.service)
    found = [*_about_notes(root, script, step, notes), *_about_shape(step, statements, notes)]
    for statement in _work(statements):
        found += [_complaint(step, rule, message, statement) for rule, message in broken_rules(statement)]
    return [*found, *_squawk(step, statements, notes)]


def broken_rules(statement: str) -> Iterator[tuple[str, str]]:
    """Yield our rules that a statement breaks and has no word for: each with what it says."""
    allowed = set(_ALLOWED.findall(statement))
    for part in _parts(statement):
        for name, pattern, message in _COMPILED:
            if name not in allowed and pattern.search(part):
                allowed.add(name)
                yield name, message


def _parts(statement: str) -> Iterator[str]:
    """Yield a statement without comments and texts; of a DO block also what it runs, a statement at a time.

    The body of a function does not run when the function is made.
    """
    bare = _COMMENT.sub(" ", statement).strip()
    outside, body = bare, ""
    opening = _DOLLARS.search(bare)
    if opening is not None:
        outside, body = bare[: opening.start()], bare[opening.end() :].partition(opening.group())[0]
    yield _STRING.sub("''", outside).strip()
    if _DO.match(bare) or not _FUNCTION.match(bare):
        # What a block puts together as text runs too.
        for piece in re.split(r";|\bBEGIN\b|\bTHEN\b|\bELSE\b|\bLOOP\b|\bEXECUTE\b|'", body, flags=re.IGNORECASE):
            yield re.sub(r"^\s*(?:FORMAT\s*\()?\s*", "", piece, flags=re.IGNORECASE)


def _about_notes(root: Path, script: Script, step: Step, notes: RevisionNotes | None) -> Iterator[Complaint]:
    """Yield what a revision leaves unsaid, or says and does not do."""
    if notes is None:
        yield _complaint(step, "notes", "The revision has no NOTES: why, phase, lock class, way back, test.")
        return
    if PLACEHOLDER in f"{notes.why}{notes.irreversible_reason}{notes.test}{script.doc}":
        yield _complaint(step, "notes", "The scaffold's gaps are still to be filled.")
    elif not (root / notes.test.partition("::")[0]).is_file():
        yield _complaint(step, "notes", f"The test that proves it, {notes.test}, is not there.")
    back = revision_statements(script, step.service, "down")
    if notes.reversible and len(_work(revision_statements(script, step.service))) > 0 and not _work(back):
        yield _complaint(step, "notes", "It says that it can be undone, and its way back does nothing.")


def _about_shape(step: Step, statements: Sequence[str], notes: RevisionNotes | None) -> Iterator[Complaint]:
    """Yield what is wrong where a revision leaves its transaction without a word, or does more than that."""
    leaves = [index for index, statement in enumerate(statements[:-1]) if statement.upper() == "COMMIT;"]
    declared = notes is not None and notes.non_transactional
    if bool(leaves) != declared:
        yield _complaint(
            step,
            "non-transactional",
            "It leaves its transaction without saying so." if leaves else "It says that it leaves its transaction.",
        )
    for statement in _work(statements[: leaves[-1] + 1] if leaves else ()):
        if not _REPEATABLE.search(_bare(statement)):
            message = "Outside the last transaction every statement can be run again: IF [NOT] EXISTS, or a helper."
            yield _complaint(step, "not-repeatable", message, statement)


def _bare(statement: str) -> str:
    """Return a statement without comments, on one line."""
    return " ".join(_COMMENT.sub(" ", statement).split())


def _work(statements: Sequence[str]) -> list[str]:
    """Return the statements without the transaction's own, which Alembic writes on their own."""
    return [statement for statement in statements if statement.upper() not in {"BEGIN;", "COMMIT;"}]


def _squawk(step: Step, statements: Sequence[str], notes: RevisionNotes | None) -> list[Complaint]:
    """Return what squawk says of a revision, with the transaction and the time-outs that it runs under."""
    settings = (f"SET lock_timeout = {LOCK_TIMEOUT_MS};", f"SET statement_timeout = {STATEMENT_TIMEOUT_MS};")
    at = [statement for statement in (*settings, *statements) for _ in statement.splitlines()]
    measured = MEASURED_RULES if notes is not None and notes.lock_class == "exclusive-short" else frozenset()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{step.revision}.sql"
        file.write_text("\n".join((*settings, *statements, "")), encoding="utf-8")
        command = [
            _squawk_program(),
            "--reporter=json",
            f"--pg-version={POSTGRES_VERSION}",
            "--no-error-on-unmatched-pattern",
        ]
        command += [f"--exclude={rule}" for rule in STYLE_RULES]
        done = subprocess.run(
            [*command, str(file)], capture_output=True, text=True, check=False, timeout=SQUAWK_TIMEOUT_S, cwd=folder
        )
    try:
        reported = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise MigrationError(f"squawk could not judge {step.revision}: {done.stderr or done.stdout}") from error
    found = []
    for entry in reported:
        statement = at[entry["line"]]
        if entry["rule_name"] not in measured and entry["rule_name"] not in _SQUAWK_IGNORED.findall(statement):
            found.append(_complaint(step, entry["rule_name"], entry["message"], statement))
    return found


def _squawk_program() -> str:
    """squawk beside the interpreter, or on the path."""
    beside = Path(sys.executable).parent / "squawk"
    program = str(beside) if beside.is_file() else shutil.which("squawk")
    if program is None:
        raise MigrationError("squawk is not installed; it comes with the development tools (squawk-cli).")
    return program


def _complaint(step: Step, rule: str, message: str, statement: str = "") -> Complaint:
    return Complaint(
        service=step.service, revision=step.revision, rule=rule, message=message, statement=statement.strip()
    )
