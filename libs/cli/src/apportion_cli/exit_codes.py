"""What a command's exit code says: whether all of what was asked was done."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
"""All of what was asked was done."""
NOT_DONE: Final = 1
"""Something of what was asked was not done; the last lines say what, by name, and why."""
MISUSED: Final = 2
"""The command line itself is wrong; nothing was done. (Typer ends with it.)"""
USAGE_REFUSED: Final = 3
"""The command went through, but usage was refused: rows were rejected, had other content than what was sent under
their request ids before, or were dead-lettered; or dead letters are open after `status --wait`.
"""
