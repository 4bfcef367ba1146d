"""What the parent pointers imply, walked up organisation by organisation: a second opinion on orgs' closure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Id = TypeVar("Id", bound=Hashable)


def ancestors_of(parents: Mapping[Id, Id | None], org: Id) -> list[Id]:
    """Return the ancestors from the parent to the root. Raises ValueError if there is no root."""
    chain: list[Id] = []
    seen = {org}
    parent = parents.get(org)
    while parent is not None:
        if parent in seen:
            raise ValueError(f"{org} would be its own ancestor.")
        seen.add(parent)
        chain.append(parent)
        parent = parents.get(parent)
    return chain


def closure_of(parents: Mapping[Id, Id | None]) -> set[tuple[Id, Id, int]]:
    """Return the closure as (ancestor, descendant, depth), self rows with depth 0 included."""
    rows = {(org, org, 0) for org in parents}
    for org in parents:
        rows.update((ancestor, org, depth) for depth, ancestor in enumerate(ancestors_of(parents, org), start=1))
    return rows
