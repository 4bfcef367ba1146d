"""The plain SQL program is a fair comparison only while its bill is the product's to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from apportion_common.db.engine import psycopg_url
from apportion_dev.testing.databases import ServiceDatabase

from benchmarks import month, plain_sql
from benchmarks.references import raw_copy, same_index_copy

PREFIXES = ["a-", "b-"]


@pytest.fixture
def url(blank_database: Callable[..., ServiceDatabase]) -> str:
    """An empty database of our own."""
    return psycopg_url(blank_database().owner_url)


@pytest.fixture
def database(url: str) -> Iterator[psycopg.Connection[Any]]:
    """The program's database, with the month's terms under two prefixes."""
    with psycopg.connect(url) as connection:
        plain_sql.prepare(connection, month.scenario(), PREFIXES)
        yield connection


def test_the_months_bill_is_the_expected_one_and_stays_it_when_all_comes_again(
    url: str, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    file = tmp_path / "usage.csv"
    sent = month.write(file, PREFIXES)
    expected = month.expected_bill(month.scenario(), PREFIXES)
    assert sent == 2 * month.scenario()["expected"]["events"]
    for _ in range(2):
        assert plain_sql.run(database, file).rows == sent
        assert month.differences(expected, plain_sql.bill(database)) == []
    assert sum(1 for _ in plain_sql.lines(database)) == sent
    database.commit()
    assert same_index_copy(url, [("line", "true"), ("event", "true LIMIT 5"), ("absent", "true")]).rows == sent


def test_a_digit_that_differs_is_named() -> None:
    expected = month.expected_bill(month.scenario(), PREFIXES)
    wrong = replace(expected, charges=dict(expected.charges), partners=dict(expected.partners))
    key, (quantity, gross) = next(iter(expected.charges.items()))
    wrong.charges[key] = quantity, gross + Decimal("0.000000001")
    del wrong.partners[next(iter(wrong.partners))]
    found = month.differences(expected, wrong)
    assert len(found) == 2
    assert key[0] in found[0]
    assert "found nothing" in found[1]


def test_the_lines_of_a_price_meet_at_its_bounds() -> None:
    for row in month.scenario()["plan"]["skus"].values():
        lines = plain_sql.price_rows(row)
        for (_, bound, slope, base), (above, _, next_slope, next_base) in pairwise(lines):
            assert bound == above
            assert slope * bound + base == next_slope * above + next_base
        assert lines[-1][1] == Decimal("Infinity")


def test_a_raw_copy_copies_every_row(url: str) -> None:
    rows = list(month.copy_rows(PREFIXES[:1]))
    assert raw_copy(url, rows).rows == len(rows)
