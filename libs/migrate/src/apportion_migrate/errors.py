"""What can go wrong while migrating.

MigrationError
├── LockBusyError          another run holds a service's lock: try again later
│   ├── PlanMovedError     another run changed the step before (or after) this one meanwhile
│   └── NotReachedError    a service waited for its revision, and it did not come
├── PoolerError            the session is not ours: a pooler in transaction mode
├── ConflictsError         rows are blocking; nothing was changed
├── IrreversibleError      the way back would lose what cannot be brought back, and nobody said so
├── ChecksumError          an applied revision is not what the checkout has
└── VerificationError      everything was applied, and the schema is still not sound
"""

from __future__ import annotations

from collections.abc import Sequence


class MigrationError(RuntimeError):
    """A step could not be carried out; what was done before it stays."""


class LockBusyError(MigrationError):
    """Another run held a service's lock for longer than this one would wait; the message names the holder."""


class PlanMovedError(LockBusyError):
    """Another run moved the plan's neighbouring step the other way while this one was at work."""


class NotReachedError(LockBusyError):
    """A service's database was not at the revision that was waited for, when the time was up."""


class PoolerError(MigrationError):
    """The session changes between statements: a pooler in transaction mode, under which no session lock holds."""


class ConflictsError(MigrationError):
    """Rows block a revision; `findings` tells which. Nothing was changed."""

    def __init__(self, message: str, findings: Sequence[object]) -> None:
        """Carry what the checks found."""
        super().__init__(message)
        self.findings = tuple(findings)


class IrreversibleError(MigrationError):
    """A revision that cannot be undone lies on the way back, and was not named as one to destroy."""


class ChecksumError(MigrationError):
    """A revision was applied with other SQL than the checkout has for it: applied revisions never change."""


class VerificationError(MigrationError):
    """After the last step an index is invalid, a constraint not validated, or a version is not the plan's."""
