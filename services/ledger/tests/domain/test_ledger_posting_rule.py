"""Charges to lines and payouts, against the rule written down charge by charge in decimals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

import pytest
from apportion_common.ids import charge_id, entry_id, event_id
from apportion_ledger.domain.attribution import (
    AttributionIndex,
    MatchKind,
    PartnerTierRow,
    PorRow,
    PorStatus,
    PorSubject,
    RateRow,
)
from apportion_ledger.domain.charges import Charge, ChargeBatch, ChargeGroup, Origin
from apportion_ledger.domain.kinds import LINE_KINDS, PRICED_KINDS
from apportion_ledger.domain.posting import (
    CURRENCY_MALFORMED,
    PERIOD_MALFORMED,
    BalanceKey,
    DayTotal,
    balance_keys,
    difference,
    movable_keys,
    pay,
    post,
)
from apportion_ledger.domain.terms import CommissionTerms, PayoutTerms
from hypothesis import given
from hypothesis import strategies as st

UNIT = 10**9
DAY_US = 86_400 * 10**6
ORG, ACCOUNT, BARE, DISPUTED, MAPPING, GOLD, HELD = (bytes([n]) * 16 for n in range(1, 8))
PCT = {ORG: "12.5", ACCOUNT: "33.3333", BARE: None, DISPUTED: "12.5"}
THRESHOLDS = {"AUD": 50 * UNIT}
TERMS = CommissionTerms(
    4,
    AttributionIndex(
        [
            PorRow(b"o" * 16, PorSubject.ORG, ORG, GOLD, 0, None),
            PorRow(b"a" * 16, PorSubject.ACCOUNT, ACCOUNT, HELD, 0, None),
            PorRow(b"d" * 16, PorSubject.ORG, DISPUTED, GOLD, 0, None, PorStatus.DISPUTED),
        ],
        [PartnerTierRow(GOLD, "gold", 0), PartnerTierRow(HELD, "held", 0)],
        [RateRow("gold", MatchKind.DEFAULT, "", 125_000, 0), RateRow("held", MatchKind.DEFAULT, "", 333_333, 0)],
    ),
    {GOLD: PayoutTerms("AUD", held=False), HELD: PayoutTerms("AUD", held=True)},
)


def charge_of(number: int, org: bytes, gross: int, currency: str = "AUD", day: int = 0) -> Charge:
    """A charge; the org ACCOUNT stands for an org whose account has a partner of record."""
    event = event_id(org, str(number))
    group = ChargeGroup("usage", org, b"", org, MAPPING, "ACT-SMS", "action", currency, "1970-01")
    return Charge(charge_id(event, "usage"), event, event, group, UNIT, gross, day * DAY_US, number)


def batch_of(*charges: Charge) -> ChargeBatch:
    """A lane's batch."""
    return ChargeBatch(Origin(3, 1, 7, 8), charges)


CHARGES = st.lists(
    st.tuples(
        st.sampled_from(list(PCT)),
        st.one_of(st.integers(-60 * UNIT, 200 * UNIT), st.sampled_from([50 * UNIT - 1, 50 * UNIT, 10**27 - 1])),
        st.sampled_from(["AUD", "JPY"]),
        st.integers(0, 2),
    ),
    max_size=30,
)


@given(CHARGES, st.integers(-UNIT, UNIT))
def test_lines_and_payouts_are_what_the_rule_says_charge_by_charge(
    drawn: list[tuple[bytes, int, str, int]], opening: int
) -> None:
    charges = [charge_of(number, *of) for number, of in enumerate(drawn)]
    posting = post([batch_of(*charges)], TERMS, {})
    lines = [line for row in posting.rows for line in row.lines]
    balances: dict[BalanceKey, int] = dict.fromkeys(balance_keys(posting.partnered), opening)
    days, payouts = pay(posting.partnered, balances, TERMS, THRESHOLDS)

    exact = Context(prec=60)
    owed: defaultdict[BalanceKey, int] = defaultdict(lambda: opening)
    paid_of: dict[bytes, int] = {}
    by_day: defaultdict[tuple[bytes, str, int], DayTotal] = defaultdict(DayTotal)
    assert [line.charge for line in lines] == charges
    for line in lines:
        org, gross, currency = line.charge.group.org_id, line.charge.gross, line.charge.group.currency
        share = exact.multiply(Decimal(gross), Decimal(PCT[org] or 0).scaleb(-2))
        assert line.share == int(share.quantize(Decimal(1), ROUND_HALF_UP, exact))
        assert line.net == gross - line.share
        partner = line.found.partner_id
        assert partner == {BARE: None, ACCOUNT: HELD}.get(org, GOLD)
        assert (line.found.por_subject is PorSubject.ACCOUNT) == (org == ACCOUNT)
        assert line.entry_id == entry_id(line.charge.charge_id)
        if partner is None:
            continue
        key = partner, currency
        at_once = org == ORG and currency == "AUD" and gross >= 50 * UNIT and owed[key] >= 0
        cents = Decimal(line.share).scaleb(-7).quantize(Decimal(1), ROUND_DOWN, exact)
        paid = int(cents) * 10**7 if at_once else 0
        if paid:
            paid_of[line.charge.charge_id] = paid
        owed[key] += line.share - paid
        total = by_day[(*key, line.charge.event_time_us // DAY_US)]
        total.earned, total.paid_real_time = total.earned + line.share, total.paid_real_time + paid
        total.line_count, total.real_time_count = total.line_count + 1, total.real_time_count + bool(paid)
    assert balances == owed
    assert days == by_day
    assert {payout.charge_id: payout.amount for payout in payouts} == paid_of
    assert len(payouts) == len(paid_of)


@given(CHARGES, st.data())
def test_lines_do_not_depend_on_the_batches_that_bring_them(
    drawn: list[tuple[bytes, int, str, int]], data: st.DataObject
) -> None:
    charges = [charge_of(number, *of) for number, of in enumerate(drawn)]
    cut = data.draw(st.integers(0, len(charges)))
    whole, parts = (
        post([batch_of(*charges)], TERMS, {}),
        post([batch_of(*charges[:cut]), batch_of(*charges[cut:])], TERMS, {}),
    )
    assert [line for row in whole.rows for line in row.lines] == [line for row in parts.rows for line in row.lines]
    assert whole.partnered == parts.partnered
    assert whole.outcomes[0].hashes == [content_hash for outcome in parts.outcomes for content_hash in outcome.hashes]


def test_a_charge_is_written_once_and_other_content_under_its_id_is_contested() -> None:
    charge = charge_of(1, ORG, 60 * UNIT)
    other = charge._replace(gross=61 * UNIT)
    known: dict[bytes, bytes] = {}
    first = post([batch_of(charge, charge, other), batch_of(charge)], TERMS, known)
    assert [(len(outcome.hashes), outcome.known_count) for outcome in first.outcomes] == [(1, 1), (0, 1)]
    assert first.contested == [(first.outcomes[0], other)]
    again = post([batch_of(charge, other)], TERMS, known)
    assert (again.rows, again.partnered, again.outcomes[0].known_count) == ([], [], 1)
    assert again.contested == [(again.outcomes[0], other)]


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"gross": 61 * UNIT}, f"gross: {60 * UNIT} stands, {61 * UNIT} came"),
        ({"org_id": BARE}, f"org_id: {ORG.hex()} stands, {BARE.hex()} came"),
        ({"sku": "X", "currency": "JPY"}, "sku: ACT-SMS stands, X came; currency: AUD stands, JPY came"),
    ],
)
def test_a_difference_names_what_differs(changed: dict[str, object], detail: str) -> None:
    charge = charge_of(1, ORG, 60 * UNIT)
    own = {field: changed[field] for field in changed if field in charge._fields}
    shared = {field: changed[field] for field in changed if field not in own}
    other = charge._replace(group=replace(charge.group, **shared), **own)
    assert difference(charge, other) == detail


@pytest.mark.parametrize("kind", LINE_KINDS)
def test_a_charge_of_any_kind_that_a_price_makes_is_posted_and_others_are_conflicts(kind: str) -> None:
    usage = charge_of(1, ORG, 60 * UNIT)
    charge = usage._replace(event_id=b"", cause_id=b"c" * 16, group=replace(usage.group, kind=kind))
    posting = post([batch_of(charge)], TERMS, {})
    if kind in PRICED_KINDS:
        assert [line.share for row in posting.rows for line in row.lines] == [7_500_000_000]
        assert posting.outcomes[0].conflicts == []
    else:
        assert posting.rows == []
        assert [conflict.charge for conflict in posting.outcomes[0].conflicts] == [charge]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"currency": "a$d"}, CURRENCY_MALFORMED),
        ({"currency": "AUDD"}, CURRENCY_MALFORMED),
        ({"currency": ""}, CURRENCY_MALFORMED),
        ({"period": "2013-1"}, PERIOD_MALFORMED),
        ({"period": "January"}, PERIOD_MALFORMED),
    ],
)
def test_a_charge_whose_currency_or_period_is_none_is_a_conflict_and_moves_no_balance(
    changed: dict[str, str], fault: str
) -> None:
    usage = charge_of(1, ORG, 60 * UNIT)
    charge = usage._replace(group=replace(usage.group, **changed))
    posting = post([batch_of(charge)], TERMS, {})
    assert (posting.rows, posting.partnered) == ([], [])
    assert posting.outcomes[0].conflicts == [(charge, fault)]
    assert movable_keys([charge], TERMS) == []
