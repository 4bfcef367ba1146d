"""The whole money path as pure code: events of a file in accepted order, to lines, payouts, sweeps and invoices.

No service runs here: the rules that metering, pricing, ledger and orgs run are called one after the other, which shows
that they are right together before anything carries them. What is in this file only hands one rule's answer to the
next.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from apportion_common.ids import EVENT_NAMESPACE, charge_id, event_id, uuid5_bytes
from apportion_ledger.domain import charges as ledger
from apportion_ledger.domain.charges import Charge, ChargeBatch, ChargeGroup, Origin
from apportion_ledger.domain.posting import BalanceKey, balance_keys, pay, post
from apportion_ledger.domain.statements import CurrencyTotals, closing_balance
from apportion_ledger.domain.sweeps import SweepBalance, sweep_balance
from apportion_ledger.domain.terms import CommissionTerms
from apportion_ledger.domain.weeks import parse_week
from apportion_metering.domain.dedupe import ACCEPTED, DUPLICATE, decide_event, latest_event_time_us
from apportion_metering.domain.intake import CheckedEvent, ReadableEvent, Rejection, check_readable
from apportion_orgs.domain.allocation import AccountAllocation
from apportion_orgs.domain.invoicing import LineSum, draw_invoice
from apportion_orgs.domain.mappings import MappingRow
from apportion_pricing.domain.accounts import ALWAYS_US, FOREVER_US, AccountInterval, AccountsView
from apportion_pricing.domain.catalog import Catalog
from apportion_pricing.domain.rejections import Rejection as PricingRejection
from apportion_pricing.domain.segments import needs_of, rejection_of, segment_at

ORIGIN = Origin(None, None, 0, 0)


def id_of(name: str) -> bytes:
    """Return the id that stands for a name of the file."""
    return uuid5_bytes(EVENT_NAMESPACE, name.encode())


@dataclass(frozen=True)
class Account:
    owner: str
    currency: str


@dataclass(frozen=True)
class World:
    """Everything that is known before the first event."""

    catalog: Catalog
    billing_accounts: AccountsView
    """The accounts of all organisations that there are."""
    mappings: Sequence[MappingRow]
    commission: CommissionTerms
    thresholds: Mapping[str, int]
    accounts: Mapping[str, Account]
    names: Mapping[bytes, str]
    closed_periods: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the ledger, the row of the file that it came from, and what was paid with it."""

    row: int
    event: CheckedEvent
    posted: ledger.Line
    paid: int

    @property
    def charge(self) -> Charge:
        return self.posted.charge


@dataclass
class Run:
    lines: list[Line] = field(default_factory=list)
    dead_letters: list[tuple[int, str]] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rows: int = 0


def read_events(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the file's data rows with their 1-based numbers."""
    with gzip.open(path, "rt", newline="") as file:
        yield from enumerate(csv.DictReader(file), start=1)


def checked(row: Mapping[str, str]) -> CheckedEvent | Rejection:
    return check_readable(
        ReadableEvent(
            org_id=str(UUID(bytes=id_of(row["org"]))),
            project_id=str(UUID(bytes=id_of(row["project"]))),
            request_id=row["request_id"],
            sku=row["sku"],
            quantity=row["quantity"],
            event_time=row["event_time"],
            metadata={},
        )
    )


class Flow:
    """Takes events one by one, as one lane would."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run = Run()
        self._claimed: dict[bytes, bytes] = {}
        self._states: dict[tuple[bytes, str, str], Any] = {}
        self._posted: dict[bytes, bytes] = {}
        self._balances: defaultdict[BalanceKey, int] = defaultdict(int)

    def take(self, row: int, event: CheckedEvent) -> None:
        self.run.rows += 1
        at_us = event.event_time_us
        outcome = decide_event(
            self._claimed,
            event.org_id + event.request_id.encode(),
            event.content_hash,
            at_us,
            latest_event_time_us(at_us),
        )
        if outcome != ACCEPTED:
            if outcome == DUPLICATE:
                self.run.duplicates.append(row)
            else:
                self.run.dead_letters.append((row, "PAYLOAD_MISMATCH"))
            return
        rated = self._rate(event)
        if isinstance(rated, PricingRejection):
            self.run.dead_letters.append((row, rated.reason))
        else:
            self._post(row, event, rated)

    def _rate(self, event: CheckedEvent) -> Charge | PricingRejection:
        org_id, sku, at_us = event.org_id, event.sku, event.event_time_us
        catalog, accounts = self.world.catalog, self.world.billing_accounts
        for unknown, _ in accounts.missing(needs_of(catalog, org_id, at_us)):
            accounts.add(unknown, AccountInterval(ALWAYS_US, FOREVER_US, False, None))
        segment = segment_at(catalog, accounts, org_id, sku, at_us)
        rejection = rejection_of(segment, segment.period in self.world.closed_periods)
        if rejection is not None:
            return rejection
        terms, account, position = segment.terms, segment.account, (org_id, sku, segment.period)
        assert terms is not None
        assert account is not None
        state = self._states.get(position, terms.model.restore(0))
        outcome = terms.model.increment(state, event.quantity, terms.table)
        if isinstance(outcome, PricingRejection):
            return outcome
        self._states[position], gross = outcome
        source = event_id(org_id, event.request_id)
        group = ChargeGroup(
            "usage",
            org_id,
            event.project_id,
            account.account_id,
            account.mapping_id,
            sku,
            terms.sku_type,
            terms.currency,
            segment.period,
        )
        return Charge(charge_id(source, "usage"), source, source, group, event.quantity, gross, at_us, None)

    def _post(self, row: int, event: CheckedEvent, charge: Charge) -> None:
        posting = post([ChargeBatch(ORIGIN, [charge])], self.world.commission, self._posted)
        ((line,),) = (rows.lines for rows in posting.rows)
        balances = {key: self._balances[key] for key in balance_keys(posting.partnered)}
        payments = pay(posting.partnered, balances, self.world.commission, self.world.thresholds)
        self._balances.update(balances)
        self.run.lines.append(Line(row, event, line, sum(payout.amount for payout in payments.payouts)))


def digest_pairs(lines: Sequence[Line]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (charge id, content hash) of each line, as the ledger digests it."""
    return ((line.charge.charge_id, line.posted.content_hash) for line in lines)


@dataclass
class Statement:
    """What a partner earned and was paid in one currency, and what each week's sweep paid of it."""

    totals: CurrencyTotals
    sweeps: dict[str, int] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        return closing_balance(self.totals._replace(paid_sweep=sum(self.sweeps.values())))


def statements(world: World, lines: Sequence[Line], weeks: Sequence[str]) -> dict[tuple[str, str], Statement]:
    """Return per partner and currency what was earned and paid, after the sweeps of `weeks` in order."""
    found: defaultdict[tuple[bytes, str], list[Line]] = defaultdict(list)
    for line in lines:
        if partner_id := line.posted.found.partner_id:
            found[partner_id, line.charge.group.currency].append(line)
    result = {}
    for (partner, currency), theirs in found.items():
        statement = Statement(_totals(currency, theirs))
        terms = world.commission.partners[partner]
        for key in weeks:
            week = parse_week(key)
            until = _totals(currency, [line for line in theirs if line.charge.event_time_us < week.end_us])
            balance = closing_balance(until._replace(paid_sweep=sum(statement.sweeps.values())))
            swept = sweep_balance(
                week, SweepBalance(UUID(bytes=partner), currency, balance, terms.payout_currency, terms.held), {}
            )
            assert (swept.paid > 0) == (swept.settlement_id is not None)
            assert (swept.paid > 0 or balance == 0) == (swept.carried_reason == "")
            statement.sweeps[key] = swept.paid
        result[world.names[partner], currency] = statement
    return result


def _totals(currency: str, lines: Sequence[Line]) -> CurrencyTotals:
    return CurrencyTotals(
        currency=currency,
        opening=0,
        earned=sum(line.posted.share for line in lines),
        clawed_back=0,
        paid_real_time=sum(line.paid for line in lines),
        paid_sweep=0,
        line_count=len(lines),
        real_time_count=sum(1 for line in lines if line.paid),
    )


def invoices(world: World, lines: Sequence[Line], period: str) -> dict[str, AccountAllocation]:
    """Return per billing account the allocation of its invoice for the period."""
    charges: defaultdict[bytes, defaultdict[tuple[bytes, str, str, bytes], list[Charge]]]
    charges = defaultdict(lambda: defaultdict(list))
    for line in lines:
        group = line.charge.group
        if group.period == period:
            charges[group.account_id][group.org_id, group.sku, group.currency, group.mapping_id].append(line.charge)
    result = {}
    for name, account in world.accounts.items():
        sums = [
            LineSum(
                *(org, None, sku, "usage", currency, None, False, mapping, period, ""),
                *(len(some), 0, sum(each.gross for each in some), 0),
            )
            for (org, sku, currency, mapping), some in charges[id_of(name)].items()
        ]
        content = draw_invoice(id_of(account.owner), id_of(name), account.currency, world.mappings, sums)
        result[name] = content.allocation
    return result
