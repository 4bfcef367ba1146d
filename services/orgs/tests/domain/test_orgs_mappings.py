"""Which billing account an org maps to at an instant."""

from __future__ import annotations

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.mappings import MappingRow, declared_order
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.orgs_mappings import MappingIndex

ORG, OTHER, SKYWEST, STAR = (bytes([n]) * 16 for n in range(1, 5))


def row(org: bytes, account: bytes, at_us: int, revision: int = 0) -> MappingRow:
    return MappingRow(bytes([revision]) * 16, org, account, Allocation.ABSORB, None, at_us, revision)


def account_at(index: MappingIndex, at_us: int, org: bytes = ORG) -> bytes | None:
    found = index.in_force(org, at_us)
    return found.account_id if found else None


def test_a_mapping_holds_from_its_own_instant_until_the_next_one() -> None:
    index = MappingIndex([row(ORG, STAR, 200, 2), row(ORG, SKYWEST, 100, 1), row(ORG, SKYWEST, 300, 3)])
    assert [account_at(index, at) for at in (99, 100, 199, 200, 299, 300)] == [
        None,
        SKYWEST,
        SKYWEST,
        STAR,
        STAR,
        SKYWEST,
    ]
    assert account_at(index, 500, OTHER) is None


def test_a_replay_does_not_know_a_later_mapping() -> None:
    rows = [row(ORG, SKYWEST, 100, 1), row(ORG, STAR, 200, 2)]
    assert account_at(MappingIndex(rows, known_revision=1), 250) == SKYWEST


ROWS = st.builds(
    row, st.sampled_from([ORG, OTHER]), st.sampled_from([SKYWEST, STAR]), st.integers(0, 9), st.integers(0, 9)
)


@given(st.lists(ROWS, max_size=8, unique_by=lambda r: (r.org_id, r.effective_at_us, r.revision)), st.integers(-1, 10))
def test_the_mapping_in_force_is_the_last_one_not_after_the_instant(rows: list[MappingRow], at_us: int) -> None:
    for org in (ORG, OTHER):
        held = [r for r in rows if r.org_id == org and r.effective_at_us <= at_us]
        expected = max(held, key=lambda r: (r.effective_at_us, r.revision), default=None)
        assert MappingIndex(rows).in_force(org, at_us) is expected


def test_the_declared_order_of_an_account_is_that_of_its_mapping_rows() -> None:
    rows = [row(ORG, SKYWEST, 100, 2), row(OTHER, SKYWEST, 200, 1), row(ORG, STAR, 50, 3), row(OTHER, SKYWEST, 300, 4)]
    assert declared_order(rows, SKYWEST) == [OTHER, ORG]
    assert declared_order(rows, STAR) == [ORG]
