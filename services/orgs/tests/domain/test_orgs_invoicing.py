"""What an invoice shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion_common.errors import ApportionError
from apportion_common.instants import DAY_US
from apportion_common.periods import parse_period, period_of
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.apportionment import apportion, apportion_to
from apportion_orgs.domain.invoicing import LineSum, draw_invoice
from apportion_orgs.domain.mappings import MappingRow, check_allocation, orgs_mapped_within
from apportion_orgs.limits import INVOICE_AMOUNT_MAX
from hypothesis import given
from hypothesis import strategies as st

OWNER, A, B, GROUP, OTHER = (bytes([n]) * 16 for n in range(1, 6))
CENT = 10**7
JANUARY = parse_period("2013-01")
FEBRUARY = parse_period("2013-02")


def row(
    org: bytes, account: bytes, at_us: int, revision: int, allocation: Allocation = Allocation.ABSORB
) -> MappingRow:
    percent = 500_000 if allocation is Allocation.SPLIT else None
    return MappingRow(bytes([revision]) * 16, org, account, allocation, percent, at_us, revision)


def line(org: bytes, gross: int, sku: str = "OBJ-KM", mapping: int = 0, period: str = "2013-01") -> LineSum:
    """A sum under the mapping of that revision; by default the org's in ROWS."""
    mapping_id = bytes([mapping or {A: 2, B: 1}[org]]) * 16
    return LineSum(org, None, sku, "usage", "AUD", None, False, mapping_id, period, "", 1, 10**9, gross, 0)


ROWS = [row(B, GROUP, 0, 1), row(A, GROUP, 0, 2, Allocation.CHARGEBACK)]
GROSS = st.integers(-(10**13), 10**13) | st.integers(-9, 9).map(lambda n: n * CENT // 2)
LINES = st.lists(st.builds(line, st.sampled_from([A, B]), GROSS, st.sampled_from(["X", "Y", "Z"])), max_size=12)


@given(LINES)
def test_shown_lines_add_up_to_parts_and_parts_to_the_total(lines: list[LineSum]) -> None:
    content = draw_invoice(OWNER, GROUP, "AUD", ROWS, lines)
    allocation = content.allocation
    assert sum(part.part for part in allocation.parts) == allocation.invoice_total
    assert allocation.ledger_total == sum(one.gross for one in lines)
    for part in allocation.parts:
        shown = [one for one in content.lines if one.sums.org_id == part.usage.org_id]
        assert sum(one.amount for one in shown) == part.part
        assert sum(one.sums.gross for one in shown) == part.usage.ledger_total
        assert all(one.amount % CENT == 0 and abs(one.amount - one.sums.gross) < CENT for one in shown)


@given(LINES, st.randoms())
def test_the_order_in_which_the_ledger_answers_does_not_matter(lines: list[LineSum], chance: st.DataObject) -> None:
    shuffled = list(lines)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    drawn = draw_invoice(OWNER, GROUP, "AUD", ROWS, lines)
    assert draw_invoice(OWNER, GROUP, "AUD", ROWS, shuffled) == drawn


@given(st.lists(st.integers(-(10**13), 10**13), max_size=10), st.integers(-1, 1))
def test_amounts_are_apportioned_to_a_total_near_their_sum(amounts: list[int], extra: int) -> None:
    rounded, parts = apportion(amounts, CENT)
    assert apportion_to(rounded, amounts, CENT) == parts
    total = rounded + extra * CENT
    if abs(total - sum(amounts)) < CENT:
        near = apportion_to(total, amounts, CENT)
        assert sum(near) == total
        assert all(part % CENT == 0 and abs(part - one) < CENT for part, one in zip(near, amounts, strict=True))


def test_orgs_stand_in_declared_order_and_sums_of_one_key_are_one_line() -> None:
    lines = [line(A, 5 * CENT), line(B, 7 * CENT), replace(line(A, 3 * CENT), line_count=4)]
    content = draw_invoice(OWNER, GROUP, "AUD", ROWS, lines)
    assert [part.usage.org_id for part in content.allocation.parts] == [B, A]
    assert [(one.sums.org_id, one.sums.line_count, one.amount) for one in content.lines] == [
        (B, 1, 7 * CENT),
        (A, 5, 8 * CENT),
    ]
    assert content.allocation.copies == ((A, 8 * CENT),)


def test_a_line_is_billed_by_the_mapping_that_it_names_and_a_part_for_each_period_and_terms() -> None:
    rows = [
        row(B, GROUP, 0, 1),
        row(A, GROUP, 0, 2),
        row(A, GROUP, JANUARY.start_us, 3, Allocation.SPLIT),
        row(A, GROUP, FEBRUARY.start_us, 4, Allocation.CHARGEBACK),
        row(A, GROUP, FEBRUARY.start_us + 1, 5, Allocation.CHARGEBACK),
    ]
    lines = [
        line(A, 10 * CENT, mapping=3),
        replace(line(A, 4 * CENT, mapping=3), billed_period="2013-02"),
        line(A, 1 * CENT, mapping=4, period="2013-02"),
        line(A, 2 * CENT, mapping=5, period="2013-02"),
        line(B, 7 * CENT, mapping=1, period="2013-02"),
    ]
    content = draw_invoice(OWNER, GROUP, "AUD", rows, lines)
    assert [(key.place, key.period, key.late, key.allocation) for key in content.keys] == [
        (0, "2013-02", False, Allocation.ABSORB),
        (1, "2013-01", False, Allocation.SPLIT),
        (1, "2013-01", True, Allocation.SPLIT),
        (1, "2013-02", False, Allocation.CHARGEBACK),
    ]
    assert [(one.part, one.sums.line_count, one.amount) for one in content.lines] == [
        (0, 1, 7 * CENT),
        (1, 1, 10 * CENT),
        (2, 1, 4 * CENT),
        (3, 2, 3 * CENT),
    ]
    assert content.allocation.payers == ((OWNER, 17 * CENT), (A, 7 * CENT))
    assert content.allocation.copies == ((A, 3 * CENT),)


def test_copies_of_several_parts_are_one() -> None:
    lines = [line(A, 5 * CENT), line(A, -2 * CENT, period="2013-02")]
    content = draw_invoice(OWNER, GROUP, "AUD", ROWS, lines)
    assert len(content.allocation.parts) == 2
    assert content.allocation.copies == ((A, 3 * CENT),)


@pytest.mark.parametrize(
    ("lines", "rows", "reason"),
    [
        ([replace(line(A, 1), currency="JPY")], ROWS, "CURRENCY_MISMATCH"),
        ([line(A, 1)], [], "MAPPING_MISSING"),
        ([line(A, 1)], [row(A, OTHER, 0, 2), row(A, GROUP, 0, 3)], "MAPPING_MISSING"),
        ([line(A, 1, mapping=1)], ROWS, "MAPPING_MISSING"),
        ([line(A, INVOICE_AMOUNT_MAX), line(A, 10**9)], ROWS, "AMOUNT_OUT_OF_RANGE"),
        ([line(A, INVOICE_AMOUNT_MAX), line(B, 10**9)], ROWS, "AMOUNT_OUT_OF_RANGE"),
        ([line(A, 10**38 - 1), line(A, 1)], ROWS, "AMOUNT_OUT_OF_RANGE"),
    ],
)
def test_what_cannot_be_billed_is_rejected(lines: list[LineSum], rows: list[MappingRow], reason: str) -> None:
    with pytest.raises(ApportionError) as rejected:
        draw_invoice(OWNER, GROUP, "AUD", rows, lines)
    assert rejected.value.reason == reason


def test_orgs_are_on_an_account_within_a_period_if_they_are_there_at_some_instant() -> None:
    def mapped(*rows: MappingRow) -> set[bytes]:
        return orgs_mapped_within(rows, GROUP, JANUARY.start_us, JANUARY.end_us)

    assert mapped(row(A, GROUP, 0, 1)) == {A}
    assert mapped(row(A, GROUP, 0, 1), row(A, OTHER, JANUARY.start_us, 2)) == set()
    assert mapped(row(A, GROUP, 0, 1), row(A, OTHER, JANUARY.start_us + 1, 2)) == {A}
    assert mapped(row(A, GROUP, JANUARY.end_us - 1, 1)) == {A}
    assert mapped(row(A, GROUP, JANUARY.end_us, 1)) == set()


MAPPING_ROWS = st.lists(
    st.tuples(
        st.sampled_from([GROUP, OTHER]),
        st.sampled_from(list(Allocation)),
        st.integers(0, 8).map(lambda n: n * 10 * DAY_US),
    ),
    unique_by=lambda drawn: drawn[2],
    max_size=6,
)


@given(MAPPING_ROWS)
def test_rows_that_are_let_in_leave_one_allocation_per_account_and_period(
    drawn: list[tuple[bytes, Allocation, int]],
) -> None:
    held: list[MappingRow] = []
    for number, (account, allocation, at_us) in enumerate(drawn):
        new = row(A, account, at_us, number + 1, allocation)
        if _one_allocation_a_period([*held, new]):
            check_allocation(held, new)
            held.append(new)
        else:
            with pytest.raises(ApportionError) as rejected:
                check_allocation(held, new)
            assert rejected.value.reason == "ALLOCATION_NOT_PERIOD_START"


def _one_allocation_a_period(rows: list[MappingRow]) -> bool:
    """The rule, day by day."""
    seen: dict[tuple[str, bytes], set[Allocation]] = {}
    for day in range(120):
        before = [r for r in rows if r.effective_at_us <= day * DAY_US]
        if before:
            last = max(before, key=lambda r: r.effective_at_us)
            seen.setdefault((period_of(day * DAY_US).key, last.account_id), set()).add(last.allocation)
    return all(len(allocations) == 1 for allocations in seen.values())
