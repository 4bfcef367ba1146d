"""The whole path: IngestEvents to the last ledger line, beside a raw COPY and beside the plain SQL program.

One client process sends the month under several prefixes. Three rates on the same PostgreSQL server, one after the
other in each run; the bill of the product and of the plain program must both be the expected one to the last digit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from apportion_common.ids import event_id

from benchmarks import month, plain_sql
from benchmarks.figures import Figures, cpu_figures
from benchmarks.measure import Bench, Outcome, ledger_bill, lost_and_doubled, now_of, sentences
from benchmarks.references import raw_copy
from benchmarks.stack import CALL_EVENTS_MAX, POSTER, WRITER, Meter, Stack


def measure(bench: Bench) -> Outcome:
    """Measure once."""
    stack, prefixes = bench.stack, bench.prefixes()
    scenario = month.scenario()
    expected = month.expected_bill(scenario, prefixes)
    file = bench.folder / f"{bench.name}.csv"
    sent = month.write(file, prefixes)
    stack.apply(prefixes)

    copied = raw_copy(stack.url("postgres"), list(month.copy_rows(prefixes)))
    with plain_sql.plain_database(stack.url("postgres")) as url, psycopg.connect(url) as connection:
        plain_sql.prepare(connection, scenario, prefixes)
        plain = plain_sql.run(connection, file)
        plain_bill, plain_lines = plain_sql.bill(connection), _plain_lines(connection)
    since = now_of(stack, "ledger")
    ours, problems = send_all(bench, file, sent)

    problems += sentences(month.differences(expected, ledger_bill(stack, since)), "our", month.DIFFERENCES_SHOWN)
    problems += sentences(month.differences(expected, plain_bill), "the plain program's", month.DIFFERENCES_SHOWN)
    unlike = len(_our_lines(stack, since) ^ plain_lines)
    if unlike:
        problems.append(f"{unlike} lines are not the plain program's to the last digit")
    figures = {
        "path events/s": ours["events/s"],
        "raw COPY rows/s": copied.rate,
        "plain SQL events/s": plain.rate,
        "ratio to raw COPY": ours["events/s"] / copied.rate,
        "ratio to plain SQL": ours["events/s"] / plain.rate,
        "cpu raw COPY µs": copied.cpu_us,
        "cpu plain SQL µs": plain.cpu_us,
        "cpu ratio to plain SQL": ours["cpu in all µs"] / plain.cpu_us,
    }
    file.unlink()
    return Outcome(figures | {name: value for name, value in ours.items() if name != "events/s"}, problems)


def send_all(bench: Bench, file: Path, sent: int, size: int = CALL_EVENTS_MAX) -> tuple[Figures, list[str]]:
    """Send a file of usage and wait until all of it is posted; figures of that, and what was lost or came twice.

    The time is that from the first event's receipt to the last line, by the database server's clock.
    """
    stack = bench.stack
    metering, ledger = now_of(stack, "metering"), now_of(stack, "ledger")
    before = stack.place(WRITER)
    start_s = stack.send(file, size, nothing=True)
    meter = Meter(stack)
    client_s = stack.send(file, size)
    stack.wait_stored(before, sent)
    stack.wait_worked(POSTER)
    spent, _ = meter.read()
    (first,) = stack.row("metering", "SELECT min(received_at) FROM metering_event WHERE received_at >= %s", metering)
    (last,) = stack.row("ledger", "SELECT max(posted_at) FROM ledger_line WHERE posted_at >= %s", ledger)
    counts, problems = lost_and_doubled(stack, ledger, sent)
    rate = sent / (last - first).total_seconds() if first and last else 0.0
    spent["client"] = max(client_s - start_s, 0.0)
    return {"events/s": rate} | cpu_figures(spent, sent) | counts, problems


def _plain_lines(connection: psycopg.Connection[Any]) -> set[int]:
    return {hash((event_id(org.bytes, request_id), *rest)) for org, request_id, *rest in plain_sql.lines(connection)}


def _our_lines(stack: Stack, since: object) -> set[int]:
    rows = stack.database("ledger").execute(
        "SELECT event_id, billing_account_id, sku, quantity, amount_gross, partner_id, partner_pct, partner_amount, net"
        " FROM ledger_line WHERE posted_at >= %s",
        (since,),
    )
    return {hash((_bytes(event), *rest)) for event, *rest in rows}


def _bytes(event: UUID) -> bytes:
    return event.bytes
