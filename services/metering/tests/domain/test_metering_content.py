"""The content of an event: what makes two events the same one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from apportion_metering.domain.content import content_hash
from apportion_metering.domain.intake import CheckedEvent, CompactEvent, ReadableEvent, check_compact, check_readable
from hypothesis import given
from hypothesis import strategies as st

ORG, PROJECT, REQUEST = UUID(int=1), UUID(int=2), UUID("0190b5f2-0000-7000-8000-00000000abcd")
READABLE = ReadableEvent(
    str(ORG), str(PROJECT), str(REQUEST), "ACT-SMS", "1.5", "2013-01-31T10:00:00Z", {"form": "a", "lead": "b"}
)
CONTENT: dict[str, Any] = {
    "org_id": ORG.bytes,
    "project_id": PROJECT.bytes,
    "sku": "ACT-SMS",
    "quantity": 1_500_000_000,
    "event_time_us": 1_359_626_400_000_000,
    "metadata": {"form": "a", "lead": "b"},
}


def hash_of(**changes: Any) -> bytes:
    event = check_readable(READABLE._replace(**changes))
    assert isinstance(event, CheckedEvent)
    return event.content_hash


@pytest.mark.parametrize("quantity", ["1.50", "+1.5", "15e-1", "01.500000000"])
def test_every_spelling_of_a_number_is_the_same_content(quantity: str) -> None:
    assert hash_of(quantity=quantity) == content_hash(**CONTENT)


@pytest.mark.parametrize(
    "event_time",
    [
        "2013-01-31T10:00:00.000000Z",
        "2013-01-31t10:00:00z",
        "2013-01-31T21:00:00+11:00",
        "2013-01-31T04:30:00-05:30",
        (1_359_626_400, 0),
    ],
)
def test_every_spelling_of_an_instant_is_the_same_content(event_time: object) -> None:
    assert hash_of(event_time=event_time) == content_hash(**CONTENT)


def test_the_order_of_labels_and_the_case_of_ids_do_not_matter() -> None:
    assert hash_of(metadata={"lead": "b", "form": "a"}) == hash_of(org_id=str(ORG).upper()) == hash_of()


def test_a_compact_event_has_the_content_of_the_readable_one() -> None:
    compact = CompactEvent(
        ORG.bytes, PROJECT.bytes, REQUEST.bytes, "ACT-SMS", 15, 1, CONTENT["event_time_us"], CONTENT["metadata"]
    )
    assert check_compact(compact) == check_readable(READABLE)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("org_id", PROJECT.bytes),
        ("project_id", b""),
        ("sku", "ACT-SM"),
        ("quantity", -1_500_000_000),
        ("event_time_us", 1_359_626_400_000_001),
        ("metadata", {"form": "a"}),
        ("metadata", {"form": "ab", "lead": ""}),
        ("metadata", {"forma": "", "lead": "b"}),
        ("metadata", {}),
    ],
)
def test_any_other_value_is_other_content(field: str, other: object) -> None:
    assert content_hash(**{**CONTENT, field: other}) != content_hash(**CONTENT)


def test_the_request_id_is_no_part_of_the_content() -> None:
    assert hash_of(request_id="another") == hash_of()


LABELS = st.dictionaries(st.text("ab=|:1", max_size=4), st.text("ab=|:1", max_size=4), max_size=3)


@given(LABELS, LABELS)
def test_two_sets_of_labels_are_the_same_content_only_if_they_are_equal(
    one: dict[str, str], other: dict[str, str]
) -> None:
    same = content_hash(**{**CONTENT, "metadata": one}) == content_hash(**{**CONTENT, "metadata": other})
    assert same == (one == other)


def test_the_content_hash_never_changes_its_form() -> None:
    assert content_hash(**CONTENT).hex() == "081876987eeda76cacc82f2e185823553c74d087558d1c895d92aa4fbe4c6890"
