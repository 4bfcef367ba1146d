"""Exit codes of the migration commands, beside 0 (done) and 2 (called wrongly)."""

from __future__ import annotations

from typing import Final

EXIT_FAILED: Final = 1
EXIT_CONFLICTS: Final = 3
"""Pre-flight found blocking rows; nothing was changed, and trying again will not help."""
EXIT_AGAIN: Final = 75
"""EX_TEMPFAIL of sysexits.h: another run holds the lock, or the time is not yet come; try again later."""
