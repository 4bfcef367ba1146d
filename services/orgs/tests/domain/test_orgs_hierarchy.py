"""The tree of orgs: how deep it may be, and the oracle of its closure."""

from __future__ import annotations

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_orgs.domain.hierarchy import check_depth
from apportion_orgs.limits import TREE_LEVELS_MAX
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.orgs_hierarchy import closure_of


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


def test_depth_is_bounded() -> None:
    check_depth(TREE_LEVELS_MAX, 0)
    with pytest.raises(FailedPrecondition) as rejected:
        check_depth(TREE_LEVELS_MAX, 1)
    assert rejected.value.reason == "DEPTH_EXCEEDED"
