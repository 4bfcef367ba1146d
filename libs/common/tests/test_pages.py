"""Pages of a list, and the tokens that carry their cursors."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from apportion_common.errors import InvalidArgument
from apportion_common.ids import parse_uuid
from apportion_common.pages import PAGE_SIZE_DEFAULT, int_of, page_size, read_token, split_page, time_cursor
from hypothesis import given
from hypothesis import strategies as st

ID = "018f3b1c-0000-7000-8000-0123456789ab"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=63)
INSTANTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=11))]), min_value=datetime(1970, 1, 1))


def token_of(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def numbered(number: str, text: str, row_id: str) -> tuple[int, str, UUID]:
    return int_of(number), text, parse_uuid(row_id)


@given(st.integers(-(2**63), 2**63 - 1), TEXTS, st.uuids())
def test_a_token_carries_its_cursor(number: int, text: str, row_id: UUID) -> None:
    cursor = (number, text, row_id)
    page, token = split_page([cursor, cursor], 1, lambda item: item)
    assert page == [cursor]
    assert read_token(token, numbered) == cursor


@given(INSTANTS, st.uuids())
def test_a_token_carries_an_instant_to_the_microsecond(at: datetime, row_id: UUID) -> None:
    _, token = split_page([(at, row_id)] * 2, 1, lambda item: item)
    assert read_token(token, time_cursor) == (at, row_id)
    assert len(token) <= 200


def test_a_list_is_read_to_its_end() -> None:
    items = list(range(7))
    seen: list[int] = []
    token = ""
    while True:
        after = read_token(token, int_of)
        found = [item for item in items if after is None or item > after][:4]
        page, token = split_page(found, 3, lambda item: (item,))
        seen += page
        if not token:
            break
    assert seen == items


def test_the_last_page_has_no_token() -> None:
    assert split_page([1, 2], 2, lambda item: (item,)) == ([1, 2], "")
    assert split_page([], 2, lambda item: (item,)) == ([], "")
    assert read_token("", int_of) is None


@pytest.mark.parametrize(
    ("token", "parse"),
    [
        ("x", str),
        ("é", str),
        ("bm8=", str),
        (token_of(None), str),
        (token_of({}), str),
        (token_of([]), str),
        (token_of([1]), str),
        (token_of(["a", "b", "c"]), parse_uuid),
        (token_of(["a"]), parse_uuid),
        (token_of(["a\0"]), str),
        (token_of(["\ud800"]), str),
        (token_of([str(2**63)]), int_of),
        (token_of(["1.5"]), int_of),
        (token_of(["9" * 5_000]), int_of),
        (token_of(["2013-01-01T00:00:00", ID]), time_cursor),
        (token_of(["9999-12-31T23:59:59-14:00", ID]), time_cursor),
        (token_of(["2013-01-01T00:00:00+00:00", "x"]), time_cursor),
        (base64.urlsafe_b64encode(b"[" * 100_000).decode(), str),
    ],
)
def test_a_token_that_was_never_returned_is_malformed(token: str, parse: Any) -> None:
    with pytest.raises(InvalidArgument) as malformed:
        read_token(token, parse)
    assert (malformed.value.reason, malformed.value.field) == ("PAGE_TOKEN_MALFORMED", "page_token")


def test_numbers_fit_their_columns() -> None:
    assert int_of("-32768", bits=16) == -(2**15)
    with pytest.raises(ValueError, match="16 bits"):
        int_of("32768", bits=16)


def test_a_page_has_the_size_that_was_requested_or_the_usual_one() -> None:
    assert page_size(7) == 7
    assert page_size(0) == PAGE_SIZE_DEFAULT
