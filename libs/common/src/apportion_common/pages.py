"""Pages: how many items one has, and the token of the next one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from apportion_common.errors import ApportionError, InvalidArgument

PAGE_SIZE_DEFAULT: Final = 100
"""Items a page when the caller does not say."""

T = TypeVar("T")
P = TypeVar("P")


def page_size(asked: int) -> int:
    """Items a page; the contract bounds what may be asked."""
    return asked or PAGE_SIZE_DEFAULT


def split_page(found: Sequence[T], size: int, place_of: Callable[[T], Sequence[object]]) -> tuple[Sequence[T], str]:
    """The page of what was found (one item more than a page was asked for), and the token of the next one."""
    if len(found) <= size:
        return found, ""
    place = json.dumps([str(value) for value in place_of(found[size - 1])], separators=(",", ":"))
    return found[:size], base64.urlsafe_b64encode(place.encode()).decode()


def read_token(token: str, parse: Callable[..., P]) -> P | None:
    """The place that a token names, `parse` being called with its texts; None for no token.

    Raises InvalidArgument PAGE_TOKEN_MALFORMED.
    """
    if not token:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        if not isinstance(place, list) or not all(isinstance(value, str) for value in place):
            raise ValueError
        return parse(*place)
    except (ValueError, TypeError, binascii.Error, ApportionError, RecursionError) as error:
        raise InvalidArgument(
            "PAGE_TOKEN_MALFORMED", "The page token is not one that this service gave.", field="page_token"
        ) from error
