"""Digests: of a line's content, of a set of lines, and the coarse one."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import pytest
from apportion_common.errors import InvalidArgument
from apportion_ledger.domain.digest import coarse_digest, digest_of_lines, line_content, line_hash
from hypothesis import given
from hypothesis import strategies as st

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
PAIRS = st.dictionaries(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), max_size=50)


@pytest.mark.parametrize("field", list(LINE))
def test_every_field_of_a_line_is_in_its_content(field: str) -> None:
    value = LINE[field]
    other = (
        value + 1 if isinstance(value, int) else ("EUR" if field == "currency" else value + value[:1]) if value else ID
    )
    if field in ("org_id", "event_id"):
        other = ID[::-1]
    assert line_content(**LINE) != line_content(**{**LINE, field: other})


def test_texts_that_touch_do_not_mix() -> None:
    one = line_content(**{**LINE, "request_id": "r|1:x", "sku": "A"})
    assert one != line_content(**{**LINE, "request_id": "r", "sku": "1:x|A"})


def test_the_content_of_a_line_never_changes_its_form() -> None:
    assert line_hash(line_content(**LINE)).hex() == "d4ebb4019e92b01614a8bcb6fdda76a65a9342f3af4258f31f568aff5478e3dc"


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_digest_of_a_set_does_not_depend_on_order(pairs: dict[bytes, bytes], shuffler: random.Random) -> None:
    shuffled = list(pairs.items())
    shuffler.shuffle(shuffled)
    digest = digest_of_lines(shuffled)
    ordered = [pairs[charge] for charge in sorted(pairs)]
    assert digest.root == sha256(b"".join(ordered)).digest()
    assert digest.count == len(pairs)
    for bucket in range(256):
        inside = b"".join(pairs[charge] for charge in sorted(pairs) if charge[0] == bucket)
        assert digest.buckets[bucket] == sha256(inside).digest()


@given(PAIRS.filter(bool))
def test_one_different_line_shows_in_its_bucket_alone(pairs: dict[bytes, bytes]) -> None:
    charge = min(pairs)
    changed = {**pairs, charge: bytes(32) if any(pairs[charge]) else b"x" * 32}
    before, after = digest_of_lines(pairs.items()), digest_of_lines(changed.items())
    assert before.root != after.root
    assert before.differing_buckets(after) == [charge[0]]


def test_a_set_has_each_charge_once() -> None:
    with pytest.raises(InvalidArgument) as refused:
        digest_of_lines([(ID, bytes(32)), (ID, b"x" * 32)])
    assert refused.value.reason == "CHARGE_REPEATED"


def test_the_coarse_digest_covers_sums_and_not_lines() -> None:
    key = (ID, "ACT-SMS", "2013-01", "AUD")
    assert coarse_digest([(*key, 3), (*key, 4)]) == coarse_digest([(*key, 7)])
    assert coarse_digest([(*key, 3), (*key, -3)]) == coarse_digest([])
    assert coarse_digest([(*key, 3)]) != coarse_digest([(*key, 4)])
    assert coarse_digest([(*key, 3)]) != coarse_digest([(ID, "ACT-SMS", "2013-02", "AUD", 3)])
