"""Who is credited at which rate: sentences for the rules, and a naive scan of the rows as the model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion_ledger.domain.attribution import (
    NO_PARTNER,
    AttributionIndex,
    MatchKind,
    PartnerTierRow,
    PorRow,
    PorStatus,
    PorSubject,
    RateRow,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ORG, ACCOUNT, NORTHWIND, HARBOUR = (bytes([n]) * 16 for n in range(1, 5))
SKU, TYPE = "ACT-SMS", "action"
OF_ORG = PorRow(b"o" * 16, PorSubject.ORG, ORG, NORTHWIND, 100, None, revision=1)
OF_ACCOUNT = PorRow(b"a" * 16, PorSubject.ACCOUNT, ACCOUNT, HARBOUR, 200, 300, revision=2)
TIERS = [PartnerTierRow(NORTHWIND, "gold", 0, 3), PartnerTierRow(HARBOUR, "silver", 0, 4)]
RATES = [
    RateRow("gold", MatchKind.SKU, SKU, 15, 0, 5),
    RateRow("gold", MatchKind.SKU, "VAL-BAG", 0, 0, 6),
    RateRow("gold", MatchKind.SKU_TYPE, TYPE, 9, 0, 7),
    RateRow("gold", MatchKind.SKU_TYPE, "validation", 8, 0, 8),
    RateRow("gold", MatchKind.DEFAULT, "", 5, 0, 9),
    RateRow("silver", MatchKind.SKU_TYPE, TYPE, 10, 0, 10),
]
BOOK = AttributionIndex([OF_ORG, OF_ACCOUNT], TIERS, RATES)


def credited(
    at_us: int, book: AttributionIndex = BOOK, sku: str = SKU, sku_type: str = TYPE
) -> tuple[bytes | None, int]:
    found = book.attribute(ORG, ACCOUNT, sku, sku_type, at_us)
    return found.partner_id, found.pct


def test_the_account_counts_before_the_org_within_half_open_intervals() -> None:
    assert credited(99) == (None, 0)
    assert credited(100) == credited(199) == (NORTHWIND, 15)
    assert credited(200) == credited(299) == (HARBOUR, 10)
    assert credited(300) == (NORTHWIND, 15)


def test_a_line_without_an_account_is_the_orgs() -> None:
    assert BOOK.attribute(ORG, None, SKU, TYPE, 250).partner_id == NORTHWIND
    assert BOOK.attribute(ACCOUNT, None, SKU, TYPE, 250) is NO_PARTNER


def test_a_rate_matches_the_sku_then_its_type_then_the_default() -> None:
    assert credited(100)[1] == 15
    assert credited(100, sku="ACT-EMAIL")[1] == 9
    assert credited(100, sku="OBJ-KM", sku_type="object")[1] == 5


def test_an_exact_rate_of_zero_does_not_fall_through() -> None:
    assert credited(100, sku="VAL-BAG", sku_type="validation") == (NORTHWIND, 0)
    assert credited(100, sku="VAL-X", sku_type="validation") == (NORTHWIND, 8)


def test_without_a_matching_rate_or_tier_the_partner_stays_with_nothing() -> None:
    assert credited(250, sku="OBJ-KM", sku_type="object") == (HARBOUR, 0)
    found = AttributionIndex([OF_ORG], [], RATES).attribute(ORG, None, SKU, TYPE, 100)
    assert (found.partner_id, found.pct, found.tier, found.rate_kind) == (NORTHWIND, 0, None, None)


def test_tier_and_rate_are_those_of_the_events_time() -> None:
    book = AttributionIndex(
        [OF_ORG],
        [*TIERS, PartnerTierRow(NORTHWIND, "silver", 400, 11)],
        [*RATES, RateRow("gold", MatchKind.SKU, SKU, 17, 350, 12)],
    )
    assert [credited(at, book)[1] for at in (349, 350, 399, 400)] == [15, 17, 17, 10]


def test_a_disputed_partner_still_earns_and_is_marked() -> None:
    book = AttributionIndex([OF_ORG, replace(OF_ORG, status=PorStatus.DISPUTED, revision=11)], TIERS, RATES)
    found = book.attribute(ORG, None, SKU, TYPE, 100)
    assert (found.pct, found.disputed, found.por_revision) == (15, True, 11)


def test_an_interval_is_ended_by_a_further_row_and_a_replay_does_not_know_it_yet() -> None:
    rows = [replace(OF_ORG, end_at_us=150, revision=11), OF_ORG]
    assert credited(150, AttributionIndex(rows, TIERS, RATES)) == (None, 0)
    assert credited(150, AttributionIndex(rows, TIERS, RATES, known_revision=10)) == (NORTHWIND, 15)


def test_the_decision_names_the_rows_it_came_from() -> None:
    found = BOOK.attribute(ORG, ACCOUNT, SKU, TYPE, 250)
    assert (found.por_subject, found.por_id, found.por_revision) == (PorSubject.ACCOUNT, b"a" * 16, 2)
    assert (found.tier, found.tier_revision) == ("silver", 4)
    assert (found.rate_kind, found.rate_revision) == (MatchKind.SKU_TYPE, 10)


INSTANTS = st.integers(0, 12)
REVISIONS = st.integers(1, 9)
PARTNERS = st.sampled_from([NORTHWIND, HARBOUR])
TIER_NAMES = st.sampled_from(["gold", "silver"])


@st.composite
def intervals(draw: st.DrawFn) -> list[PorRow]:
    rows: list[PorRow] = []
    for kind, subject in ((PorSubject.ORG, ORG), (PorSubject.ACCOUNT, ACCOUNT)):
        bounds = sorted(draw(st.lists(INSTANTS, max_size=6, unique=True)))
        for start, end in zip(bounds[::2], [*bounds[1::2], None], strict=False):
            por_id = bytes([len(rows)]) * 16
            rows.append(PorRow(por_id, kind, subject, draw(PARTNERS), start, end, revision=draw(REVISIONS)))
    return rows


MATCHES = st.sampled_from(
    [(MatchKind.SKU, SKU), (MatchKind.SKU_TYPE, TYPE), (MatchKind.DEFAULT, ""), (MatchKind.SKU, "OTHER")]
)
RATE_ROWS = st.builds(
    lambda tier, match, pct, at, revision: RateRow(tier, match[0], match[1], pct, at, revision),
    TIER_NAMES,
    MATCHES,
    st.integers(0, 3),
    INSTANTS,
    REVISIONS,
)
TIER_ROWS = st.builds(PartnerTierRow, PARTNERS, TIER_NAMES, INSTANTS, REVISIONS)


def naive(
    pors: list[PorRow], tiers: list[PartnerTierRow], rates: list[RateRow], at: int, known: int
) -> tuple[bytes | None, int]:
    """The rule as it reads, scanning all rows for one line."""
    partner = None
    for kind in (PorSubject.ORG, PorSubject.ACCOUNT):
        for row in pors:
            held = row.revision <= known and row.start_at_us <= at and (row.end_at_us is None or at < row.end_at_us)
            if row.subject_kind is kind and held:
                partner = row.partner_id
    if partner is None:
        return None, 0
    tier, best = None, (-1, -1)
    for tier_row in tiers:
        place = tier_row.effective_at_us, tier_row.revision
        if tier_row.partner_id == partner and place[0] <= at and place[1] <= known and place >= best:
            tier, best = tier_row.tier, place
    for match in ((MatchKind.SKU, SKU), (MatchKind.SKU_TYPE, TYPE), (MatchKind.DEFAULT, "")):
        pct, best = None, (-1, -1)
        for rate in rates:
            place = rate.effective_at_us, rate.revision
            matches = rate.tier == tier and (rate.match_kind, rate.match_value) == match
            if matches and place[0] <= at and place[1] <= known and place >= best:
                pct, best = rate.pct, place
        if pct is not None:
            return partner, pct
    return partner, 0


@settings(max_examples=300)
@given(intervals(), st.lists(TIER_ROWS, max_size=6), st.lists(RATE_ROWS, max_size=12), REVISIONS)
def test_attribution_is_the_naive_scan_of_all_rows(
    pors: list[PorRow], tiers: list[PartnerTierRow], rates: list[RateRow], known: int
) -> None:
    book = AttributionIndex(pors, tiers, rates, known_revision=known)
    for at in range(-1, 14):
        assert credited(at, book) == naive(pors, tiers, rates, at, known)


@pytest.mark.parametrize(("at_us", "partner"), [(199, None), (200, HARBOUR), (299, HARBOUR), (300, None)])
def test_the_partner_of_one_subject_can_be_asked(at_us: int, partner: bytes | None) -> None:
    row = BOOK.partner_of(PorSubject.ACCOUNT, ACCOUNT, at_us)
    assert (row.partner_id if row else None) == partner
