"""Exact decimals: strict parsing, canonical text, rounding half away from zero."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from apportion_common.decimals import (
    AMOUNT,
    AMOUNT_MAX,
    PERCENT,
    PRICE,
    QUANTITY,
    QUANTITY_MAX,
    DecimalKind,
    check_scaled,
    format_decimal,
    format_fixed,
    format_scaled,
    from_scaled,
    parse_scaled,
    round_half_away,
    round_half_away_to_multiple,
    to_scaled,
)
from apportion_common.errors import ApportionError, InvalidArgument, OutOfRange
from hypothesis import given
from hypothesis import strategies as st

SCALED = st.integers(-QUANTITY_MAX, QUANTITY_MAX)


def reason_of(text: str, kind: DecimalKind = QUANTITY) -> str:
    with pytest.raises(ApportionError) as refused:
        parse_scaled(text, kind)
    return refused.value.reason


@pytest.mark.parametrize(
    "text", ["1", "1.0", "01", "+1", "1e0", "10e-1", "0.1E1", "1.000000000000", "0000000000000000000001", "1e+00"]
)
def test_every_spelling_of_one_is_one(text: str) -> None:
    assert parse_scaled(text, QUANTITY) == 10**9


@pytest.mark.parametrize("text", ["0", "-0", "0.000", "-0.0e400", "0e-99999"])
def test_every_spelling_of_zero_is_zero(text: str) -> None:
    assert parse_scaled(text, QUANTITY) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        "1\n",
        ".",
        "1.",
        ".5",
        "NaN",
        "Infinity",
        "-inf",
        "sNaN",
        "0x1",
        "1_000",
        "1,5",
        "--1",
        "1e",
        "e1",
        "\u0661",
        "\uff11",
        "²",
        "1e1.5",
        "\x001",
        "9" * 10_000_000,
    ],
    ids=lambda text: repr(text[:10]),
)
def test_what_is_not_a_plain_number_is_malformed(text: str) -> None:
    assert reason_of(text) == "QUANTITY_MALFORMED"


@pytest.mark.parametrize("text", ["1e400", "1e18", "1000000000000000000", "9" * 19, "9" * 28, "-1e18", "1e9999999999"])
def test_more_than_eighteen_integer_digits_are_out_of_range(text: str) -> None:
    assert reason_of(text) == "QUANTITY_OUT_OF_RANGE"


@pytest.mark.parametrize("text", ["0.0000000001", "1e-10", "1e-400", "123456789012345678.1234567891"])
def test_more_than_nine_decimals_of_a_quantity_are_too_precise(text: str) -> None:
    assert reason_of(text) == "QUANTITY_TOO_PRECISE"


def test_eighteen_and_nine_digits_are_the_most() -> None:
    assert parse_scaled("999999999999999999.999999999", QUANTITY) == QUANTITY_MAX
    assert parse_scaled("-999999999999999999.999999999", AMOUNT) == -AMOUNT_MAX


def test_each_kind_has_its_places_and_reasons() -> None:
    assert parse_scaled("0.000000000001", PRICE) == 1
    assert parse_scaled("12.3457", PERCENT) == 123457
    assert reason_of("0.0000000000001", PRICE) == "PRICE_TOO_PRECISE"
    assert reason_of("x", AMOUNT) == "AMOUNT_MALFORMED"
    assert reason_of("12.34567", PERCENT) == "PERCENT_TOO_PRECISE"
    assert reason_of("1e30", PERCENT) == "PERCENT_OUT_OF_RANGE"


@given(SCALED)
def test_text_and_decimal_bring_a_scaled_number_back(value: int) -> None:
    assert parse_scaled(format_scaled(value, 9), QUANTITY) == value
    assert parse_scaled(format_fixed(value, 9), QUANTITY) == value
    with localcontext() as context:
        context.prec = 3
        assert to_scaled(from_scaled(value, 9), QUANTITY) == value
        assert parse_scaled(format_decimal(from_scaled(value, 9)), QUANTITY) == value


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_decimal_is_taken_exactly_or_refused(value: Decimal) -> None:
    try:
        scaled = to_scaled(value, QUANTITY)
    except (InvalidArgument, OutOfRange):
        return
    assert from_scaled(scaled, 9) == value


@pytest.mark.parametrize("text", ["9e999999999", "9" * 50 + "e999999", "9" * 60, "1e-999999", "9" * 1000])
def test_a_huge_decimal_is_refused_without_writing_it_out(text: str) -> None:
    with pytest.raises(ApportionError):
        to_scaled(Decimal(text), QUANTITY)


@given(st.text(max_size=80) | st.from_regex(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?", fullmatch=True))
def test_any_text_gives_its_exact_value_or_a_refusal_with_a_reason(text: str) -> None:
    try:
        scaled = parse_scaled(text, PRICE)
    except ApportionError as refused:
        reason = refused.reason
    else:
        assert from_scaled(scaled, 12) == Decimal(text)
        return
    assert reason in ("PRICE_MALFORMED", "PRICE_OUT_OF_RANGE", "PRICE_TOO_PRECISE")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1_500_000_000, "1.5"),
        (-1_500_000_000, "-1.5"),
        (1, "0.000000001"),
        (10**12, "1000"),
        (-1, "-0.000000001"),
    ],
)
def test_canonical_text_has_no_exponent_and_no_trailing_zeros(value: int, text: str) -> None:
    assert format_scaled(value, 9) == text


@pytest.mark.parametrize(
    ("text", "canonical"), [("-0", "0"), ("1E+3", "1000"), ("1.50", "1.5"), ("-0.00", "0"), ("1E-9", "0.000000001")]
)
def test_a_decimal_has_one_canonical_text(text: str, canonical: str) -> None:
    assert format_decimal(Decimal(text)) == canonical


def test_fixed_text_keeps_its_places() -> None:
    assert format_fixed(-1_500_000_000, 9) == "-1.500000000"
    assert format_fixed(7, 0) == "7"


@given(st.integers(-(10**40), 10**40), st.integers(0, 21))
def test_rounding_is_half_away_from_zero(numerator: int, pow10: int) -> None:
    with localcontext() as context:
        context.prec = 60
        expected = int((Decimal(numerator) / 10**pow10).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert round_half_away(numerator, pow10) == expected
    assert round_half_away(-numerator, pow10) == -expected


@given(st.integers(-(10**30), 10**30), st.sampled_from([1, 10, 10**7, 10**9]))
def test_rounding_to_a_multiple_is_rounding_of_the_quotient(value: int, unit: int) -> None:
    assert round_half_away_to_multiple(value, unit) == round_half_away(value, len(str(unit)) - 1) * unit


def test_a_scaled_number_from_outside_is_checked() -> None:
    assert check_scaled(-QUANTITY_MAX, QUANTITY) == -QUANTITY_MAX
    with pytest.raises(OutOfRange) as refused:
        check_scaled(QUANTITY_MAX + 1, QUANTITY)
    assert refused.value.reason == "QUANTITY_OUT_OF_RANGE"
