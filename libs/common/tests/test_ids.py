"""Ids: drawn in order of time, or derived."""

from __future__ import annotations

import uuid
from itertools import pairwise
from threading import Thread

import pytest
from apportion_common.errors import InvalidArgument
from apportion_common.ids import (
    EVENT_NAMESPACE,
    Uuid7Source,
    charge_id,
    entry_id,
    event_id,
    format_uuid,
    lane_of,
    parse_uuid,
    parse_uuid_bytes,
    uuid5_bytes,
    uuid7,
    uuid_of_bytes,
)
from hypothesis import given
from hypothesis import strategies as st

IDS = st.uuids()
ORG = uuid.UUID("0190b5f2-0000-7000-8000-000000000001")


@given(IDS, st.text(max_size=40))
def test_a_derived_id_is_the_standard_version_5(namespace: uuid.UUID, name: str) -> None:
    assert uuid5_bytes(namespace.bytes, name.encode()) == uuid.uuid5(namespace, name).bytes


def test_the_chain_of_derived_ids_never_changes() -> None:
    event = event_id(ORG.bytes, "request-1")
    assert uuid.UUID(bytes=event) == uuid_of_bytes(uuid5_bytes(EVENT_NAMESPACE, ORG.bytes + b"request-1"))
    assert format_uuid(event) == "5f9d45e4-b868-52a0-ba0e-6caf8909a376"
    assert format_uuid(charge_id(event, "usage")) == "82ac8f9a-b4a4-5c77-ba47-d49663cc0925"
    assert format_uuid(entry_id(charge_id(event, "usage"))) == "f602925b-3b6d-5fcf-bdb1-dae0674128ed"


def test_the_same_request_id_in_two_orgs_is_two_events() -> None:
    assert event_id(ORG.bytes, "r") != event_id(uuid.UUID(int=1).bytes, "r")


def test_an_event_has_another_charge_for_each_kind() -> None:
    event = event_id(ORG.bytes, "r")
    assert charge_id(event, "usage") != charge_id(event, "rerate")


@given(IDS)
def test_an_id_is_read_in_either_case_and_written_in_one(value: uuid.UUID) -> None:
    assert parse_uuid(str(value)) == parse_uuid(str(value).upper()) == value
    assert format_uuid(parse_uuid_bytes(str(value))) == str(value)
    assert uuid_of_bytes(value.bytes) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ORG.hex,
        f"{{{ORG}}}",
        f"urn:uuid:{ORG}",
        f" {ORG}",
        f"{ORG}\n",
        str(ORG).replace("-", "_"),
        "g" * 36,
        "-" * 36,
        "1" * 10_000_000,
    ],
    ids=lambda text: repr(text[:10]),
)
def test_an_id_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_uuid(text)
    assert refused.value.reason == "ID_MALFORMED"


@pytest.mark.parametrize("raw", [b"", b"x" * 15, b"x" * 17])
def test_an_id_has_sixteen_bytes(raw: bytes) -> None:
    for read in (uuid_of_bytes, format_uuid):
        with pytest.raises(InvalidArgument) as refused:
            read(raw)
        assert refused.value.reason == "ID_MALFORMED"


@given(st.lists(st.integers(0, 2**48 - 2), min_size=2, max_size=200))
def test_ids_rise_also_when_the_clock_stands_still_or_goes_back(instants_ms: list[int]) -> None:
    source = Uuid7Source()
    drawn = [source.draw(ms * 1_000_000) for ms in instants_ms for _ in range(3)]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == len(drawn)
    assert all(value.version == 7 and value.variant == uuid.RFC_4122 for value in drawn)


def test_ids_rise_when_one_millisecond_draws_more_than_it_can_count() -> None:
    source = Uuid7Source()
    drawn = [source.draw(1_700_000_000_000_000_000) for _ in range(10_000)]
    assert all(before < after for before, after in pairwise(drawn))


def test_an_id_begins_with_its_milliseconds() -> None:
    assert uuid7(1_700_000_000_123_456_789).int >> 80 >= 1_700_000_000_123
    assert uuid7() < uuid7()


def test_threads_never_draw_the_same_id() -> None:
    source, drawn = Uuid7Source(), list[uuid.UUID]()
    threads = [Thread(target=lambda: drawn.extend([source.draw(10**18) for _ in range(2000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drawn)) == 8000


def test_the_lane_of_an_org_never_changes() -> None:
    assert [lane_of(uuid.UUID(int=n).bytes) for n in range(8)] == [21, 27, 8, 6, 24, 26, 28, 10]


def test_orgs_spread_over_all_lanes() -> None:
    assert {lane_of(uuid.UUID(int=n).bytes) for n in range(1000)} == set(range(32))
