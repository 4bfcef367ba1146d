"""Texts that are compared or read: names and keys have one form, so that no two that look the same differ.

A contract says of each text what it is (options: text); the server refuses what has not the form, and changes nothing:
what a caller wrote is what is stored, searched for and shown.
"""

from __future__ import annotations

import unicodedata
from typing import Final

JOINERS: Final = "\u200c\u200d"
"""Invisible characters that some scripts need within a word."""
LINES: Final = "\n\r\t"
"""What prose may have of control characters."""

_UNSHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def name_fault(text: str) -> str:
    """Return what is wrong with a name or key, as the end of a sentence about it; empty for one that has the form.

    It is not blank, has no blank at its ends, is in Unicode's form NFC and has no control or invisible characters.
    """
    if not text.strip():
        return "is blank"
    if text != text.strip():
        return "begins or ends with a blank"
    if unicodedata.normalize("NFC", text) != text:
        return "is not in Unicode's normal form NFC"
    if any(unicodedata.category(character) in _UNSHOWN and character not in JOINERS for character in text):
        return "has control or invisible characters"
    return ""


def prose_fault(text: str) -> str:
    """Return what is wrong with a text for people, such as a reason; empty for one that says something."""
    if not text.strip():
        return "is blank"
    if any(unicodedata.category(character) == "Cc" and character not in LINES for character in text):
        return "has control characters"
    return ""
