"""The figures of both scenario shapes, and what counts as the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from apportion_cli import scenario
from apportion_cli.ingest.rows import Row
from apportion_cli.verify.expected import expected_figures
from apportion_cli.verify.figures import compare, same
from apportion_cli.verify.file_rows import DeadLetter, content_of, sort_rows
from apportion_cli.verify.show import show
from apportion_common.topology import PAYLOAD_MISMATCH

ROOT = Path(__file__).parents[3]
FLIGHTS = ROOT / "examples" / "flights-2013-01" / "scenario.json"
HARD_MONTH = ROOT / "tests" / "data" / "hard-month" / "scenario.json"


def leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [str(value)]


@pytest.mark.parametrize("file", [FLIGHTS, HARD_MONTH], ids=["flights", "hard-month"])
def test_every_value_of_the_expected_part_is_in_some_figure(file):
    expected = scenario.load(file)["expected"]
    said = {
        part for name, value in expected_figures(scenario.load(file)).items() for part in (*name, *value.split("|"))
    }
    said |= {name[-1].removeprefix("row ") for name in expected_figures(scenario.load(file))}
    said |= {part.removeprefix("row ") for name in expected_figures(scenario.load(file)) for part in name}
    assert {leaf for leaf in leaves(expected) if leaf not in said} == set()


def test_the_figures_are_counted():
    flights, hard = (expected_figures(scenario.load(file)) for file in (FLIGHTS, HARD_MONTH))
    assert sum(name[0] == "by_org_sku" for name in flights) == 2 * 32
    assert sum(name[0] == "sweeps" for name in flights) == 5 * 3
    assert sum(name[0] == "lines" for name in hard) == 200
    assert sum(name[0] == "duplicates" for name in hard) == 72
    assert sum(name[0] == "dead_letters" for name in hard) == 35
    assert sum(name[0] == "by_org_sku" for name in hard) == 3 * 80


@pytest.mark.parametrize(
    ("expected", "found"),
    [("1.50", "1.5"), ("0.00", "0"), ("-0.000", "0"), ("AA|1.0|None", "AA|1|None"), ("nan", "nan"), ("9E", "9E")],
)
def test_numbers_are_compared_as_numbers(expected, found):
    assert same(expected, found)


@pytest.mark.parametrize(
    ("expected", "found"), [("1.50", "1.51"), ("AA", "UA"), ("AA|1", "AA"), ("AA", "AA|1"), ("9E", "9"), ("True", "1")]
)
def test_other_texts_and_other_lengths_differ(expected, found):
    assert not same(expected, found)


def test_what_nobody_expects_is_wrong_where_the_scenario_speaks_of_such_things():
    expected = {("by_org_sku", "AA", "gross"): "1", ("dead_letters", "UNKNOWN_SKU", "row 1"): "AA|x"}
    found = {
        ("by_org_sku", "AA", "gross"): "1.0",
        ("by_org_sku", "AA", "quantity"): "1",
        ("by_org_sku", "UA", "gross"): "1",
        ("dead_letters", "UNKNOWN_SKU", "row 2"): "AA|y",
        ("duplicates", "row 3"): "AA|z",
    }
    results = {figure.name: figure.same for figure in compare(expected, found)}
    assert results == {
        ("by_org_sku", "AA", "gross"): True,
        ("dead_letters", "UNKNOWN_SKU", "row 1"): False,
        ("by_org_sku", "UA", "gross"): False,
        ("dead_letters", "UNKNOWN_SKU", "row 2"): False,
    }


def test_each_figure_is_printed_with_both_sides(capsys):
    count, wrong = show(compare({("counts", "lines"): "7", ("counts", "rows"): "9"}, {("counts", "lines"): "8"}))
    assert (count, wrong) == (2, 2)
    printed = capsys.readouterr().out
    assert "counts: 0 of 2 figures are right" in printed
    assert "expected 7  found 8" in printed
    assert "expected 9  found absent" in printed


def row(number: int, request_id: str, **more: str) -> Row:
    base = Row(number, request_id, "AA", "EWR", "ACT-SMS", "1", "2013-01-01T00:00:00Z")
    return base._replace(**more)


def test_rows_are_told_apart_by_what_became_of_them():
    first, spelled = row(1, "a"), row(2, "a", quantity="1.00", event_time="2013-01-01T01:00:00+01:00")
    other, again = row(3, "a", quantity="2"), row(4, "a", quantity="2.0")
    refused, repeated = row(5, "b", sku="NONE"), row(6, "b", sku="NONE")
    elsewhere, lost = row(7, "a", org="UA"), row(8, "c")
    letters = [
        DeadLetter(PAYLOAD_MISMATCH, ("AA", "a"), content_of(other)),
        DeadLetter("UNKNOWN_SKU", ("AA", "b"), content_of(refused)),
        DeadLetter("UNKNOWN_SKU", ("AA", "stranger"), None),
    ]
    known = {("AA", "a"): True, ("AA", "b"): True, ("UA", "a"): True}
    result = sort_rows([first, spelled, other, again, refused, repeated, elsewhere, lost, lost], letters, known)
    assert result.dead_letters == [(PAYLOAD_MISMATCH, other), ("UNKNOWN_SKU", refused)]
    assert result.duplicates == [spelled, again, repeated]
    assert result.first[("UA", "a")] is elsewhere
    assert [letter.key for letter in result.unexplained] == [("AA", "stranger")]
