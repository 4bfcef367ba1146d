"""Pages of a list: how many items one has, and the token that carries the cursor of the next one.

A cursor is what the list is ordered by, taken from the last item of a page: the next page starts after it. Its token
is for this service alone to read, so it may change its form; what comes back in one is checked like any other input.

A token belongs to its question: the server puts the question's digest in front of the token that a list made, and takes
it off again (grpc/interceptors/pages.py). The same token under another filter would skip what that filter selects.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

from apportion_common.errors import ApportionError, InvalidArgument
from apportion_common.ids import parse_uuid

PAGE_SIZE_DEFAULT: Final = 100
"""Items a page when the caller does not say."""

QUESTION_DIGEST_BYTES: Final = 12
"""Bytes of a question's digest: a slip is found, and the token stays within what a contract allows."""
_AFTER_DIGEST: Final = "."
"""A character that no token of a list has."""

TimeCursor = tuple[datetime, UUID]
"""Cursor of a list that is ordered by time and, within an instant, by id."""

T = TypeVar("T")
PageCursor = TypeVar("PageCursor")


def page_size(requested: int) -> int:
    """Return how many items a page has; the contract bounds what may be requested."""
    return requested or PAGE_SIZE_DEFAULT


def split_page(found: Sequence[T], size: int, cursor_of: Callable[[T], Sequence[object]]) -> tuple[Sequence[T], str]:
    """Return the page of what was found (one item more than a page was asked for), and the token of the next one.

    `cursor_of` returns an item's cursor as its values: texts, whole numbers, ids, datetimes with a zone. The token is
    empty after the last page.
    """
    if len(found) <= size:
        return found, ""
    texts = [_text(value) for value in cursor_of(found[size - 1])]
    packed = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return found[:size], base64.urlsafe_b64encode(packed.encode()).decode()


def read_token(token: str, parse: Callable[..., PageCursor]) -> PageCursor | None:
    """Return the cursor that a token carries, `parse` being called with its texts; None for no token.

    `parse` raises ValueError or an error of the product for texts that no cursor of its list has: `parse_uuid`,
    `int_of` and `time_cursor` do. Raises InvalidArgument PAGE_TOKEN_MALFORMED.
    """
    if not token:
        return None
    try:
        texts = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        if not isinstance(texts, list) or not texts:
            raise ValueError("A cursor is a list of texts.")
        return parse(*map(_storable, texts))
    except (ValueError, TypeError, OverflowError, binascii.Error, ApportionError, RecursionError) as error:
        raise _malformed("page_token") from error


def question_digest(method: str, question: bytes) -> str:
    """Return the digest of what a list was asked: its method, and the request without the page and its size."""
    digest = hashlib.sha256(method.encode() + b"\0" + question).digest()[:QUESTION_DIGEST_BYTES]
    return base64.urlsafe_b64encode(digest).decode()


def bound_token(token: str, digest: str) -> str:
    """Return a list's token tied to the question with that digest."""
    return f"{digest}{_AFTER_DIGEST}{token}"


def unbound_token(token: str, digest: str, field: str = "page_token") -> str:
    """Return the list's own token from one that is tied to a question.

    Raises InvalidArgument PAGE_TOKEN_MALFORMED for a token that is tied to none, PAGE_TOKEN_MISMATCH for one that is
    tied to another question than that of the digest; `field` is where it came in.
    """
    asked, tied, inner = token.partition(_AFTER_DIGEST)
    if not tied or not inner or len(asked) != len(digest):
        raise _malformed(field)
    if asked != digest:
        raise InvalidArgument(
            "PAGE_TOKEN_MISMATCH",
            "The page token belongs to a list with another filter; begin this one without a token.",
            field=field,
        )
    return inner


def int_of(text: str, bits: int = 64) -> int:
    """Return the whole number of a cursor. Raises ValueError for one that no column of so many bits holds."""
    value = int(text)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"{value} has more than {bits} bits.")
    return value


def time_cursor(at: str, row_id: str) -> TimeCursor:
    """Return the cursor of an instant and an id. Raises ValueError, InvalidArgument ID_MALFORMED."""
    instant = datetime.fromisoformat(at)
    if instant.tzinfo is None:
        raise ValueError("The instant has no zone.")
    return instant.astimezone(UTC), parse_uuid(row_id)


def _malformed(field: str) -> InvalidArgument:
    return InvalidArgument("PAGE_TOKEN_MALFORMED", "The page token is not one that this service gave.", field=field)


def _text(value: object) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _storable(text: object) -> str:
    """Return a text that PostgreSQL takes. Raises ValueError for U+0000 and for half of a surrogate pair."""
    if not isinstance(text, str) or "\0" in text:
        raise ValueError("A cursor is a list of texts.")
    text.encode()
    return text
