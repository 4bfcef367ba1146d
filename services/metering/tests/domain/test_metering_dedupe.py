"""The rule that decides about the entries of a batch, against a plain model that looks through all earlier ones."""

from __future__ import annotations

import pytest
from apportion.metering.v1 import lane_pb2
from apportion_metering.domain.dedupe import (
    ACCEPTED,
    DEAD_LETTERED,
    DUPLICATE,
    IN_FUTURE,
    MISMATCH,
    decide_event,
    decide_requeue,
    latest_event_time_us,
)
from hypothesis import given
from hypothesis import strategies as st

HASH, OTHER_HASH = b"a" * 32, b"b" * 32
LATEST_US = latest_event_time_us(1_359_676_800_000_000)

Entry = tuple[bytes, bytes, int]
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([b"one", b"two", b"three"]),
        st.sampled_from([HASH, OTHER_HASH]),
        st.sampled_from([LATEST_US - 1, LATEST_US, LATEST_US + 1]),
    ),
    max_size=12,
)
KNOWN = st.dictionaries(st.sampled_from([b"one", b"two"]), st.sampled_from([HASH, OTHER_HASH]))


def plain_outcomes(known: dict[bytes, bytes], entries: list[Entry]) -> list[int]:
    """Look through all earlier entries for each one: the first claims the id."""
    outcomes = []
    for number, (name, content, at_us) in enumerate(entries):
        claims = (
            [known[name]] if name in known else [other for earlier, other, _ in entries[:number] if earlier == name]
        )
        if claims:
            outcomes.append(DUPLICATE if claims[0] == content else MISMATCH)
        else:
            outcomes.append(IN_FUTURE if at_us > LATEST_US else ACCEPTED)
    return outcomes


@given(KNOWN, ENTRIES)
def test_the_first_content_of_an_id_counts_once_and_every_later_entry_is_told_so(
    known: dict[bytes, bytes], entries: list[Entry]
) -> None:
    claimed = dict(known)
    outcomes = [decide_event(claimed, *entry, LATEST_US) for entry in entries]
    assert outcomes == plain_outcomes(known, entries)
    assert known.items() <= claimed.items()
    assert outcomes.count(ACCEPTED) + outcomes.count(IN_FUTURE) == len(claimed) - len(known)


@given(KNOWN, ENTRIES)
def test_what_comes_again_in_a_later_batch_is_never_taken_again(
    known: dict[bytes, bytes], entries: list[Entry]
) -> None:
    claimed = dict(known)
    first = [decide_event(claimed, *entry, LATEST_US) for entry in entries]
    again = [decide_event(claimed, *entry, LATEST_US) for entry in entries]
    assert {ACCEPTED, IN_FUTURE}.isdisjoint(again)
    assert all(now == DUPLICATE for then, now in zip(first, again, strict=True) if then in (ACCEPTED, IN_FUTURE))


@pytest.mark.parametrize(
    ("waiting", "attempt", "at_us", "outcome"),
    [
        (1, 1, LATEST_US, ACCEPTED),
        (1, 1, LATEST_US + 1, IN_FUTURE),
        (2, 1, LATEST_US, DUPLICATE),
        (1, 2, LATEST_US, DUPLICATE),
        (2, 1, LATEST_US + 1, DUPLICATE),
    ],
)
def test_a_requeue_counts_for_the_attempt_that_waits_alone(
    waiting: int, attempt: int, at_us: int, outcome: int
) -> None:
    assert decide_requeue(waiting, attempt, at_us, LATEST_US) == outcome


def test_an_event_may_lie_five_minutes_ahead_of_its_receipt() -> None:
    assert latest_event_time_us(0) == 5 * 60 * 1_000_000


def test_what_a_sender_is_told_has_the_numbers_of_the_contract() -> None:
    told = {"ACCEPTED": ACCEPTED, "DUPLICATE": DUPLICATE, "PAYLOAD_MISMATCH": MISMATCH, "DEAD_LETTERED": DEAD_LETTERED}
    contract = {name.removeprefix("ENTRY_OUTCOME_"): value for name, value in lane_pb2.EntryOutcome.items() if value}
    assert told == contract
    assert IN_FUTURE not in contract.values()
