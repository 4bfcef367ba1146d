"""Tables: figures are aligned on the point, amounts of one currency have the same number of decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from apportion_cli.display import Cell, Figure, amount, show_table

Shown = pytest.CaptureFixture[str]


def lines_of(capture: Shown) -> list[str]:
    return [line.rstrip() for line in capture.readouterr().out.splitlines()]


def test_amounts_of_a_column_are_aligned_and_have_the_currencys_decimals(capsys: Shown) -> None:
    rows: list[list[Cell]] = [
        ["a", Figure(Decimal("70"), "AUD")],
        ["b", Figure(Decimal("0.099"), "AUD")],
        ["c", ""],
        ["d", Figure(Decimal("-1200"), "JPY")],
    ]
    show_table("Title", ["name", ">gross"], rows, ["total", Figure(Decimal("70.099"), "AUD")])
    assert lines_of(capsys) == [
        "Title",
        "name  ┃     gross",
        "━━━━━━╇━━━━━━━━━━",
        "a     │    70.000",
        "b     │     0.099",
        "c     │",
        "d     │ -1200",
        "──────┼──────────",
        "total │    70.099",
    ]


def test_quantities_are_aligned_and_keep_their_own_decimals(capsys: Shown) -> None:
    rows: list[list[Cell]] = [["a", Figure(Decimal("1400"))], ["b", Figure(Decimal("0.25"))]]
    show_table("Title", ["sku", ">quantity"], rows)
    assert lines_of(capsys)[-2:] == ["a   │  1400", "b   │     0.25"]


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [("70", "AUD", "70.00 AUD"), ("0.0123", "AUD", "0.0123 AUD"), ("3", "JPY", "3 JPY"), ("1.5", "KWD", "1.500 KWD")],
)
def test_an_amount_has_at_least_the_currencys_decimals_and_the_currency(value: str, currency: str, text: str) -> None:
    assert amount(Decimal(value), currency) == text
