"""The import graph of the packages, at module level, and its circles."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache

import grimp
from house import ROOT

Edges = Mapping[str, frozenset[str]]


def packages() -> tuple[str, ...]:
    """The packages that the import contracts are about, which are all."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return tuple(document["tool"]["importlinter"]["root_packages"])


@cache
def import_graph() -> Edges:
    """Return every module of the packages with what it imports of any package, wherever in the module it does."""
    graph = grimp.build_graph(*packages(), include_external_packages=True, cache_dir=None)
    return {
        module: frozenset(graph.find_modules_directly_imported_by(module))
        for module in graph.modules
        if module.partition(".")[0] in packages()
    }


def parts_of(edges: Edges, parent: str) -> Edges:
    """Return what stands directly below a module, each with the others of these that anything in it imports."""
    names = [name for name in edges if name.rpartition(".")[0] == parent]
    found: dict[str, set[str]] = {name: set() for name in names}
    for module, imported in edges.items():
        for other in imported:
            here, there = _part(module, parent), _part(other, parent)
            if here in found and there in found and here != there:
                found[here].add(there)
    return {name: frozenset(others) for name, others in found.items()}


def circles(edges: Edges) -> list[list[str]]:
    """Return the strongly connected components of more than one node, by name (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_nodes: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        open_nodes.append(node)
        for other in sorted(edges[node] & edges.keys()):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in open_nodes:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            component = open_nodes[open_nodes.index(node) :]
            del open_nodes[open_nodes.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(edges):
        if node not in order:
            visit(node)
    return sorted(found)


def shown(edges: Edges, circle: Iterable[str]) -> str:
    """A circle with the imports that close it, to be read in a failure."""
    members = set(circle)
    return ", ".join(f"{one} > {other}" for one in sorted(members) for other in sorted(edges[one] & members))


def _part(module: str, parent: str) -> str:
    """The part directly below the parent that a module lies in; nothing that is one for a module elsewhere."""
    prefix = f"{parent}." if parent else ""
    return prefix + module.removeprefix(prefix).partition(".")[0] if module.startswith(prefix) else ""
