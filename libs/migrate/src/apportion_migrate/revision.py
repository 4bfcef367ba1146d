"""What a revision says of itself, beside its DDL: why, in which phase, under which lock, and whether it can go back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from alembic.script import Script

    from apportion_migrate.preflight import Check

Phase = Literal["expand", "migrate", "contract"]
LockClass = Literal["none", "row", "share", "exclusive-new", "exclusive-short"]


@dataclass(frozen=True, kw_only=True)
class RevisionNotes:
    """The header of a revision, as `NOTES` of its module.

    `lock_class` is the strongest lock that it takes on a table that had rows before; `exclusive-new` is ACCESS
    EXCLUSIVE on tables that nothing reads yet. `checks` run before anything changes anywhere; `data` names the data
    migrations that follow. A time-out other than the usual needs `timeout_reason`. `test` is the path of the test
    that proves it. ValueError when the parts do not agree.
    """

    why: str
    phase: Phase
    lock_class: LockClass
    reversible: bool
    irreversible_reason: str = ""
    checks: tuple[Check, ...] = ()
    data: tuple[str, ...] = ()
    non_transactional: bool = False
    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None
    timeout_reason: str = ""
    test: str

    def __post_init__(self) -> None:
        if not self.why.strip() or not self.test.strip():
            raise ValueError("A revision says why it is there, and which test proves it.")
        if self.reversible == bool(self.irreversible_reason.strip()):
            raise ValueError("A revision is either reversible or says why it is not.")
        overridden = self.lock_timeout_ms is not None or self.statement_timeout_ms is not None
        if overridden != bool(self.timeout_reason.strip()):
            raise ValueError("A time-out other than the usual has a reason, and a reason has a time-out.")
        for value in (self.lock_timeout_ms, self.statement_timeout_ms):
            if value is not None and value < 1:
                raise ValueError("A time-out is at least a millisecond: none at all would wait for ever.")


def notes_of(script: Script) -> RevisionNotes | None:
    """Return the notes of a revision as Alembic loaded it; None when it has none."""
    notes = getattr(script.module, "NOTES", None)
    return notes if isinstance(notes, RevisionNotes) else None
