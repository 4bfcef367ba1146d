"""Every expected figure of the two data sets, computed by the pure rules alone."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from apportion_common.decimals import PERCENT_PLACES, format_fixed, format_scaled, from_scaled
from apportion_common.money import MINOR_UNITS, minor_unit
from apportion_metering.domain.intake import CheckedEvent
from pure_flow import Flow, Line, Statement, World, checked, digest_pairs, invoices, read_events, statements
from pure_worlds import FLIGHTS, HARD_MONTH, flights_world, hard_month_world, load

Ran = tuple[dict[str, Any], World, Flow, dict[int, dict[str, str]]]


def format_minor(amount: int, currency: str) -> str:
    """An amount of whole minor units as the month's figures have it: `12.30` AUD, `12` JPY."""
    return format_fixed(amount // minor_unit(currency), MINOR_UNITS[currency])


def money(amount: int) -> Decimal:
    return from_scaled(amount, 9)


def ran(scenario: dict[str, Any], world: World, folder: Path) -> Ran:
    flow, raw = Flow(world), {}
    for number, row in read_events(folder / "events.csv.gz"):
        event = checked(row)
        assert isinstance(event, CheckedEvent)
        raw[number] = row
        flow.take(number, event)
    return scenario, world, flow, raw


@pytest.fixture(scope="module")
def hard_month() -> Ran:
    scenario = load(HARD_MONTH)
    return ran(scenario, hard_month_world(scenario), HARD_MONTH)


@pytest.fixture(scope="module")
def flights() -> Ran:
    scenario = load(FLIGHTS)
    return ran(scenario, flights_world(scenario), FLIGHTS)


def published(world: World, raw: dict[int, dict[str, str]], line: Line) -> dict[str, Any]:
    """A line in the words and the text forms of the scenario file."""
    partner = line.posted.found.partner_id
    return {
        "row": line.row,
        "org": raw[line.row]["org"],
        "request_id": line.event.request_id,
        "sku": line.event.sku,
        "account": world.names[line.charge.group.account_id],
        "currency": line.charge.group.currency,
        "gross": format_fixed(line.charge.gross, 9),
        "partner": world.names[partner] if partner else None,
        "pct": format_scaled(line.posted.found.pct, PERCENT_PLACES),
        "partner_amount": format_fixed(line.posted.share, 9),
        "net": format_fixed(line.posted.net, 9),
        "real_time_paid": format_minor(line.paid, line.charge.group.currency),
    }


def by_org_sku(lines: list[Line], raw: dict[int, dict[str, str]]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    sums: defaultdict[tuple[str, ...], tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for line in lines:
        key = raw[line.row]["org"], line.event.sku, line.charge.group.period, line.charge.group.currency
        count, quantity, gross = sums[key]
        sums[key] = count + 1, quantity + line.event.quantity, gross + line.charge.gross
    return sums


def test_the_counts_of_the_hard_month(hard_month: Ran) -> None:
    scenario, world, flow, _ = hard_month
    run, mismatches = flow.run, sum(reason == "PAYLOAD_MISMATCH" for _, reason in flow.run.dead_letters)
    assert scenario["expected"]["counts"] == {
        "file_rows": run.rows,
        "accepted": run.rows - len(run.duplicates) - mismatches,
        "duplicates": len(run.duplicates),
        "dead_letters": len(run.dead_letters),
        "lines": len(run.lines),
        "zero_amount_lines": sum(line.charge.gross == 0 for line in run.lines),
        "lines_at_or_above_threshold": sum(
            line.charge.group.currency in world.thresholds
            and line.charge.gross >= world.thresholds[line.charge.group.currency]
            for line in run.lines
        ),
    }


def test_the_dead_letters_and_duplicates_of_the_hard_month_row_by_row(hard_month: Ran) -> None:
    scenario, _, flow, raw = hard_month

    def named(number: int) -> dict[str, Any]:
        return {"row": number, "org": raw[number]["org"], "request_id": raw[number]["request_id"]}

    found: dict[str, list[dict[str, Any]]] = {}
    for number, reason in flow.run.dead_letters:
        found.setdefault(str(reason), []).append(named(number))
    assert found == scenario["expected"]["dead_letters"]
    assert [named(number) for number in flow.run.duplicates] == scenario["expected"]["duplicates"]


def test_the_usage_and_gross_of_the_hard_month_by_org_and_sku(hard_month: Ran) -> None:
    scenario, _, flow, raw = hard_month
    expected = {
        (row["org"], row["sku"], row["period"], row["currency"]): (
            row["lines"],
            Decimal(row["quantity"]),
            Decimal(row["gross"]),
        )
        for row in scenario["expected"]["by_org_sku"]
    }
    assert len(expected) == len(scenario["expected"]["by_org_sku"])
    found = by_org_sku(flow.run.lines, raw)
    assert {key: (count, money(quantity), money(gross)) for key, (count, quantity, gross) in found.items()} == expected
    totals: Counter[str] = Counter()
    for line in flow.run.lines:
        totals[line.charge.group.currency] += line.charge.gross
    assert {currency: money(total) for currency, total in totals.items()} == {
        currency: Decimal(total) for currency, total in scenario["expected"]["gross_total"].items()
    }


def test_the_two_hundred_hard_lines(hard_month: Ran) -> None:
    scenario, world, flow, raw = hard_month
    lines = {line.row: line for line in flow.run.lines}
    assert len(scenario["expected"]["lines"]) == 200
    for expected in scenario["expected"]["lines"]:
        found = published(world, raw, lines[expected["row"]])
        assert found == {key: value for key, value in expected.items() if key != "case"}, expected["case"]


def test_the_digest_of_every_line_of_the_hard_month(hard_month: Ran) -> None:
    scenario, world, flow, raw = hard_month
    digest = sha256()
    for line in sorted(flow.run.lines, key=lambda line: line.row):
        digest.update(("|".join(str(v) for v in published(world, raw, line).values()) + "\n").encode())
    assert digest.hexdigest() == scenario["expected"]["lines_sha256"]


def test_the_partners_of_the_hard_month_after_all_sweeps(hard_month: Ran) -> None:
    scenario, world, flow, _ = hard_month
    found = statements(world, flow.run.lines, scenario["sweep_weeks"])
    expected = scenario["expected"]["partners"]
    assert {(partner, currency) for partner, rows in expected.items() for currency in rows} == set(found)
    payout = {name: row["payout_currency"] for name, row in scenario["partners"].items()}
    for (partner, currency), statement in found.items():
        assert expected[partner][currency] == {
            "payable": currency == payout[partner],
            "earned": format_fixed(statement.totals.earned, 9),
            "real_time_paid": format_minor(statement.totals.paid_real_time, currency),
            "real_time_lines": statement.totals.real_time_count,
            "sweeps": {week: format_minor(paid, currency) for week, paid in statement.sweeps.items()},
            "balance": format_fixed(statement.balance, 9),
        }, (partner, currency)


def test_the_invoices_of_the_hard_month(hard_month: Ran) -> None:
    scenario, world, flow, _ = hard_month
    found = invoices(world, flow.run.lines, "2013-01")
    assert set(found) == set(scenario["expected"]["accounts"])
    percents = {(row["org"], row["account"]): row["percent"] for row in scenario["mappings"]}
    for name, account in found.items():
        currency = world.accounts[name].currency

        def shown(amount: int, currency: str = currency) -> str:
            return format_minor(amount, currency)

        assert scenario["expected"]["accounts"][name] == {
            "currency": currency,
            "ledger_total": format_fixed(account.ledger_total, 9),
            "invoice_total": shown(account.invoice_total),
            "rounding_difference": format_fixed(account.rounding_difference, 9),
            "orgs": [
                {
                    "org": world.names[part.usage.org_id],
                    "ledger_total": format_fixed(part.usage.ledger_total, 9),
                    "part": shown(part.part),
                    "allocation": part.usage.allocation,
                    "percent": percents[world.names[part.usage.org_id], name],
                    "owner_pays": shown(part.owner_pays),
                    "org_pays": shown(part.org_pays),
                }
                for part in account.parts
            ],
            "payers": [{"payer": world.names[payer], "total": shown(total)} for payer, total in account.payers],
            "copies_not_payable": [{"org": world.names[org], "total": shown(total)} for org, total in account.copies],
        }, name


def digest_of(lines: Sequence[Line]) -> str:
    """Return the digest of lines, each of another charge: SHA-256 over their hashes in the order of the charge ids."""
    hashes = dict(digest_pairs(lines))
    assert len(hashes) == len(lines)
    return sha256(b"".join(hashes[charge] for charge in sorted(hashes))).hexdigest()


def test_the_digest_of_the_hard_month_does_not_depend_on_the_order_of_its_lines(hard_month: Ran) -> None:
    _, _, flow, _ = hard_month
    shuffled = list(flow.run.lines)
    random.Random(1).shuffle(shuffled)
    digest = digest_of(flow.run.lines)
    assert digest == digest_of(shuffled)
    assert digest != digest_of(shuffled[1:])


def test_the_flights_by_org_and_sku(flights: Ran) -> None:
    scenario, world, flow, raw = flights
    expected = scenario["expected"]
    assert expected["events"] == flow.run.rows == len(flow.run.lines)
    assert not flow.run.dead_letters
    assert not flow.run.duplicates
    found = by_org_sku(flow.run.lines, raw)
    assert {(org, sku): (money(q), money(g)) for (org, sku, _, _), (_, q, g) in found.items()} == {
        (row["org"], row["sku"]): (Decimal(row["quantity"]), Decimal(row["gross"])) for row in expected["by_org_sku"]
    }
    assert money(sum(line.charge.gross for line in flow.run.lines)) == Decimal(expected["gross_total"])
    threshold = world.thresholds["AUD"]
    assert sum(line.charge.gross >= threshold for line in flow.run.lines) == expected["lines_at_or_above_threshold"]


def test_the_partners_of_the_flights_after_all_sweeps(flights: Ran) -> None:
    scenario, world, flow, _ = flights
    expected = scenario["expected"]
    found: Mapping[tuple[str, str], Statement] = statements(world, flow.run.lines, list(expected["sweeps"]))
    assert {partner for partner, _ in found} == set(expected["partners"])
    for (partner, currency), statement in found.items():
        assert expected["partners"][partner] == {
            "earned": format_fixed(statement.totals.earned, 9),
            "paid_real_time": format_minor(statement.totals.paid_real_time, currency),
            "real_time_lines": statement.totals.real_time_count,
            "paid_in_all_once_swept": format_minor(
                statement.totals.paid_real_time + sum(statement.sweeps.values()), currency
            ),
            "carried": format_fixed(statement.balance, 9),
        }
        for week, paid in statement.sweeps.items():
            assert expected["sweeps"][week].get(partner, "0.00") == format_minor(paid, currency), (week, partner)


def test_the_invoices_of_the_flights(flights: Ran) -> None:
    scenario, world, flow, _ = flights
    found = invoices(world, flow.run.lines, "2013-01")
    assert set(found) == set(scenario["expected"]["accounts"])
    for name, account in found.items():
        owner = world.accounts[name].owner
        assert scenario["expected"]["accounts"][name] == {
            "gross": format_fixed(account.ledger_total, 9),
            "total": format_minor(account.invoice_total, "AUD"),
            "parts": {world.names[p.usage.org_id]: format_minor(p.part, "AUD") for p in account.parts},
            "payers": {
                "owner" if world.names[payer] == owner else world.names[payer]: format_minor(total, "AUD")
                for payer, total in account.payers
            },
        }, name


def test_the_scenario_and_the_product_know_the_same_minor_units(hard_month: Ran) -> None:
    scenario = hard_month[0]
    assert {currency: MINOR_UNITS[currency] for currency in scenario["minor_units"]} == scenario["minor_units"]
