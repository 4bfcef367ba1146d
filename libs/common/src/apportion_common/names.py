"""Names that people type: found in either case or by id, and what comes nearest to one that nobody has."""

from __future__ import annotations

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid

MATCHES_MAX: Final = 10
"""Things of one name that an answer holds: with more than one, a name is not enough."""
NEAREST_MAX: Final = 3
"""Names that are proposed for one that nobody has."""
SUGGESTED_NAMES_MAX: Final = 20
"""Unknown names of one request for which others are proposed; the rest are just unknown."""
LIKENESS_MIN: Final = 0.6
"""How alike a proposed name is, from 0 to 1 as difflib has it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NameMatch(Generic[T]):
    """What has a name, or what is called nearly so."""

    name: str
    found: Sequence[T]
    nearest: Sequence[str] = ()


class NameSource(Protocol[T]):
    """Things that have ids and names; names are compared by `folded`."""

    async def by_ids(self, ids: Sequence[UUID]) -> Sequence[T]:
        """Return those with these ids."""
        ...

    async def by_names(self, names: Sequence[str]) -> Sequence[T]:
        """Return those with these names, which are folded or as they were spelled, in either case."""
        ...

    async def names_near(self, name: str) -> Sequence[str]:
        """Return names among which one like this would be."""
        ...

    def id_of(self, one: T) -> UUID:
        """Return the id of one."""
        ...

    def names_of(self, one: T) -> Sequence[str]:
        """Return the names by which one is found."""
        ...


def folded(name: str) -> str:
    """Return what two spellings of one name have in common: in either case, composed, without spaces around it."""
    return unicodedata.normalize("NFC", name).strip().lower()


def nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates that are most like a name, the likest first."""
    spelled = {folded(candidate): candidate for candidate in candidates}
    return [spelled[like] for like in difflib.get_close_matches(folded(name), spelled, NEAREST_MAX, LIKENESS_MIN)]


async def look_up(names: Sequence[str], source: NameSource[T]) -> list[NameMatch[T]]:
    """Return what has each name, in the order of the names. One that is spelled exactly so comes before all others."""
    ids = {name: found for name in names if (found := _id_or_none(name.strip())) is not None}
    by_id = {source.id_of(one): one for one in await source.by_ids(list(set(ids.values())))} if ids else {}
    texts = {name: folded(name) for name in names if ids.get(name) not in by_id}
    by_name: defaultdict[str, list[T]] = defaultdict(list)
    # As spelled, too: a database may know the two cases of ASCII letters alone.
    spellings = dict.fromkeys([*texts.values(), *(name.strip() for name in texts)])
    for one in await source.by_names(list(spellings)) if texts else ():
        for spelling in source.names_of(one):
            by_name[folded(spelling)].append(one)
    matches: list[NameMatch[T]] = []
    suggested = 0
    for name in names:
        if name not in texts:
            matches.append(NameMatch(name, [by_id[ids[name]]]))
            continue
        called = _exact(name.strip(), by_name.get(texts[name], ()), source.names_of)
        proposed: Sequence[str] = ()
        if not called and suggested < SUGGESTED_NAMES_MAX:
            suggested += 1
            proposed = nearest(name, await source.names_near(texts[name]))
        matches.append(NameMatch(name, called, proposed))
    return matches


def _exact(name: str, found: Sequence[T], names_of: Callable[[T], Sequence[str]]) -> Sequence[T]:
    return ([one for one in found if name in names_of(one)] or found)[:MATCHES_MAX]


def _id_or_none(text: str) -> UUID | None:
    try:
        return parse_uuid(text)
    except ApportionError:
        return None
