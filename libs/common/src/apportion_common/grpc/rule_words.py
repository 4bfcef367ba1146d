"""What a rule of the contract asks for, in words: no caller has to read a regular expression."""

from __future__ import annotations

from typing import Final

PATTERNS: Final = {
    r"^[0-9]{4}-(0[1-9]|1[0-2])$": "must be a month such as '2013-01'",
    r"^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$": "must be an ISO 8601 week such as '2013-W01'",
    r"^[A-Z]{3}$": "must be a currency's three capital letters, such as 'AUD'",
    r"^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*$": "must be a SKU: capital letters, digits and hyphens, such as 'ACT-SMS'",
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": (
        "must be 1 to 63 lower-case letters, digits and hyphens, without a hyphen at its ends"
    ),
    r"^[!-~]([ -~]*[!-~])?$": "must be printable ASCII characters, without spaces at its ends",
    r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,100}[A-Za-z0-9])?$": (
        "must be 1 to 102 letters, digits, dots, underscores and hyphens, with a letter or digit at its ends"
    ),
}
"""By the pattern of a field, what its text must be."""

_ITEMS: Final = {
    "string.min_len": ("at least", "character"),
    "string.max_len": ("at most", "character"),
    "string.len": ("exactly", "character"),
    "repeated.min_items": ("at least", "item"),
    "repeated.max_items": ("at most", "item"),
    "map.min_pairs": ("at least", "pair"),
    "map.max_pairs": ("at most", "pair"),
}
_WHOLE: Final = {
    "required": "must be set",
    "string.uuid": "must be a UUID of 36 characters",
    "string.uuid_empty": "must be set, to a UUID of 36 characters",
    "enum.defined_only": "must be a value that the contract names",
    "repeated.unique": "must not have an item twice",
}


def words_of(rule_id: str, rule_value: object, message: str) -> str:
    """Return what a rule asks of a value, beginning with "must"; `message` is what the checker says of it."""
    if rule_id == "string.pattern":
        return PATTERNS.get(str(rule_value), "must have another form: see the contract")
    if rule_id in _ITEMS and isinstance(rule_value, int):
        how, what = _ITEMS[rule_id]
        return f"must have {how} {rule_value:,} {what}{'' if rule_value == 1 else 's'}"
    return _WHOLE.get(rule_id) or message.removeprefix("value ")
