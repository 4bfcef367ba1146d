"""The tree of organisations: how deep it may be (spec 05, "Hierarchy")."""

from __future__ import annotations

from apportion_orgs.errors import depth_exceeded
from apportion_orgs.limits import TREE_LEVELS_MAX


def check_depth(depth: int, height: int) -> None:
    """Raise FailedPrecondition DEPTH_EXCEEDED for a subtree that is too deep.

    It has `height` levels, and its top would be `depth` levels below the root.
    """
    if depth + height > TREE_LEVELS_MAX:
        raise depth_exceeded()
