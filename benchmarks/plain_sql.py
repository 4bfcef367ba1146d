"""The program that a user would write instead: one database, SQL, a transaction per 1,000 events, the same bill.

It reads the same file of usage, stores the events once (`ON CONFLICT DO NOTHING` on organisation and request id),
prices them by window functions over the period's usage so far, and writes lines with the partner's split, positions
and balances, in one statement. What it spares itself: it does not see that an id comes again with other content, it has
no streams, no access control and no replay, it knows graduated prices only, and rates by SKU; usage is never corrected,
so that a partner's balance never falls below zero and a real-time payout need not look at it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
from apportion_client import naming

from benchmarks.month import Bill
from benchmarks.references import Copied, Stopwatch

DATABASE: Final = "bench_plain_sql"
EVENTS_A_TRANSACTION: Final = 1_000
BEGINNING: Final = "-infinity"
END: Final = "infinity"

TABLES: Final = """
CREATE TABLE org (org_id uuid PRIMARY KEY, account_id uuid NOT NULL, plan text NOT NULL);
CREATE TABLE price (plan text, sku text, above numeric, up_to numeric, slope numeric NOT NULL, base numeric NOT NULL,
    currency text NOT NULL, valid_from timestamptz, valid_to timestamptz, PRIMARY KEY (plan, sku, above, valid_from));
CREATE TABLE partner (partner_id uuid PRIMARY KEY, tier text NOT NULL);
CREATE TABLE partner_of_record (subject_id uuid, partner_id uuid NOT NULL, valid_from timestamptz,
    valid_to timestamptz, PRIMARY KEY (subject_id, valid_from));
CREATE TABLE rate (tier text, sku text, pct numeric NOT NULL, valid_from timestamptz, valid_to timestamptz,
    PRIMARY KEY (tier, sku, valid_from));
CREATE TABLE threshold (currency text PRIMARY KEY, gross numeric NOT NULL);
CREATE TABLE event (event_no bigint GENERATED ALWAYS AS IDENTITY, org_id uuid, request_id text COLLATE "C",
    project_id uuid, sku text NOT NULL, quantity numeric(27, 9) NOT NULL, event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (org_id, request_id));
CREATE TABLE line (event_no bigint PRIMARY KEY, org_id uuid NOT NULL, project_id uuid, account_id uuid NOT NULL,
    sku text NOT NULL, quantity numeric(27, 9) NOT NULL, currency text NOT NULL, gross numeric(27, 9) NOT NULL,
    partner_id uuid, pct numeric(7, 4) NOT NULL, share numeric(27, 9) NOT NULL, net numeric(27, 9) NOT NULL,
    paid numeric(27, 9) NOT NULL, period text NOT NULL, event_time timestamptz NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT clock_timestamp(), CHECK (gross = share + net));
CREATE INDEX ON line (org_id, event_time);
CREATE INDEX ON line (partner_id, event_time) WHERE partner_id IS NOT NULL;
CREATE TABLE position (org_id uuid, sku text, period text, quantity numeric(27, 9) NOT NULL,
    PRIMARY KEY (org_id, sku, period)) WITH (fillfactor = 50);
CREATE TABLE balance (partner_id uuid, currency text, earned numeric(38, 9) NOT NULL, paid numeric(38, 9) NOT NULL,
    paid_count bigint NOT NULL, PRIMARY KEY (partner_id, currency)) WITH (fillfactor = 50);
"""

BATCH: Final = """
CREATE TEMP TABLE IF NOT EXISTS batch (request_id text, org_id uuid, project_id uuid, sku text, quantity numeric,
    event_time timestamptz, n bigint GENERATED ALWAYS AS IDENTITY) ON COMMIT DELETE ROWS
"""
COPY: Final = "COPY batch (request_id, org_id, project_id, sku, quantity, event_time) FROM STDIN (FORMAT csv)"

WORK: Final = """
WITH fresh AS (
    INSERT INTO event (org_id, request_id, project_id, sku, quantity, event_time)
    SELECT org_id, request_id, project_id, sku, quantity, event_time FROM batch ORDER BY n
    ON CONFLICT (org_id, request_id) DO NOTHING
    RETURNING event_no, org_id, project_id, sku, quantity, event_time
), placed AS (
    SELECT fresh.*, org.account_id, org.plan, to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM') AS period
    FROM fresh JOIN org USING (org_id)
), moved AS (
    INSERT INTO position AS p (org_id, sku, period, quantity)
    SELECT org_id, sku, period, sum(quantity) FROM placed GROUP BY org_id, sku, period ORDER BY org_id, sku, period
    ON CONFLICT (org_id, sku, period) DO UPDATE SET quantity = p.quantity + excluded.quantity
    RETURNING org_id, sku, period, quantity
), running AS (
    SELECT placed.*,
        moved.quantity - sum(placed.quantity) OVER whole + sum(placed.quantity) OVER so_far AS used
    FROM placed JOIN moved USING (org_id, sku, period)
    WINDOW whole AS (PARTITION BY org_id, sku, period),
        so_far AS (PARTITION BY org_id, sku, period ORDER BY event_no ROWS UNBOUNDED PRECEDING)
), priced AS (
    SELECT r.*, after.currency,
        round(after.slope * r.used + after.base, 9)
        - round(before.slope * (r.used - r.quantity) + before.base, 9) AS gross
    FROM running AS r
    JOIN price AS after ON after.plan = r.plan AND after.sku = r.sku AND r.used > after.above
        AND r.used <= after.up_to AND r.event_time >= after.valid_from AND r.event_time < after.valid_to
    JOIN price AS before ON before.plan = r.plan AND before.sku = r.sku AND r.used - r.quantity > before.above
        AND r.used - r.quantity <= before.up_to AND r.event_time >= before.valid_from AND r.event_time < before.valid_to
), attributed AS (
    SELECT p.*, partner.partner_id, coalesce(rate.pct, 0) AS pct,
        round(p.gross * coalesce(rate.pct, 0) * 0.01, 9) AS share
    FROM priced AS p
    LEFT JOIN partner_of_record AS a ON a.subject_id = p.account_id
        AND p.event_time >= a.valid_from AND p.event_time < a.valid_to
    LEFT JOIN partner_of_record AS o ON o.subject_id = p.org_id
        AND p.event_time >= o.valid_from AND p.event_time < o.valid_to
    LEFT JOIN partner ON partner.partner_id = coalesce(a.partner_id, o.partner_id)
    LEFT JOIN rate ON rate.tier = partner.tier AND rate.sku = p.sku
        AND p.event_time >= rate.valid_from AND p.event_time < rate.valid_to
), written AS (
    INSERT INTO line (event_no, org_id, project_id, account_id, sku, quantity, currency, gross, partner_id, pct, share,
        net, paid, period, event_time)
    SELECT event_no, org_id, project_id, account_id, sku, quantity, currency, a.gross, partner_id, pct, share,
        a.gross - share, CASE WHEN a.gross >= threshold.gross THEN trunc(share, 2) ELSE 0 END, period, event_time
    FROM attributed AS a LEFT JOIN threshold USING (currency) ORDER BY event_no
    RETURNING partner_id, currency, share, paid
)
INSERT INTO balance AS b (partner_id, currency, earned, paid, paid_count)
SELECT partner_id, currency, sum(share), sum(paid), count(*) FILTER (WHERE paid > 0)
FROM written WHERE partner_id IS NOT NULL GROUP BY partner_id, currency ORDER BY partner_id, currency
ON CONFLICT (partner_id, currency) DO UPDATE SET earned = b.earned + excluded.earned, paid = b.paid + excluded.paid,
    paid_count = b.paid_count + excluded.paid_count
"""


@contextmanager
def plain_database(admin_url: str) -> Iterator[str]:
    """Provide the URL of a database for the program, dropped afterwards."""
    base = admin_url.rpartition("/")[0]
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {DATABASE}")
        try:
            yield f"{base}/{DATABASE}"
        finally:
            admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def prepare(connection: psycopg.Connection[Any], scenario: dict[str, Any], prefixes: Sequence[str]) -> None:
    """Make the tables, and fill those of the terms with a scenario under prefixes (of the short shape)."""
    connection.execute(TABLES)
    plan, accounts = scenario["plan"], {org: row["account"] for org, row in scenario["mappings"].items()}
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO org VALUES (%s, %s, 'standard')",
            [
                (naming.org_id(org, prefix), naming.account_id(account, prefix))
                for prefix in prefixes
                for org, account in accounts.items()
            ],
        )
        cursor.executemany(
            "INSERT INTO price VALUES ('standard', %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (sku, *tier, plan["currency"], BEGINNING, END)
                for sku, row in plan["skus"].items()
                for tier in price_rows(row)
            ],
        )
        cursor.executemany(
            "INSERT INTO partner VALUES (%s, %s)",
            [(naming.partner_id(name), row["tier"]) for name, row in scenario["partners"].items()],
        )
        cursor.executemany(
            "INSERT INTO partner_of_record VALUES (%s, %s, %s, %s)",
            [
                (_subject(row["subject"], prefix), naming.partner_id(row["partner"]), BEGINNING, END)
                for prefix in prefixes
                for row in scenario["partners_of_record"]
            ],
        )
        cursor.executemany(
            "INSERT INTO rate VALUES (%s, %s, %s, %s, %s)",
            [(row["tier"], row["sku"], row["pct"], BEGINNING, END) for row in scenario["commission_rates"]],
        )
        cursor.executemany("INSERT INTO threshold VALUES (%s, %s)", list(scenario["real_time_threshold"].items()))
    connection.execute("ANALYZE")
    connection.commit()


def price_rows(row: dict[str, Any]) -> list[tuple[Decimal, Decimal, Decimal, Decimal]]:
    """Return a price as lines (above, up to, slope, base): the charge of a period's usage is slope x usage + base.

    Nothing is charged up to the included quantity. A unit that reaches a threshold belongs to the tier it completes.
    """
    included = Decimal(row["included_qty"])
    bounds = [included, *(included + Decimal(tier["threshold"]) for tier in row["tiers"]), Decimal("Infinity")]
    slopes = [Decimal(row["overage_price"]), *(Decimal(tier["price"]) for tier in row["tiers"])]
    lines = [(Decimal("-Infinity"), included, Decimal(0), Decimal(0))]
    for (above, up_to), slope in zip(itertools.pairwise(bounds), slopes, strict=True):
        _, _, below, base = lines[-1]
        # The lines meet at the bound.
        lines.append((above, up_to, slope, base + above * (below - slope)))
    return lines


def run(connection: psycopg.Connection[Any], file: Path) -> Copied:
    """Work a file of usage; return events, seconds and processor seconds."""
    connection.execute(BATCH)
    connection.commit()
    count = 0
    watch = Stopwatch(connection)
    with file.open("rb") as stream:
        next(stream)
        while chunk := list(itertools.islice(stream, EVENTS_A_TRANSACTION)):
            with connection.cursor().copy(COPY) as copy:
                copy.write(b"".join(chunk))
            connection.execute(WORK, prepare=True)
            connection.commit()
            count += len(chunk)
    return watch.read(count)


def bill(connection: psycopg.Connection[Any]) -> Bill:
    """Return what it has billed."""
    charges = connection.execute(
        "SELECT org_id::text, l.sku, p.quantity, sum(gross) FROM line AS l JOIN position AS p"
        " USING (org_id, sku, period) GROUP BY 1, 2, 3"
    )
    partners = connection.execute("SELECT partner_id::text, earned, paid, paid_count FROM balance")
    return Bill(
        {(org, sku): (quantity, gross) for org, sku, quantity, gross in charges},
        {partner: (earned, paid, count) for partner, earned, paid, count in partners},
    )


def lines(connection: psycopg.Connection[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield (org id, request id, account, SKU, quantity, gross, partner, pct, share, net) of each line."""
    yield from connection.execute(
        "SELECT l.org_id, e.request_id, l.account_id, l.sku, l.quantity, l.gross, l.partner_id, l.pct, l.share, l.net"
        " FROM line AS l JOIN event AS e USING (event_no)"
    )


def _subject(text: str, prefix: str) -> object:
    kind, _, name = text.partition(":")
    return naming.org_id(name, prefix) if kind == "org" else naming.account_id(name, prefix)
