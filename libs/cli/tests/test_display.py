"""Tables: figures are aligned on the point, amounts of one currency have the same number of decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from apportion_cli import display
from apportion_cli.commands.statement import payable_part
from apportion_cli.display import Cell, Figure, amount, counted, show_table
from rich.console import Console

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
    show_table("Title", ["name", ">gross"], rows, [["total", Figure(Decimal("70.099"), "AUD")]])
    assert lines_of(capsys) == [
        "Title",
        "name  ┃      gross",
        "━━━━━━╇━━━━━━━━━━━",
        "a     │     70.000",
        "b     │      0.099",
        "c     │",
        "d     │ -1,200",
        "──────┼───────────",
        "total │     70.099",
    ]


def test_quantities_are_aligned_and_keep_their_own_decimals(capsys: Shown) -> None:
    rows: list[list[Cell]] = [["a", Figure(Decimal("1400"))], ["b", Figure(Decimal("0.25"))]]
    show_table("Title", ["sku", ">quantity"], rows)
    assert lines_of(capsys)[-2:] == ["a   │ 1,400", "b   │     0.25"]


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        ("70", "AUD", "70.00 AUD"),
        ("0.0123", "AUD", "0.0123 AUD"),
        ("3", "JPY", "3 JPY"),
        ("1.5", "KWD", "1.500 KWD"),
        ("-1234567.5", "AUD", "-1,234,567.50 AUD"),
    ],
)
def test_an_amount_has_at_least_the_currencys_decimals_and_the_currency(value: str, currency: str, text: str) -> None:
    assert amount(Decimal(value), currency) == text


@pytest.mark.parametrize(
    ("count", "what", "text"),
    [(0, "line", "0 lines"), (1, "line", "1 line"), (1_234, "line", "1,234 lines"), (2, "entry", "2 entries")],
)
def test_one_is_said_otherwise_than_many(count: int, what: str, text: str) -> None:
    assert counted(count, what) == text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_no_amount_is_cut_or_left_out_however_narrow_the_terminal_is(
    monkeypatch: pytest.MonkeyPatch, capsys: Shown, width: int
) -> None:
    monkeypatch.setattr(
        display, "console", Console(width=width, force_terminal=True, color_system=None, soft_wrap=True)
    )
    gross, net = Figure(Decimal("1234567.89"), "AUD"), Figure(Decimal("-0.000000001"), "AUD")
    row: list[Cell] = ["2025-03-03T09:00:00Z", "A partner with a long name", "AUD", gross, net]
    columns = ["event time", "partner", "currency", ">gross", ">net"]
    show_table("1 line", columns, [row], [["total", "", "AUD", gross, net]], drop=("partner", "event time"))
    lines = lines_of(capsys)
    said = "\n".join(lines)
    assert said.count("1,234,567.89") == said.count("-0.000000001") == 2
    assert "…" not in said
    assert all(len(line) <= width for line in lines if "│" in line)
    if "Left out" not in said:
        assert "A partner with a long name" in said


@pytest.mark.parametrize(
    ("closing", "currency", "payable"),
    [
        ("12.349", "AUD", "12.34"),
        ("0.009", "AUD", "0"),
        ("-5", "AUD", "0"),
        ("12.9", "JPY", "12"),
        ("1.2345", "KWD", "1.234"),
    ],
)
def test_of_a_closing_balance_whole_minor_units_of_what_is_owed_are_payable(
    closing: str, currency: str, payable: str
) -> None:
    assert payable_part(Decimal(closing), currency) == Decimal(payable)
