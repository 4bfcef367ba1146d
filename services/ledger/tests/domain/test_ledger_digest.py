"""Digests: of a line's content, and the coarse one."""

from __future__ import annotations

from typing import Any

import pytest
from apportion_ledger.domain.digest import coarse_digest, content_frame, line_content, line_hash, partner_content

ID = bytes(range(16))
LINE: dict[str, Any] = {
    "kind": "usage",
    "org_id": ID,
    "project_id": b"",
    "event_id": ID,
    "request_id": "r-1",
    "sku": "ACT-SMS",
    "quantity": 1,
    "currency": "AUD",
    "gross": 10,
    "account_id": ID,
    "partner_id": ID,
    "pct": 150_000,
    "partner_amount": 2,
    "net": 8,
    "event_time_us": 5,
}


def content_of(changed: dict[str, Any]) -> bytes:
    """The content of the line with some other values."""
    of = {**LINE, **changed}
    frame = content_frame(
        of["kind"],
        of["org_id"],
        of["project_id"],
        of["sku"],
        of["currency"],
        of["account_id"],
        of["request_id"],
        of.get("billed_period", ""),
    )
    partner = partner_content(of["partner_id"], of["pct"])
    numbers = of["partner_amount"], of["net"], of["event_time_us"]
    return line_content(frame, of["event_id"], of["quantity"], of["gross"], partner, *numbers)


@pytest.mark.parametrize("field", list(LINE))
def test_every_field_of_a_line_is_in_its_content(field: str) -> None:
    value = LINE[field]
    other = (
        value + 1 if isinstance(value, int) else ("EUR" if field == "currency" else value + value[:1]) if value else ID
    )
    if field in ("org_id", "event_id"):
        other = ID[::-1]
    assert content_of({}) != content_of({field: other})


def test_texts_that_touch_do_not_mix() -> None:
    assert content_of({"request_id": "r|1:x", "sku": "A"}) != content_of({"request_id": "r", "sku": "1:x|A"})


def test_the_content_of_a_line_never_changes_its_form() -> None:
    assert line_hash(content_of({})).hex() == "d4ebb4019e92b01614a8bcb6fdda76a65a9342f3af4258f31f568aff5478e3dc"


def test_a_late_line_says_what_bills_it_and_others_say_nothing_of_it() -> None:
    late = content_of({"billed_period": "2013-02"})
    assert late.replace(b"billed:2013-02|", b"") == content_of({})
    assert len({content_of({}), late, content_of({"billed_period": "2013-03"})}) == 3
    assert line_hash(late).hex() == "d874c2fc778bb4032f9285ca9d4a4c898d4019f27c9efdc0305bf9e0425e3507"


def test_the_coarse_digest_covers_sums_and_not_lines() -> None:
    key = (ID, "ACT-SMS", "2013-01", "AUD")
    assert coarse_digest([(*key, 3), (*key, 4)]) == coarse_digest([(*key, 7)])
    assert coarse_digest([(*key, 3), (*key, -3)]) == coarse_digest([])
    assert coarse_digest([(*key, 3)]) != coarse_digest([(*key, 4)])
    assert coarse_digest([(*key, 3)]) != coarse_digest([(ID, "ACT-SMS", "2013-02", "AUD", 3)])
