"""The whole money path as pure code: events of a file in accepted order, to lines, payouts, sweeps and invoices.

No service runs here: the domain rules of metering, pricing, ledger and orgs are called one after the other, which shows
that they are right together before anything carries them.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from apportion_common.ids import EVENT_NAMESPACE, charge_id, event_id, uuid5_bytes
from apportion_common.periods import parse_period
from apportion_common.protos import pack_int
from apportion_ledger.domain.attribution import Attribution, AttributionIndex
from apportion_ledger.domain.digest import line_content, line_hash
from apportion_ledger.domain.payouts import PayoutState, real_time_payout, sweep_payout
from apportion_ledger.domain.split import split
from apportion_ledger.domain.weeks import parse_week
from apportion_metering.domain.dedupe import DUPLICATE, MISMATCH, decide_event
from apportion_metering.domain.intake import CheckedEvent, ReadableEvent, Rejection, check_readable
from apportion_orgs.domain.allocation import AccountAllocation
from apportion_orgs.domain.invoicing import LineSum, draw_invoice
from apportion_orgs.domain.mappings import MappingRow
from apportion_pricing.domain.periods import period_of
from apportion_pricing.domain.rating import Refusal, step
from apportion_pricing.domain.terms import TermsRows
from apportion_pricing.domain.terms_book import TermsBook

from tests.oracles.orgs_mappings import MappingIndex


def id_of(name: str) -> bytes:
    """The id that stands for a name of the file."""
    return uuid5_bytes(EVENT_NAMESPACE, name.encode())


@dataclass(frozen=True)
class Account:
    owner: str
    currency: str


@dataclass(frozen=True)
class World:
    """Everything that is known before the first event."""

    orgs: Sequence[str]
    terms: TermsRows
    mappings: Sequence[MappingRow]
    attribution: AttributionIndex
    payout_currency: Mapping[bytes, str]
    thresholds: Mapping[str, int]
    accounts: Mapping[str, Account]
    names: Mapping[bytes, str]
    closed_periods: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Line:
    row: int
    event: CheckedEvent
    account_id: bytes
    currency: str
    period: str
    gross: int
    attribution: Attribution
    share: int
    net: int
    paid: int

    @property
    def event_time_us(self) -> int:
        return self.event.event_time_us


@dataclass
class Run:
    lines: list[Line] = field(default_factory=list)
    dead_letters: list[tuple[int, str]] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rows: int = 0


def read_events(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The file's data rows with their 1-based numbers."""
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
        self._orgs = {id_of(org) for org in world.orgs}
        self._terms = TermsBook(world.terms)
        self._mappings = MappingIndex(world.mappings)
        self._claimed: dict[bytes, bytes] = {}
        self._positions: defaultdict[tuple[bytes, str, str], int] = defaultdict(int)
        self._balances: defaultdict[tuple[bytes, str], int] = defaultdict(int)

    def take(self, row: int, event: CheckedEvent) -> None:
        self.run.rows += 1
        name = event.org_id + event.request_id.encode()
        at_us = event.event_time_us
        outcome = decide_event(self._claimed, name, event.content_hash, pack_int(event.quantity), at_us, at_us)
        if outcome == DUPLICATE:
            self.run.duplicates.append(row)
            return
        if outcome == MISMATCH:
            self.run.dead_letters.append((row, "PAYLOAD_MISMATCH"))
            return
        refused = self._rate(row, event)
        if refused is not None:
            self.run.dead_letters.append((row, refused))

    def _rate(self, row: int, event: CheckedEvent) -> str | None:
        if event.org_id not in self._orgs:
            return "UNKNOWN_ORG"
        period = period_of(event.event_time_us)
        account = self._account(event.org_id, event.event_time_us)
        fixed_at = self._terms.structure_instant(event.org_id, period.start_us)
        fixed_account = self._account(event.org_id, fixed_at) if fixed_at is not None else None
        terms = self._terms.resolve(
            event.org_id, account, fixed_account, event.sku, event.event_time_us, period.start_us
        )
        if isinstance(terms, Refusal):
            return terms
        assert account is not None
        if period.key in self.world.closed_periods:
            return "PERIOD_CLOSED"
        place = event.org_id, event.sku, period.key
        stepped = step(self._positions[place], event.quantity, terms.ladder)
        if isinstance(stepped, Refusal):
            return stepped
        self._positions[place], gross = stepped
        self._post(row, event, account, terms.currency, terms.sku_type, period.key, gross)
        return None

    def _post(
        self, row: int, event: CheckedEvent, account: bytes, currency: str, sku_type: str, period: str, gross: int
    ) -> None:
        credit = self.world.attribution.attribute(event.org_id, account, event.sku, sku_type, event.event_time_us)
        share, net = split(gross, credit.pct)
        partner = credit.partner_id
        payout = real_time_payout(
            kind="usage",
            currency=currency,
            gross=gross,
            share=share,
            balance_before=self._balances[partner, currency] if partner else 0,
            payout_currency=self.world.payout_currency[partner] if partner else None,
            held=credit.disputed,
            thresholds=self.world.thresholds,
        )
        if partner:
            self._balances[partner, currency] += share - payout.amount
        self.run.lines.append(Line(row, event, account, currency, period, gross, credit, share, net, payout.amount))

    def _account(self, org_id: bytes, at_us: int) -> bytes | None:
        mapping = self._mappings.in_force(org_id, at_us)
        return mapping.account_id if mapping else None


def digest_pairs(lines: Sequence[Line]) -> Iterator[tuple[bytes, bytes]]:
    """(charge id, content hash) of each line, as the ledger digests it."""
    for line in lines:
        event = line.event
        source = event_id(event.org_id, event.request_id)
        content = line_content(
            "usage", event.org_id, event.project_id, source, event.request_id, event.sku, event.quantity,
            line.currency, line.gross, line.account_id, line.attribution.partner_id or b"", line.attribution.pct,
            line.share, line.net, event.event_time_us,
        )  # fmt: skip
        yield charge_id(source, "usage"), line_hash(content)


@dataclass
class Statement:
    """A partner's standing in one currency."""

    earned: int = 0
    real_time_paid: int = 0
    real_time_lines: int = 0
    sweeps: dict[str, int] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        return self.earned - self.real_time_paid - sum(self.sweeps.values())


def statements(world: World, lines: Sequence[Line], weeks: Sequence[str]) -> dict[tuple[str, str], Statement]:
    """Per partner and currency what was earned and paid, after the sweeps of `weeks` in order."""
    found: defaultdict[tuple[bytes, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line.attribution.partner_id:
            found[line.attribution.partner_id, line.currency].append(line)
    result = {}
    for (partner, currency), theirs in found.items():
        statement = Statement(
            earned=sum(line.share for line in theirs),
            real_time_paid=sum(line.paid for line in theirs),
            real_time_lines=sum(1 for line in theirs if line.paid),
        )
        for key in weeks:
            end_us = parse_week(key).end_us
            balance = sum(line.share - line.paid for line in theirs if line.event_time_us < end_us)
            swept = sweep_payout(
                currency=currency,
                balance=balance - sum(statement.sweeps.values()),
                payout_currency=world.payout_currency[partner],
            )
            assert (swept.amount > 0) == (swept.state is PayoutState.PAID)
            statement.sweeps[key] = swept.amount
        result[world.names[partner], currency] = statement
    return result


def invoices(world: World, lines: Sequence[Line], period: str) -> dict[str, AccountAllocation]:
    """Per billing account the allocation of its invoice for the period."""
    grosses: defaultdict[bytes, defaultdict[tuple[bytes, str, str], list[int]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line.period == period:
            grosses[line.account_id][line.event.org_id, line.event.sku, line.currency].append(line.gross)
    result = {}
    for name, account in world.accounts.items():
        sums = [
            LineSum(org, None, sku, "usage", currency, None, False, len(gross), 0, sum(gross), 0)
            for (org, sku, currency), gross in grosses[id_of(name)].items()
        ]
        until_us = parse_period(period).end_us
        content = draw_invoice(id_of(account.owner), id_of(name), account.currency, until_us, world.mappings, sums)
        result[name] = content.allocation
    return result
