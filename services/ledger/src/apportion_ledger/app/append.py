"""Write charges as lines with their split, decide real-time payouts, keep the balances (spec 02 rules 1-3 and 7).

The hot path. One batch is a handful of statements whatever its size: probe the keys, COPY keys and lines, lock the
partners' balances, write payouts and balances. The balances are locked last and in the order of their keys, so that
lanes which share a partner wait for each other's commit only, and never in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from apportion_common.db.unit_of_work import Transaction
from apportion_common.ids import entry_id, uuid5_bytes

from apportion_ledger import errors
from apportion_ledger.app.ports import (
    BalanceKey,
    Balances,
    Charge,
    DayTotal,
    Line,
    LineRows,
    LineWriter,
    Origin,
    RealTimePayout,
    Terms,
)
from apportion_ledger.domain.attribution import SubjectKind
from apportion_ledger.domain.digest import charge_content, line_content, line_hash
from apportion_ledger.domain.payouts import real_time_payout
from apportion_ledger.domain.split import split
from apportion_ledger.domain.weeks import DAY_US
from apportion_ledger.limits import APPEND_ATTEMPTS_MAX, CONFLICT_DETAIL_CHARS_MAX

USAGE: Final = "usage"
NO_ID: Final = b""
SETTLEMENT_NAME: Final = b"settlement"
_COMPARED: Final = (
    "event_id",
    "org_id",
    "project_id",
    "account_id",
    "sku",
    "quantity",
    "currency",
    "gross",
    "event_time_us",
)


class ChargeBatch(NamedTuple):
    """Charges of one origin, in their order."""

    origin: Origin
    charges: Sequence[Charge]


class Conflict(NamedTuple):
    """A charge whose id stands with other content, and what differs."""

    charge: Charge
    detail: str


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch: content hashes of the lines written, in order; charges that stood already; conflicts."""

    hashes: list[bytes] = field(default_factory=list)
    known_count: int = 0
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass(slots=True)
class _Plan:
    outcomes: list[BatchOutcome]
    rows: list[LineRows]
    # Lines with a partner, in order, each with whether the partner's payouts are held.
    partnered: list[tuple[Line, bool]]
    contested: list[tuple[BatchOutcome, Charge]]


class ChargeAppender:
    """Appends batches of charges inside a caller's transaction."""

    def __init__(self, lines: LineWriter, balances: Balances, thresholds: Mapping[str, int]) -> None:
        """`thresholds`: least gross of a real-time payout by currency, scaled by 9 places."""
        self._lines = lines
        self._balances = balances
        self._thresholds = dict(thresholds)

    async def append(self, tx: Transaction, batches: Sequence[ChargeBatch], terms: Terms) -> list[BatchOutcome]:
        """Append the batches under `terms`, whose revision the transaction holds; one outcome a batch.

        Raises Unavailable CHARGES_CONTENDED when other transactions keep writing the same charges.
        """
        charge_ids = [charge.charge_id for batch in batches for charge in batch.charges]
        if not charge_ids:
            return [BatchOutcome() for _ in batches]
        for _ in range(APPEND_ATTEMPTS_MAX):
            known = await self._lines.known(tx, charge_ids)
            plan = self._plan(batches, terms, known)
            if not plan.rows or await self._lines.write(tx, plan.rows, terms.revision):
                break
        else:
            raise errors.charges_contended()
        if plan.partnered:
            await self._pay(tx, plan.partnered, terms)
        if plan.contested:
            await self._explain(tx, plan.contested)
        return plan.outcomes

    def _plan(self, batches: Sequence[ChargeBatch], terms: Terms, known: dict[bytes, bytes]) -> _Plan:
        """Decide every charge: a new line, known already (also from earlier in the same batches), or a conflict."""
        plan = _Plan([], [], [], [])
        attribute = terms.book.attribute
        partners = terms.partners
        # A NamedTuple's own constructor costs three times as much.
        new_tuple = tuple.__new__
        for origin, charges in batches:
            outcome = BatchOutcome()
            lines: list[Line] = []
            for charge in charges:
                (charge_id, event_id, org_id, project_id, account_id, _, sku, sku_type, quantity, currency, gross,
                 event_time_us, _, _) = charge  # fmt: skip
                own_hash = line_hash(
                    charge_content(
                        USAGE, org_id, project_id, event_id, sku, quantity, currency, gross, account_id, event_time_us
                    )
                )
                stored = known.get(charge_id)
                if stored is not None:
                    if stored == own_hash:
                        outcome.known_count += 1
                    else:
                        plan.contested.append((outcome, charge))
                    continue
                known[charge_id] = own_hash
                found = attribute(org_id, account_id, sku, sku_type, event_time_us)
                partner_id = found.partner_id or NO_ID
                pct = found.pct
                share, net = split(gross, pct)
                content = line_content(
                    USAGE, org_id, project_id, event_id, "", sku, quantity, currency, gross, account_id, partner_id,
                    pct, share, net, event_time_us,
                )  # fmt: skip
                content_hash = line_hash(content)
                from_account = found.por_subject is SubjectKind.ACCOUNT
                line = new_tuple(
                    Line,
                    (entry_id(charge_id), charge, own_hash, partner_id, from_account, pct, share, net, content_hash),
                )
                lines.append(line)
                outcome.hashes.append(content_hash)
                if partner_id:
                    plan.partnered.append((line, found.disputed or partners[partner_id].held))
            plan.outcomes.append(outcome)
            if lines:
                plan.rows.append(LineRows(origin, lines))
        return plan

    async def _pay(self, tx: Transaction, partnered: Sequence[tuple[Line, bool]], terms: Terms) -> None:
        """Lock the partners' balances, decide payouts line by line against them, and write what they come to."""
        keys = sorted({(line.partner_id, line.charge.currency) for line, _ in partnered})
        balances = await self._balances.lock(tx, keys)
        days, payouts = self._decide(partnered, balances, terms)
        await self._balances.apply(tx, days, payouts)

    def _decide(
        self, partnered: Sequence[tuple[Line, bool]], balances: dict[BalanceKey, int], terms: Terms
    ) -> tuple[dict[tuple[bytes, str, int], DayTotal], list[RealTimePayout]]:
        days: defaultdict[tuple[bytes, str, int], DayTotal] = defaultdict(DayTotal)
        payouts: list[RealTimePayout] = []
        thresholds = self._thresholds
        for line, held in partnered:
            partner_id, share, charge = line.partner_id, line.share, line.charge
            currency = charge.currency
            day = charge.event_time_us // DAY_US
            total = days[partner_id, currency, day]
            total.earned += share
            total.line_count += 1
            paid = 0
            threshold = thresholds.get(currency)
            if threshold is not None and charge.gross >= threshold:
                paid = real_time_payout(
                    kind=USAGE,
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
        return days, payouts

    async def _explain(self, tx: Transaction, contested: Sequence[tuple[BatchOutcome, Charge]]) -> None:
        """Say of each conflict what differs: ids and numbers, nothing personal."""
        stored = await self._lines.stored_charges(tx, [charge.charge_id for _, charge in contested])
        for outcome, charge in contested:
            outcome.conflicts.append(Conflict(charge, _difference(stored.get(charge.charge_id), charge)))


def _difference(stored: Charge | None, again: Charge) -> str:
    if stored is None:
        return "The charge id came twice in one batch, with other content."
    parts = []
    for name in _COMPARED:
        before, now = getattr(stored, name), getattr(again, name)
        if before != now:
            parts.append(f"{name}: {_shown(before)} stands, {_shown(now)} came")
    return "; ".join(parts)[:CONFLICT_DETAIL_CHARS_MAX]


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
