"""What all parts share: the stack that is measured, the options, a folder for files of usage, and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.month import Bill
from benchmarks.stack import Stack


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured."""

    times: int
    """How often the month is sent in a run."""
    seconds: float
    """How long latency and idleness are looked at."""
    offered: tuple[int, ...]
    """Events a second that latency is measured at."""
    sizes: tuple[int, ...]
    """Events a call."""
    size_events: int
    """Events of one run of one size."""


@dataclass(slots=True)
class Bench:
    """One run of one part on one stack."""

    stack: Stack
    options: Options
    folder: Path
    name: str
    """Unlike that of any other run: it goes into the prefixes of organisations."""

    def prefixes(self, times: int | None = None) -> list[str]:
        """Return the prefixes of this run."""
        return [f"{self.name}x{number}-" for number in range(self.options.times if times is None else times)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a part found: figures, and what was not as it must be."""

    figures: Figures
    problems: list[str]


def lost_and_doubled(stack: Stack, since: object, sent: int) -> tuple[Figures, list[str]]:
    """Count what has become of `sent` different events since an instant of the ledger's database."""
    lines, events = stack.row(
        "ledger", "SELECT count(*), count(DISTINCT event_id) FROM ledger_line WHERE posted_at >= %s", since
    )
    lost, doubled = sent - events, lines - events
    return {"sent": sent, "lost": lost, "doubled": doubled}, problems_of(lost, doubled)


def problems_of(lost: int, doubled: int) -> list[str]:
    """Return a sentence for each thing that must never be."""
    return [f"{count} events {what}" for count, what in ((lost, "lost"), (doubled, "doubled")) if count]


def now_of(stack: Stack, service: str) -> object:
    """Return the time by the clock of a service's database."""
    return stack.row(service, "SELECT clock_timestamp()")[0]


def ledger_bill(stack: Stack, since: object) -> Bill:
    """Return what the ledger has billed since an instant."""
    database = stack.database("ledger")
    charges = database.execute(
        "SELECT org_id::text, sku, sum(quantity), sum(amount_gross) FROM ledger_line WHERE posted_at >= %s"
        " GROUP BY org_id, sku",
        (since,),
    )
    partners = database.execute(
        "WITH earned AS (SELECT partner_id, sum(partner_amount) AS amount FROM ledger_line"
        " WHERE posted_at >= %s AND partner_id IS NOT NULL GROUP BY 1), paid AS ("
        "SELECT s.partner_id, sum(s.amount) AS amount, count(*) AS payouts FROM settlement AS s"
        " JOIN ledger_line AS l USING (entry_id) WHERE l.posted_at >= %s AND s.kind = 'real_time' GROUP BY 1)"
        " SELECT e.partner_id::text, e.amount, coalesce(p.amount, 0), coalesce(p.payouts, 0)"
        " FROM earned AS e LEFT JOIN paid AS p USING (partner_id)",
        (since, since),
    )
    return Bill(
        {(org, sku): (quantity, gross) for org, sku, quantity, gross in charges},
        {partner: (Decimal(earned), Decimal(paid), count) for partner, earned, paid, count in partners},
    )


def sentences(found: Sequence[str], whose: str, shown: int) -> list[str]:
    """Return the first differences of a bill, and how many there are."""
    if not found:
        return []
    return [f"{whose} bill differs in {len(found)} figures, such as: {'; '.join(found[:shown])}"]
