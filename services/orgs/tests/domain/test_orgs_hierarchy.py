"""The tree of orgs."""

from __future__ import annotations

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_orgs.domain.hierarchy import (
    MAX_DEPTH,
    ancestors_of,
    check_depth,
    check_move,
    closure_of,
    heights_of,
    would_cycle,
)
from hypothesis import given
from hypothesis import strategies as st

TREE: dict[str, str | None] = {"root": None, "a": "root", "b": "root", "aa": "a", "aaa": "aa"}


@st.composite
def forests(draw: st.DrawFn) -> dict[int, int | None]:
    size = draw(st.integers(1, 20))
    return {org: draw(st.none() | st.integers(0, org - 1)) if org else None for org in range(size)}


@given(forests())
def test_the_closure_is_what_walking_up_from_each_org_gives(parents: dict[int, int | None]) -> None:
    expected = set()
    for org in parents:
        ancestor, depth = org, 0
        while True:
            expected.add((ancestor, org, depth))
            parent = parents[ancestor]
            if parent is None:
                break
            ancestor, depth = parent, depth + 1
    assert closure_of(parents) == expected
    assert heights_of(parents) == {org: max(d for a, _, d in expected if a == org) for org in parents}


@given(forests(), st.data())
def test_a_move_makes_a_cycle_just_if_the_new_parent_is_in_the_subtree(
    parents: dict[int, int | None], data: st.DataObject
) -> None:
    org, new_parent = (data.draw(st.sampled_from(sorted(parents))) for _ in range(2))
    in_subtree = any((a, d) == (org, new_parent) for a, d, _ in closure_of(parents))
    assert would_cycle(parents, org, new_parent) == in_subtree
    if in_subtree:
        with pytest.raises(FailedPrecondition):
            check_move(parents, org, new_parent)
    else:
        check_move(parents, org, new_parent)
        closure_of({**parents, org: new_parent})


@pytest.mark.parametrize("target", ["a", "aa", "aaa"])
def test_an_org_does_not_move_under_itself_or_a_descendant(target: str) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        check_move(TREE, "a", target)
    assert refused.value.reason == "HIERARCHY_CYCLE"


def test_an_org_moves_elsewhere_and_to_the_top() -> None:
    check_move(TREE, "a", "b")
    check_move(TREE, "a", None)
    assert ancestors_of(TREE, "aaa") == ["aa", "a", "root"]


def test_pointers_that_already_form_a_cycle_are_named() -> None:
    with pytest.raises(FailedPrecondition) as refused:
        closure_of({"a": "b", "b": "a"})
    assert refused.value.reason == "HIERARCHY_CYCLE"


def test_a_subtree_moves_only_where_its_deepest_org_fits() -> None:
    chain: dict[int, int | None] = {n: n - 1 if n else None for n in range(MAX_DEPTH)}
    check_move({**chain, 100: None}, 100, MAX_DEPTH - 1)
    with pytest.raises(FailedPrecondition) as refused:
        check_move({**chain, 100: None, 101: 100}, 100, MAX_DEPTH - 1)
    assert refused.value.reason == "DEPTH_EXCEEDED"


def test_depth_is_bounded() -> None:
    check_depth(MAX_DEPTH, 0)
    with pytest.raises(FailedPrecondition) as refused:
        check_depth(MAX_DEPTH, 1)
    assert refused.value.reason == "DEPTH_EXCEEDED"
