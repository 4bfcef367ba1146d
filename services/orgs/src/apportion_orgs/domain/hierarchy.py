"""The tree of orgs: its closure, and whether a move is allowed (spec 05, "Hierarchy")."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, TypeVar

from apportion_common.errors import FailedPrecondition

MAX_DEPTH: Final = 32
"""Levels below the root that an org may be at."""

_Id = TypeVar("_Id", bound=Hashable)


def ancestors_of(parents: Mapping[_Id, _Id | None], org: _Id) -> list[_Id]:
    """The ancestors of `org` from its parent to the root. FailedPrecondition HIERARCHY_CYCLE if there is no root."""
    chain: list[_Id] = []
    seen = {org}
    parent = parents.get(org)
    while parent is not None:
        if parent in seen:
            raise FailedPrecondition("HIERARCHY_CYCLE", "The org would be its own ancestor.")
        seen.add(parent)
        chain.append(parent)
        parent = parents.get(parent)
    return chain


def closure_of(parents: Mapping[_Id, _Id | None]) -> set[tuple[_Id, _Id, int]]:
    """The closure that the parent pointers imply: (ancestor, descendant, depth), self rows with depth 0 included."""
    rows = {(org, org, 0) for org in parents}
    for org in parents:
        rows.update((ancestor, org, depth) for depth, ancestor in enumerate(ancestors_of(parents, org), start=1))
    return rows


def heights_of(parents: Mapping[_Id, _Id | None]) -> dict[_Id, int]:
    """For each org the number of levels below it."""
    heights = dict.fromkeys(parents, 0)
    for org in parents:
        for depth, ancestor in enumerate(ancestors_of(parents, org), start=1):
            heights[ancestor] = max(heights.get(ancestor, 0), depth)
    return heights


def would_cycle(parents: Mapping[_Id, _Id | None], org: _Id, new_parent: _Id | None) -> bool:
    """Whether `org` under `new_parent` would be under itself or one of its descendants."""
    return new_parent is not None and (new_parent == org or org in ancestors_of(parents, new_parent))


def check_move(parents: Mapping[_Id, _Id | None], org: _Id, new_parent: _Id | None) -> None:
    """Lets `org` move with its subtree under `new_parent` (None: become a root), or refuses it.

    Raises FailedPrecondition HIERARCHY_CYCLE or DEPTH_EXCEEDED.
    """
    if would_cycle(parents, org, new_parent):
        raise FailedPrecondition("HIERARCHY_CYCLE", "An org does not move under itself or one of its descendants.")
    if new_parent is not None:
        subtree = {o: p for o, p in parents.items() if o == org or org in ancestors_of(parents, o)}
        check_depth(len(ancestors_of(parents, new_parent)) + 1, heights_of({**subtree, org: None})[org])


def check_depth(depth: int, height: int) -> None:
    """Refuses a subtree of `height` levels whose top would be `depth` levels below the root: DEPTH_EXCEEDED."""
    if depth + height > MAX_DEPTH:
        raise FailedPrecondition("DEPTH_EXCEEDED", f"The tree would be more than {MAX_DEPTH} levels deep.")
