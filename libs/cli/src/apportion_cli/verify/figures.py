"""Figures: a name, what is expected and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Final

Name = tuple[str, ...]
Figures = dict[Name, str]

ABSENT: Final = "absent"
SEPARATOR: Final = "|"
"""Between the values of a figure that has several."""
CLOSED_SECTIONS: Final = frozenset({"by_org_sku", "partners", "accounts", "counts"})
"""Sections whose last name is one of a few kinds; kinds that a scenario does not speak of are not compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure; None where a side lacks it."""

    name: Name
    expected: str | None
    found: str | None

    @property
    def same(self) -> bool:
        """Whether both sides say the same."""
        return self.expected is not None and self.found is not None and same(self.expected, self.found)


def same(expected: str, found: str) -> bool:
    """Return whether two texts are equal, their numbers compared as numbers."""
    pairs = zip_longest(expected.split(SEPARATOR), found.split(SEPARATOR))
    return all(one == other or _number(one) == _number(other) is not None for one, other in pairs)


def compare(expected: Figures, found: Figures) -> Iterator[Compared]:
    """Yield every figure of either side, the expected ones in their order, then those that nobody expects."""
    for name, value in expected.items():
        yield Compared(name, value, found.get(name))
    kinds = {_kind(name) for name in expected}
    sections = {name[0] for name in expected}
    for name, value in found.items():
        section = name[0]
        expectable = _kind(name) in kinds if section in CLOSED_SECTIONS else section in sections
        if name not in expected and expectable:
            yield Compared(name, None, value)


def joined(*values: object) -> str:
    """Return a figure of several values; None is said as `None`."""
    return SEPARATOR.join(str(value) for value in values)


def flat(section: str, content: Mapping[str, object]) -> Figures:
    """Return a section of single figures."""
    return {(section, name): str(value) for name, value in content.items()}


def _kind(name: Name) -> tuple[str, int, str]:
    return name[0], len(name), name[-1]


def _number(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
