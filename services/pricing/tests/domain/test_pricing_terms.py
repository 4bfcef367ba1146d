"""Resolution of terms: sentences for the rules, and a naive scan of the rows as the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from apportion_common.periods import parse_period
from apportion_pricing.domain.rejections import RejectionReason
from apportion_pricing.domain.terms import (
    AssignmentRow,
    EntitlementRow,
    Override,
    PlanRow,
    PlanSkuRow,
    SkuRow,
    Source,
    SourceKind,
    SubjectKind,
    TermsRows,
)
from apportion_pricing.domain.terms_index import Outcome, RateTerms, TermsIndex
from apportion_pricing.domain.tiers import NO_TIERS, Tiers
from hypothesis import given, settings
from hypothesis import strategies as st

ORG, ACCOUNT, OTHER, PLAN, PLAN_B = (bytes([n]) * 16 for n in range(1, 6))
SKU = "ACT-SMS"
MONTH = parse_period("2013-01")
START = MONTH.start_us
TIERS = Tiers((10, 20), (7, 6))

BASE = TermsRows(
    skus=[SkuRow(SKU, "action"), SkuRow("ACT-LOUNGE", "action")],
    plans=[PlanRow(PLAN, "AUD"), PlanRow(PLAN_B, "JPY")],
    plan_skus=[PlanSkuRow(PLAN, SKU, "graduated", 5, 8, TIERS, START - 1000, 1)],
    assignments=[AssignmentRow(ORG, PLAN, START - 1000, 2)],
)


def terms_at(
    index: TermsIndex, org: bytes, account: bytes | None, fixed: bytes | None, sku: str, at_us: int, start_us: int
) -> Outcome:
    return index.segment(org, account, fixed, sku, at_us, start_us)[0]


def with_entitlements(*rows: EntitlementRow) -> TermsRows:
    return replace(BASE, entitlements=rows)


def of_org(override: Override, at_us: int, revision: int = 10, plan_id: bytes | None = PLAN) -> EntitlementRow:
    return EntitlementRow(SubjectKind.ORG, ORG, plan_id, {SKU: override}, at_us, revision)


def of_account(override: Override, at_us: int, revision: int = 20, account: bytes = ACCOUNT) -> EntitlementRow:
    return EntitlementRow(SubjectKind.ACCOUNT, account, PLAN, {SKU: override}, at_us, revision)


def resolved(rows: TermsRows, at_us: int = START + 500, account: bytes = ACCOUNT, fixed: bytes = ACCOUNT) -> RateTerms:
    terms = terms_at(TermsIndex(rows), ORG, account, fixed, SKU, at_us, START)
    assert isinstance(terms, RateTerms)
    return terms


def test_without_overrides_the_plan_row_counts() -> None:
    terms = resolved(BASE)
    assert (terms.values.included, terms.values.overage_price, terms.values.tiers) == (5, 8, TIERS)
    assert (terms.plan_id, terms.currency, terms.sku_type) == (PLAN, "AUD", "action")
    assert terms.included_source == terms.price_source == terms.tiers_source == Source(SourceKind.PLAN, 1)
    assert terms.table.slopes == (8, 7, 6)


def test_values_resolve_one_by_one_org_before_account_before_plan() -> None:
    terms = resolved(
        with_entitlements(
            of_org(Override(overage_price=3), START), of_account(Override(included=9, overage_price=4), START)
        )
    )
    assert (terms.values.included, terms.included_source) == (9, Source(SourceKind.ACCOUNT, 20))
    assert (terms.values.overage_price, terms.price_source) == (3, Source(SourceKind.ORG, 10))
    assert (terms.values.tiers, terms.tiers_source) == (TIERS, Source(SourceKind.PLAN, 1))


def test_a_later_row_of_a_subject_replaces_its_earlier_one_as_a_whole() -> None:
    terms = resolved(
        with_entitlements(of_org(Override(included=1), START - 5), of_org(Override(overage_price=3), START - 4, 11))
    )
    assert (terms.values.included, terms.values.overage_price) == (5, 3)


def test_of_two_rows_at_one_instant_the_later_revision_counts() -> None:
    rows = [of_org(Override(overage_price=4), START, 12), of_org(Override(overage_price=3), START, 11)]
    assert resolved(with_entitlements(*rows)).values.overage_price == 4


def test_a_price_holds_from_its_own_instant() -> None:
    rows = with_entitlements(of_org(Override(overage_price=3), START + 100))
    assert resolved(rows, START + 99).values.overage_price == 8
    assert resolved(rows, START + 100).values.overage_price == 3


def test_included_quantity_stays_for_the_period() -> None:
    rows = with_entitlements(of_org(Override(included=1, overage_price=3), START + 100))
    assert resolved(rows, START + 200).values.included == 5
    assert resolved(rows, START + 200).values.overage_price == 3


def test_included_quantity_stays_for_the_period_also_after_a_remapping() -> None:
    rows = with_entitlements(of_account(Override(included=1, overage_price=3), START - 5, account=OTHER))
    terms = resolved(rows, account=OTHER, fixed=ACCOUNT)
    assert (terms.values.included, terms.values.overage_price) == (5, 3)
    assert resolved(rows, account=OTHER, fixed=OTHER).values.included == 1


def test_tier_prices_change_in_mid_period_but_thresholds_do_not() -> None:
    change = PlanSkuRow(PLAN, SKU, "graduated", 5, 80, Tiers((10, 20), (70, 60)), START + 100, 3)
    other = replace(change, tiers=Tiers((11, 20), (70, 60)))
    before = BASE.plan_skus
    assert resolved(replace(BASE, plan_skus=[*before, change])).table.slopes == (80, 70, 60)
    assert resolved(replace(BASE, plan_skus=[*before, other])).table.slopes == (80, 7, 6)
    assert resolved(replace(BASE, plan_skus=[*before, other])).tiers_source == Source(SourceKind.PLAN, 1)


def test_an_org_assigned_within_the_period_has_the_structure_of_that_instant() -> None:
    rows = replace(
        with_entitlements(of_org(Override(included=1), START + 40)),
        assignments=[AssignmentRow(ORG, PLAN, START + 50, 2)],
    )
    assert resolved(rows).values.included == 1
    assert TermsIndex(rows).structure_instant(ORG, START) == START + 50
    assert terms_at(TermsIndex(rows), ORG, ACCOUNT, ACCOUNT, SKU, START + 49, START) is RejectionReason.NO_ENTITLEMENT


def test_an_override_for_one_plan_does_not_price_another() -> None:
    assert resolved(with_entitlements(of_org(Override(overage_price=3), START, plan_id=PLAN_B))).table.slopes[0] == 8
    assert resolved(with_entitlements(of_org(Override(overage_price=3), START, plan_id=None))).table.slopes[0] == 3


def test_per_unit_has_no_tiers() -> None:
    row = PlanSkuRow(PLAN, SKU, "per_unit", 0, 8, NO_TIERS, START - 1000, 1)
    rows = replace(with_entitlements(of_org(Override(tiers=TIERS), START)), plan_skus=[row])
    assert resolved(rows).table == (0, 8)


@pytest.mark.parametrize(
    ("org", "sku", "reason"),
    [
        (ORG, "ACT-LOUNGE", RejectionReason.NO_ENTITLEMENT),
        (ORG, "NO-SUCH", RejectionReason.UNKNOWN_SKU),
        (OTHER, SKU, RejectionReason.NO_ENTITLEMENT),
        (OTHER, "NO-SUCH", RejectionReason.UNKNOWN_SKU),
    ],
)
def test_what_cannot_be_rated_is_told_apart(org: bytes, sku: str, reason: RejectionReason) -> None:
    for at_us in (START - 5000, START, START + 5):
        assert terms_at(TermsIndex(BASE), org, None, None, sku, at_us, START) is reason


def test_an_org_whose_plan_was_taken_away_has_no_entitlement() -> None:
    rows = replace(BASE, assignments=[*BASE.assignments, AssignmentRow(ORG, None, START, 3)])
    assert terms_at(TermsIndex(rows), ORG, ACCOUNT, ACCOUNT, SKU, START, START) is RejectionReason.NO_ENTITLEMENT
    assert TermsIndex(rows).structure_instant(OTHER, START) is None


def test_a_replay_decides_as_known_then() -> None:
    rows = with_entitlements(of_org(Override(overage_price=3), START, 10))
    then, now = TermsIndex(rows, known_revision=9), TermsIndex(rows, known_revision=10)
    for index, price in ((then, 8), (now, 3)):
        terms = terms_at(index, ORG, ACCOUNT, ACCOUNT, SKU, START, START)
        assert isinstance(terms, RateTerms)
        assert terms.values.overage_price == price


INSTANTS = st.integers(-6, 6).map(lambda n: START + n * 100)
OVERRIDES = st.builds(
    Override,
    included=st.none() | st.integers(0, 3),
    overage_price=st.none() | st.integers(0, 3),
    tiers=st.none() | st.builds(Tiers, st.sampled_from([(10,), (11,)]), st.tuples(st.integers(0, 3))),
)
PLANS = st.sampled_from([PLAN, PLAN_B])
REVISIONS = st.integers(1, 9)


@st.composite
def worlds(draw: st.DrawFn) -> TermsRows:
    tiers = st.builds(Tiers, st.sampled_from([(10,), (11,)]), st.tuples(st.integers(0, 3)))
    plan_sku = st.builds(
        PlanSkuRow,
        PLANS,
        st.just(SKU),
        st.just("graduated"),
        st.integers(0, 3),
        st.integers(0, 3),
        tiers,
        INSTANTS,
        REVISIONS,
    )
    entitlement = st.builds(
        EntitlementRow,
        st.sampled_from(SubjectKind),
        st.sampled_from([ORG, ACCOUNT, OTHER]),
        st.none() | PLANS,
        st.dictionaries(st.just(SKU), OVERRIDES, max_size=1),
        INSTANTS,
        REVISIONS,
    )
    assignment = st.builds(
        AssignmentRow, st.just(ORG), st.none() | PLANS, st.sampled_from([START - 600, START, START + 100]), REVISIONS
    )
    return replace(
        BASE,
        plan_skus=draw(st.lists(plan_sku, max_size=6)),
        assignments=draw(st.lists(assignment, max_size=2, unique_by=lambda row: row.effective_at_us)),
        entitlements=draw(st.lists(entitlement, max_size=6)),
    )


def naive(
    rows: TermsRows, account: bytes, fixed: bytes, at_us: int, known: int
) -> tuple[object, ...] | RejectionReason:
    """The rule as it reads, scanning all rows for one event."""

    def last(candidates: Sequence[Any], at: int) -> Any:
        held = [r for r in candidates if r.effective_at_us <= at and r.revision <= known]
        best = None
        for row in held:
            if best is None or (row.effective_at_us, row.revision) >= (best.effective_at_us, best.revision):
                best = row
        return best

    assigned = [row for row in rows.assignments if row.revision <= known]
    if not assigned or at_us < min(row.effective_at_us for row in assigned):
        return RejectionReason.NO_ENTITLEMENT
    fixed_at = max(START, min(row.effective_at_us for row in assigned))
    assignment = last(list(rows.assignments), at_us)
    plan = assignment.plan_id
    of_plan = [row for row in rows.plan_skus if row.plan_id == plan]
    if plan is None or last(of_plan, fixed_at) is None:
        return RejectionReason.NO_ENTITLEMENT

    def value(name: str, plan_name: str, mapped: bytes, at: int) -> object:
        for kind, subject in ((SubjectKind.ORG, ORG), (SubjectKind.ACCOUNT, mapped)):
            row = last([r for r in rows.entitlements if (r.subject_kind, r.subject_id) == (kind, subject)], at)
            if isinstance(row, EntitlementRow) and row.plan_id in (None, plan) and SKU in row.overrides:
                found = getattr(row.overrides[SKU], name)
                if found is not None:
                    return found
        return getattr(last(of_plan, at), plan_name)

    structure, now = value("tiers", "tiers", fixed, fixed_at), value("tiers", "tiers", account, at_us)
    assert isinstance(structure, Tiers)
    assert isinstance(now, Tiers)
    return (
        value("included", "included", fixed, fixed_at),
        value("overage_price", "overage_price", account, at_us),
        now if now.thresholds == structure.thresholds else structure,
    )


@settings(max_examples=300)
@given(worlds(), st.integers(0, 13), st.sampled_from([ACCOUNT, OTHER]), st.sampled_from([ACCOUNT, OTHER]), REVISIONS)
def test_resolution_is_the_naive_scan_of_all_rows(
    rows: TermsRows, offset: int, account: bytes, fixed: bytes, known: int
) -> None:
    index = TermsIndex(rows, known_revision=known)
    for at_us in (START + offset * 50, START, START + 650):
        found = terms_at(index, ORG, account, fixed, SKU, at_us, START)
        values: tuple[object, ...] | RejectionReason = (
            found
            if isinstance(found, RejectionReason)
            else (found.values.included, found.values.overage_price, found.values.tiers)
        )
        assert values == naive(rows, account, fixed, at_us, known)
