"""Say that lanes try again: 32 lanes of a role meet the same fault, and one line in a while says so for all."""

from __future__ import annotations

from typing import Final

from structlog.typing import FilteringBoundLogger

from apportion_common.seldom import Seldom

TEXT_CHARS_MAX: Final = 300

_SELDOM: Final = Seldom()


def say_retry(log: FilteringBoundLogger, event: str, role: str, lane: int, error: BaseException) -> None:
    """Log that a lane failed and tries again, if the same was not said of its role a moment ago."""
    unsaid = _SELDOM.may_say((event, role, type(error).__name__))
    if unsaid is not None:
        text = f"{type(error).__name__}: {error}"[:TEXT_CHARS_MAX]
        log.warning(event, role=role, lane=lane, error=text, unsaid=unsaid)
