"""The check of an event's form."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from apportion_metering.domain.intake import (
    CheckedEvent,
    CompactEvent,
    ReadableEvent,
    Rejection,
    check_compact,
    check_readable,
)
from hypothesis import given
from hypothesis import strategies as st

ID = UUID(int=1)
GOOD = ReadableEvent(str(ID), "", "r-1", "ACT-SMS", "-1.5", "2013-01-31T10:00:00.000001Z", {"k": "v"})
COMPACT = CompactEvent(ID.bytes, b"", ID.bytes, "ACT-SMS", -15, 1, 1_359_626_400_000_001, {})


def test_a_good_event_is_taken_with_its_numbers_scaled() -> None:
    event = check_readable(GOOD)
    assert isinstance(event, CheckedEvent)
    assert event[:-1] == (ID.bytes, b"", "r-1", "ACT-SMS", -1_500_000_000, 1_359_626_400_000_001, {"k": "v"}, 0)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("org_id", "", "ID_MALFORMED"),
        ("org_id", str(UUID(int=0)), "ID_MALFORMED"),
        ("org_id", ID.hex, "ID_MALFORMED"),
        ("project_id", "LGA", "ID_MALFORMED"),
        ("request_id", "", "REQUEST_ID_MALFORMED"),
        ("request_id", " r", "REQUEST_ID_MALFORMED"),
        ("request_id", "r ", "REQUEST_ID_MALFORMED"),
        ("request_id", "r\n", "REQUEST_ID_MALFORMED"),
        ("request_id", "ü", "REQUEST_ID_MALFORMED"),
        ("request_id", "r" * 129, "REQUEST_ID_MALFORMED"),
        ("sku", "", "SKU_MALFORMED"),
        ("sku", "act-sms", "SKU_MALFORMED"),
        ("sku", "ACT--SMS", "SKU_MALFORMED"),
        ("sku", "-ACT", "SKU_MALFORMED"),
        ("sku", "ACT-", "SKU_MALFORMED"),
        ("sku", "1ACT", "SKU_MALFORMED"),
        ("sku", "ACT\n", "SKU_MALFORMED"),
        ("sku", "A" * 65, "SKU_MALFORMED"),
        ("quantity", "NaN", "QUANTITY_MALFORMED"),
        ("quantity", "1e400", "QUANTITY_OUT_OF_RANGE"),
        ("quantity", "0.0000000001", "QUANTITY_TOO_PRECISE"),
        ("event_time", None, "TIME_MALFORMED"),
        ("event_time", (0, -1), "TIME_MALFORMED"),
        ("event_time", (1_359_626_400, 1), "TIME_TOO_PRECISE"),
        ("event_time", (10**30, 0), "TIME_OUT_OF_RANGE"),
        ("metadata", {"": "v"}, "METADATA_MALFORMED"),
        ("metadata", {"k": "\ud800"}, "METADATA_MALFORMED"),
        ("metadata", {"k": "\0"}, "METADATA_MALFORMED"),
        ("metadata", {"k": "ü" * 512}, "METADATA_TOO_LARGE"),
        ("metadata", {str(n): "" for n in range(51)}, "METADATA_TOO_LARGE"),
        ("source", None, "SOURCE_UNKNOWN"),
    ],
)
def test_an_event_that_can_never_be_right_is_rejected_with_its_field(field: str, value: Any, reason: str) -> None:
    rejected = check_readable(GOOD._replace(**{field: value}))
    assert isinstance(rejected, Rejection)
    assert (rejected.reason, rejected.field) == (reason, field)
    assert rejected.message.endswith(".")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("org_id", b"", "ID_MALFORMED"),
        ("org_id", bytes(16), "ID_MALFORMED"),
        ("project_id", b"x", "ID_MALFORMED"),
        ("request_id", b"x" * 15, "ID_MALFORMED"),
        ("sku", "act", "SKU_MALFORMED"),
        ("quantity_scale", 10, "QUANTITY_TOO_PRECISE"),
        ("quantity_unscaled", 10**19, "QUANTITY_OUT_OF_RANGE"),
        ("event_time_us", 0, "TIME_OUT_OF_RANGE"),
        ("metadata", {"k": "v" * 1024}, "METADATA_TOO_LARGE"),
        ("source", None, "SOURCE_UNKNOWN"),
    ],
)
def test_a_compact_event_is_held_to_the_same_form(field: str, value: Any, reason: str) -> None:
    rejected = check_compact(COMPACT._replace(**{field: value}))
    assert isinstance(rejected, Rejection)
    assert rejected.reason == reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", "r"),
        ("request_id", "a b ~!"),
        ("request_id", "r" * 128),
        ("sku", "A"),
        ("sku", "HST-3-BYTE9"),
        ("sku", "A" * 64),
        ("quantity", "0"),
        ("quantity", "999999999999999999.999999999"),
        ("event_time", (1_359_626_400, 999_999_000)),
        ("metadata", {"k": "v" * 1023}),
        ("project_id", str(ID)),
    ],
)
def test_the_edges_of_the_form_are_taken(field: str, value: Any) -> None:
    assert isinstance(check_readable(GOOD._replace(**{field: value})), CheckedEvent)


ANY = st.text(max_size=200)


@given(ANY, ANY, ANY, ANY, ANY, ANY | st.tuples(st.integers(), st.integers()), st.dictionaries(ANY, ANY, max_size=3))
def test_no_input_makes_the_check_fail(
    org: str, project: str, request: str, sku: str, quantity: str, at: str | tuple[int, int], labels: dict[str, str]
) -> None:
    event = ReadableEvent(org, project, request, sku, quantity, at, labels)
    assert isinstance(check_readable(event), Rejection)
    for name, value in event._asdict().items():
        assert isinstance(check_readable(GOOD._replace(**{name: value})), CheckedEvent | Rejection)
