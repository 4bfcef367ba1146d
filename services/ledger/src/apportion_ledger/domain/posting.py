"""Charges become lines with their split, and real-time payouts are decided with them (spec 02 rules 1-3 and 7).

Two steps, both pure: `post` makes the lines of charges under terms, `pay` decides the payouts of those lines against
the partners' balances. Between them the caller locks the balances. They are the hot path: one loop over the charges,
one over the lines that have a partner.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from apportion_common.ids import entry_id, uuid5_bytes
from apportion_common.instants import DAY_US

from apportion_ledger.domain.charges import Charge, ChargeBatch, ChargeGroup, Line, LineRows
from apportion_ledger.domain.digest import charge_content, content_frame, line_content, line_hash, partner_content
from apportion_ledger.domain.kinds import PRICED_KINDS
from apportion_ledger.domain.payouts import real_time_payout
from apportion_ledger.domain.split import split
from apportion_ledger.domain.terms import CommissionTerms
from apportion_ledger.limits import CONFLICT_DETAIL_CHARS_MAX

NO_ID: Final = b""
_CURRENCY: Final = re.compile("[A-Z]{3}")
_PERIOD: Final = re.compile("[0-9]{4}-[0-9]{2}")
SETTLEMENT_NAME: Final = b"settlement"
KIND_NOT_POSTED: Final = "The ledger makes lines of this kind itself."
"""Of a charge that comes with a kind which no price makes."""
CURRENCY_MALFORMED: Final = "The currency is no code of three capital letters (ISO 4217)."
PERIOD_MALFORMED: Final = "The period is no month such as 2013-01."
BILLED_PERIOD_MALFORMED: Final = "The billed period is no month after the charge's own."

BalanceKey = tuple[bytes, str]
"""Partner and currency."""
DayKey = tuple[bytes, str, int]
"""Partner, currency and day of event time (number of days since 1970)."""
PartnerLine = tuple[Line, bool]
"""A line with a partner, and whether the partner's payouts are held."""


class Conflict(NamedTuple):
    """A charge whose id is taken by other content, and what differs."""

    charge: Charge
    detail: str


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch: content hashes of the lines written, in order; charges written before; conflicts."""

    hashes: list[bytes] = field(default_factory=list)
    known_count: int = 0
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass(slots=True)
class Posting:
    """What charges come to: an outcome a batch, the lines by origin, those with a partner in order.

    `contested` are charges whose id is taken by other content, each with the outcome that its conflict belongs to.
    """

    outcomes: list[BatchOutcome] = field(default_factory=list)
    rows: list[LineRows] = field(default_factory=list)
    partnered: list[PartnerLine] = field(default_factory=list)
    contested: list[tuple[BatchOutcome, Charge]] = field(default_factory=list)


@dataclass(slots=True)
class DayTotal:
    """What lines add to a partner and currency on one day of event time."""

    earned: int = 0
    paid_real_time: int = 0
    line_count: int = 0
    real_time_count: int = 0


class RealTimePayout(NamedTuple):
    """A payout decided with its line."""

    settlement_id: bytes
    partner_id: bytes
    currency: str
    amount: int
    threshold: int
    charge_id: bytes
    entry_id: bytes
    day: int


class Payments(NamedTuple):
    """What lines add to the balances, by day, and the payouts decided with them."""

    days: Mapping[DayKey, DayTotal]
    payouts: Sequence[RealTimePayout]


def fault_of(group: ChargeGroup) -> str:
    """Return why no charge of a group becomes a line, or an empty text.

    Looked at once a group: in the database, these checks would cost more than the whole decision.
    """
    if group.kind not in PRICED_KINDS:
        return f"{group.kind}: {KIND_NOT_POSTED}"
    if _CURRENCY.fullmatch(group.currency) is None:
        return CURRENCY_MALFORMED
    if _PERIOD.fullmatch(group.period) is None:
        return PERIOD_MALFORMED
    if group.billed_period and (_PERIOD.fullmatch(group.billed_period) is None or group.billed_period <= group.period):
        return BILLED_PERIOD_MALFORMED
    return ""


class _GroupFrame:
    """What posting needs of a group of charges, worked out once for all of them."""

    __slots__ = ("content", "fault", "instants", "outcomes", "partners")

    def __init__(self, group: ChargeGroup, terms: CommissionTerms) -> None:
        self.fault = fault_of(group)
        self.content = content_frame(
            group.kind,
            group.org_id,
            group.project_id,
            group.sku,
            group.currency,
            group.account_id,
            billed_period=group.billed_period,
        )
        self.instants, self.outcomes = terms.attribution.timeline(
            group.org_id, group.account_id, group.sku, group.sku_type
        )
        self.partners = [partner_content(found.partner_id or NO_ID, found.pct) for found in self.outcomes]


def post(batches: Sequence[ChargeBatch], terms: CommissionTerms, known: dict[bytes, bytes]) -> Posting:
    """Decide every charge: a new line, known already (also from earlier in the same batches), or a conflict.

    `known` has the content hashes of those of the charges that are written; the new ones are added to it.
    """
    posting = Posting()
    partners = terms.partners
    partnered = posting.partnered
    frames: dict[ChargeGroup, _GroupFrame] = {}
    # A NamedTuple's own constructor costs three times as much.
    new_tuple = tuple.__new__
    for origin, charges in batches:
        outcome = BatchOutcome()
        lines: list[Line] = []
        for charge in charges:
            charge_id, _, cause_id, group, quantity, gross, event_time_us, _ = charge
            frame = frames.get(group)
            if frame is None:
                frame = frames[group] = _GroupFrame(group, terms)
            if frame.fault:
                outcome.conflicts.append(Conflict(charge, frame.fault))
                continue
            own_hash = line_hash(charge_content(frame.content, cause_id, quantity, gross, event_time_us))
            stored = known.get(charge_id)
            if stored is not None:
                if stored == own_hash:
                    outcome.known_count += 1
                else:
                    posting.contested.append((outcome, charge))
                continue
            known[charge_id] = own_hash
            at = bisect_right(frame.instants, event_time_us)
            found = frame.outcomes[at]
            share, net = split(gross, found.pct)
            content_hash = line_hash(
                line_content(frame.content, cause_id, quantity, gross, frame.partners[at], share, net, event_time_us)
            )
            line = new_tuple(Line, (entry_id(charge_id), charge, own_hash, found, share, net, content_hash))
            lines.append(line)
            outcome.hashes.append(content_hash)
            if found.partner_id:
                partnered.append((line, found.disputed or partners[found.partner_id].held))
        posting.outcomes.append(outcome)
        if lines:
            posting.rows.append(LineRows(origin, lines))
    return posting


def balance_keys(partnered: Sequence[PartnerLine]) -> list[BalanceKey]:
    """Return the balances that lines move, in the order in which they are locked."""
    return sorted({(line.found.partner_id or NO_ID, line.charge.group.currency) for line, _ in partnered})


def movable_keys(charges: Sequence[Charge], terms: CommissionTerms) -> list[BalanceKey]:
    """Return the balances that any of the charges may move, in the order in which they are locked.

    It takes every charge, also one that `post` would fail with.
    """
    attribute = terms.attribution.attribute
    keys: set[BalanceKey] = set()
    for charge in charges:
        group = charge.group
        # What no line comes of moves no balance.
        if not fault_of(group):
            found = attribute(group.org_id, group.account_id, group.sku, group.sku_type, charge.event_time_us)
            if found.partner_id:
                keys.add((found.partner_id, group.currency))
    return sorted(keys)


def pay(
    partnered: Sequence[PartnerLine],
    balances: dict[BalanceKey, int],
    terms: CommissionTerms,
    thresholds: Mapping[str, int],
) -> Payments:
    """Decide line by line what is paid at once. `balances`, those before the lines, are moved to those after them.

    `thresholds`: least gross of a real-time payout by currency, scaled by 9 places.
    """
    days: defaultdict[DayKey, DayTotal] = defaultdict(DayTotal)
    payouts: list[RealTimePayout] = []
    for line, held in partnered:
        partner_id, share, charge = line.found.partner_id or NO_ID, line.share, line.charge
        currency = charge.group.currency
        day = charge.event_time_us // DAY_US
        total = days[partner_id, currency, day]
        total.earned += share
        total.line_count += 1
        paid = 0
        # As `real_time_payout` does; most lines are below the threshold, and spare its call here.
        threshold = thresholds.get(currency)
        if threshold is not None and charge.gross >= threshold:
            paid = real_time_payout(
                kind=charge.group.kind,
                currency=currency,
                gross=charge.gross,
                share=share,
                balance_before=balances[partner_id, currency],
                payout_currency=terms.partners[partner_id].payout_currency,
                held=held,
                thresholds=thresholds,
            ).amount
            if paid:
                total.paid_real_time += paid
                total.real_time_count += 1
                settlement_id = uuid5_bytes(charge.charge_id, SETTLEMENT_NAME)
                payouts.append(
                    RealTimePayout(
                        settlement_id, partner_id, currency, paid, threshold, charge.charge_id, line.entry_id, day
                    )
                )
        balances[partner_id, currency] += share - paid
    return Payments(days, payouts)


def difference(stored: Charge | None, again: Charge) -> str:
    """Say what differs between a charge that is written and another one under its id: ids and numbers only."""
    if stored is None:
        return "The charge id came twice in one batch, with other content."
    pairs = zip(_compared(stored).items(), _compared(again).values(), strict=True)
    parts = [f"{name}: {_shown(was)} stands, {_shown(now)} came" for (name, was), now in pairs if was != now]
    return "; ".join(parts)[:CONFLICT_DETAIL_CHARS_MAX]


def _compared(charge: Charge) -> dict[str, object]:
    """Return what a charge's content hash covers, by name."""
    group = charge.group
    return {
        "kind": group.kind,
        "cause_id": charge.cause_id,
        "org_id": group.org_id,
        "project_id": group.project_id,
        "account_id": group.account_id,
        "sku": group.sku,
        "quantity": charge.quantity,
        "currency": group.currency,
        "billed_period": group.billed_period,
        "gross": charge.gross,
        "event_time_us": charge.event_time_us,
    }


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
