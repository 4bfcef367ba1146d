"""Who is billed for which line, said as plainly as can be: each line remembers the invoice that it is on.

A year of usage is told as steps, and a driver takes them on what is tested; the model says beforehand what each drawing
has to come to. Instants are a month and a day, so that they compare as they stand. Every line has an SKU of its own, by
which it is found on an invoice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import NamedTuple, Protocol

from hypothesis import strategies as st

ACCOUNTS = ("north", "south")
ORGS = ("a", "b", "c")
OWNER = "owner"
CENT = 10**7
"""One minor unit, scaled by 9 places."""
DRAWINGS_MAX = 30
"""Rounds over all accounts and months in which everything has to be billed in the end."""


class Terms(NamedTuple):
    """How an org's part is paid; `percent` is the owner's of a split."""

    allocation: str
    percent: int | None = None


@dataclass(frozen=True)
class Mapped:
    """An org on an account from an instant on."""

    number: int
    org: str
    account: str
    terms: Terms
    since: tuple[int, int]


@dataclass
class Line:
    """A line; `billed` is the month that bills it where its own was closed when it came."""

    number: int
    kind: str
    mapped: Mapped
    at: tuple[int, int]
    gross: int
    billed: int | None = None
    on: int | None = None

    @property
    def sku(self) -> str:
        return f"S-{self.number}"

    @property
    def billing(self) -> int:
        return self.billed or self.at[0]

    @property
    def shown(self) -> tuple[str, int, bool]:
        """The org, month and mark under which an invoice shows it."""
        return self.mapped.org, self.at[0], self.billed is not None


class Part(NamedTuple):
    """A part of an invoice that was drawn; amounts are scaled by 9 places."""

    org: str
    month: int
    late: bool
    terms: Terms
    ledger_total: int
    owner_pays: int
    org_pays: int


class Document(NamedTuple):
    """A document of an invoice that was drawn."""

    org: str
    total: int
    payable: bool
    credit_note: bool
    is_copy: bool


class Drawn(NamedTuple):
    """An invoice that was drawn: lines are by SKU, each with the org, month and mark it is under, and its gross."""

    total: int
    parts: list[Part]
    lines: dict[str, tuple[tuple[str, int, bool], int]]
    documents: list[Document]


class Driver(Protocol):
    """Takes the steps on what is tested."""

    async def map_org(self, mapped: Mapped) -> bool:
        """Map an org; False when that is refused."""
        ...

    async def post(self, line: Line) -> None:
        """Have a line in the ledger."""
        ...

    async def close(self, month: int, org: str | None) -> None:
        """Close a month for an org, or for all."""
        ...

    async def draw(self, account: str, month: int, *, final: bool) -> Drawn | str:
        """Draw the invoice of an account and month, and finalise it if asked; the reason when that is refused."""
        ...


class Map(NamedTuple):
    org: str
    account: str
    terms: Terms
    since: tuple[int, int]


class Use(NamedTuple):
    org: str
    at: tuple[int, int]
    gross: int
    adjusting: bool


class Reverse(NamedTuple):
    which: int


class Close(NamedTuple):
    month: int
    org: str | None


class Draw(NamedTuple):
    account: str
    month: int
    final: bool


Step = Map | Use | Reverse | Close | Draw


class Season(NamedTuple):
    """Steps, and then months that are closed for all, and every account and month drawn in some order."""

    steps: list[Step]
    closing: set[int]
    drawing: list[tuple[str, int]]


_TERMS = st.sampled_from(
    [Terms("absorb"), Terms("chargeback"), Terms("split", 50), Terms("split", 33), Terms("split", 100)]
)
_GROSS = st.integers(-(10**12), 10**13) | st.integers(-99, 999).map(lambda halves: halves * CENT // 2)


def years(last_month: int, seasons_max: int, steps_max: int) -> st.SearchStrategy[list[Season]]:
    """Years in which something happens up to a month, in so many seasons of so many steps at most."""
    months = range(1, last_month + 1)
    month = st.sampled_from(months)
    at = st.tuples(month, st.sampled_from([1, 14, 15, 28]))
    step: st.SearchStrategy[Step] = st.one_of(
        st.builds(Map, st.sampled_from(ORGS), st.sampled_from(ACCOUNTS), _TERMS, at),
        st.builds(Use, st.sampled_from(ORGS), at, _GROSS, st.just(False)),
        st.builds(Use, st.sampled_from(ORGS), at, _GROSS, st.booleans()),
        st.builds(Reverse, st.integers(0, 30)),
        st.builds(Close, month, st.none() | st.sampled_from(ORGS)),
        st.builds(Draw, st.sampled_from(ACCOUNTS), month, st.booleans()),
        st.builds(Draw, st.sampled_from(ACCOUNTS), month, st.just(True)),
    )
    drawing = st.permutations([(account, month) for account in ACCOUNTS for month in months])
    season = st.builds(Season, st.lists(step, max_size=steps_max), st.sets(month), drawing)
    return st.lists(season, min_size=1, max_size=seasons_max)


FIRST: list[Step] = [
    Map(org, account, terms, (1, 1))
    for org, account, terms in zip(
        ORGS, ("north", "north", "south"), (Terms("split", 50), Terms("absorb"), Terms("chargeback")), strict=True
    )
]
"""What every year begins with."""


@dataclass
class Model:
    """The year as it stands; `months` are those in which something happens."""

    months: Sequence[int]
    mappings: list[Mapped] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    closed: set[tuple[int, str | None]] = field(default_factory=set)
    finals: list[tuple[str, int]] = field(default_factory=list)

    def mapped_at(self, org: str, at: tuple[int, int]) -> Mapped | None:
        """The mapping in force."""
        held = [mapped for mapped in self.mappings if mapped.org == org and mapped.since <= at]
        return max(held, key=lambda mapped: mapped.since, default=None)

    def is_closed(self, month: int, org: str) -> bool:
        return (month, None) in self.closed or (month, org) in self.closed

    def used(self, use: Use) -> Line | None:
        """The line of usage or of an adjustment; None when it is not charged."""
        mapped = self.mapped_at(use.org, use.at)
        if mapped is None:
            return None
        line = Line(len(self.lines), "adjustment" if use.adjusting else "usage", mapped, use.at, use.gross)
        if not use.adjusting and self.is_closed(use.at[0], use.org):
            line.billed = next((m for m in self.months if m > use.at[0] and not self.is_closed(m, use.org)), None)
            if line.billed is None:
                return None
        return line

    def reversed(self, which: int) -> Line | None:
        """What takes a line back, under its own time and mapping."""
        if which >= len(self.lines):
            return None
        line = self.lines[which]
        return Line(len(self.lines), "reversal", line.mapped, line.at, -line.gross)

    def expected(self, draw: Draw) -> list[Line] | str:
        """The lines that the drawing has to hold, or the reason why there is none."""
        invoiced = {month for account, month in self.finals if account == draw.account}
        if draw.month in invoiced and max(invoiced) > draw.month:
            return "PERIOD_INVOICED"
        open_lines = [line for line in self.lines if line.mapped.account == draw.account and line.on is None]
        if any(line.billing < draw.month and line.billing not in invoiced for line in open_lines):
            return "EARLIER_PERIOD_OPEN_LINES"
        taken = [line for line in open_lines if line.billing <= draw.month]
        if not taken:
            return "NOTHING_TO_INVOICE"
        if draw.final and not self.may_be_final(draw, taken):
            return "PERIOD_OPEN"
        return taken

    def may_be_final(self, draw: Draw, taken: list[Line]) -> bool:
        """Whether everybody on the account has closed the month."""
        if (draw.month, None) in self.closed:
            return True
        days = [(draw.month, day) for day in range(1, 32)]
        orgs = {line.mapped.org for line in taken if line.billing == draw.month}
        for org in ORGS:
            held = [self.mapped_at(org, day) for day in days]
            if any(mapped is not None and mapped.account == draw.account for mapped in held):
                orgs.add(org)
        return bool(orgs) and all((draw.month, org) in self.closed for org in orgs)


async def run(year: list[Season], driver: Driver) -> Model:
    """Take a year's steps, and bill what is left in the end, in the last season's order; asserts what has to hold."""
    model = Model(sorted({month for _, month in year[0].drawing}))
    await _take(model, FIRST, driver)
    for season in year:
        await _take(model, season.steps, driver)
        await _take(model, [Close(month, None) for month in sorted(season.closing)], driver)
        await _take(model, [Draw(account, month, True) for account, month in season.drawing], driver)
    await _take(model, [Close(month, None) for month in model.months], driver)
    for _ in range(DRAWINGS_MAX):
        if all(line.on is not None for line in model.lines):
            break
        await _take(model, [Draw(account, month, True) for account, month in year[-1].drawing], driver)
    assert all(line.on is not None for line in model.lines)
    return model


async def _take(model: Model, steps: Sequence[Step], driver: Driver) -> None:
    for step in steps:
        if isinstance(step, Map):
            mapped = Mapped(len(model.mappings), step.org, step.account, step.terms, step.since)
            known = any((held.org, held.since) == (step.org, step.since) for held in model.mappings)
            if not known and await driver.map_org(mapped):
                model.mappings.append(mapped)
        elif isinstance(step, Use | Reverse):
            line = model.used(step) if isinstance(step, Use) else model.reversed(step.which)
            if line is not None:
                await driver.post(line)
                model.lines.append(line)
        elif isinstance(step, Close):
            await driver.close(step.month, step.org)
            model.closed.add((step.month, step.org))
        else:
            await _draw(model, step, driver)


async def _draw(model: Model, draw: Draw, driver: Driver) -> None:
    expected, found = model.expected(draw), await driver.draw(draw.account, draw.month, final=draw.final)
    if isinstance(expected, str) or isinstance(found, str):
        assert found == expected, draw
        return
    check(found, expected)
    if draw.final:
        for line in expected:
            line.on = len(model.finals)
        model.finals.append((draw.account, draw.month))


def check(found: Drawn, lines: list[Line]) -> None:
    """Assert that an invoice is over these lines, each under its period and mapping, and that all add up."""
    assert found.lines == {line.sku: (line.shown, line.gross) for line in lines}
    gross: dict[tuple[str, int, bool, Terms], int] = {}
    for line in lines:
        key = (*line.shown, line.mapped.terms)
        gross[key] = gross.get(key, 0) + line.gross
    assert {part[:4]: part.ledger_total for part in found.parts} == gross
    assert len(found.parts) == len(gross)
    in_cents = (Decimal(sum(line.gross for line in lines)) / CENT).quantize(Decimal(1), ROUND_HALF_UP)
    assert found.total == int(in_cents) * CENT
    assert found.total == sum(part.owner_pays + part.org_pays for part in found.parts)
    paid: dict[str, int] = {}
    copied: dict[str, int] = {}
    for part in found.parts:
        whole = part.owner_pays + part.org_pays
        assert abs(whole - part.ledger_total) < CENT
        if part.terms.allocation == "split":
            share = Fraction(whole * (part.terms.percent or 0), 100)
            assert abs(part.owner_pays - share) <= Fraction(CENT, 2)
        else:
            assert part.org_pays == 0
        if part.terms.allocation == "chargeback":
            copied[part.org] = copied.get(part.org, 0) + whole
        paid[OWNER] = paid.get(OWNER, 0) + part.owner_pays
        paid[part.org] = paid.get(part.org, 0) + part.org_pays
    payers = {document.org: document.total for document in found.documents if not document.is_copy}
    assert {org: total for org, total in payers.items() if total} == {org: t for org, t in paid.items() if t}
    assert sum(payers.values()) == found.total
    assert {document.org: document.total for document in found.documents if document.is_copy} == copied
    for document in found.documents:
        assert document.credit_note == (document.total < 0)
        assert document.payable == (not document.is_copy and document.total >= 0)
