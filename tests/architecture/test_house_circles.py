"""No circle of imports: not between packages, not between the parts of one at any level, not between modules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from house import expect_none
from imports import circles, import_graph, packages, parts_of, shown


def test_the_packages_stand_one_on_another() -> None:
    edges = parts_of(import_graph(), "")
    assert set(edges) == set(packages())
    expect_none(shown(edges, circle) for circle in circles(edges))


@pytest.mark.parametrize("package", packages())
def test_the_parts_of_a_package_stand_one_on_another(
    package: str, record_property: Callable[[str, object], None]
) -> None:
    levels = [name for name in import_graph() if f"{name}.".startswith(f"{package}.")]
    parted = {name: edges for name in levels if (edges := parts_of(import_graph(), name))}
    found = [shown(edges, circle) for edges in parted.values() for circle in circles(edges)]
    record_property(
        "figures",
        f"imports: {package} has {len(found)} circles of parts in {len(parted)} folders, {len(levels)} modules",
    )
    expect_none(found)


def test_no_modules_import_one_another_in_a_circle(record_property: Callable[[str, object], None]) -> None:
    edges = import_graph()
    inner = sum(len(imported & edges.keys()) for imported in edges.values())
    found = circles(edges)
    record_property("figures", f"imports: {len(found)} circles of modules in {len(edges)} modules, {inner} imports")
    expect_none(shown(edges, circle) for circle in found)


def test_circles_are_found_at_every_level() -> None:
    edges = {
        "one": frozenset[str](),
        "one.a": frozenset({"one.b.y", "other"}),
        "one.b": frozenset[str](),
        "one.b.x": frozenset({"one.a"}),
        "one.b.y": frozenset({"one.b.z"}),
        "one.b.z": frozenset({"one.b.y"}),
        "two": frozenset({"one.a"}),
    }
    assert circles(edges) == [["one.b.y", "one.b.z"]]
    assert parts_of(edges, "one") == {"one.a": {"one.b"}, "one.b": {"one.a"}}
    assert circles(parts_of(edges, "one")) == [["one.a", "one.b"]]
    assert parts_of(edges, "") == {"one": frozenset(), "two": {"one"}}
    assert shown(edges, ["one.b.y", "one.b.z"]) == "one.b.y > one.b.z, one.b.z > one.b.y"
