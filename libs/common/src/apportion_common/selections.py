"""What a mutation of many is to take: named by the caller, or all of it, said in so many words."""

from __future__ import annotations

from apportion_common.errors import InvalidArgument


def require_selection(what: str, *, named: bool, everything: bool) -> None:
    """Return when a caller has said which `what` ("dead letters") are meant: some that are `named`, or `everything`.

    A client that drops an empty field sends a selection of nothing, which must not mean all. Raises InvalidArgument
    SELECTION_EMPTY or SELECTION_AMBIGUOUS.
    """
    if not named and not everything:
        raise InvalidArgument("SELECTION_EMPTY", f"No {what} are named; all of them have to be asked for as such.")
    if named and everything:
        raise InvalidArgument("SELECTION_AMBIGUOUS", f"Either some {what} are meant or all of them, not both.")
