"""Exact decimals: the scales of the product, strict parsing, canonical text, rounding half away from zero.

Inside hot loops a number is a *scaled int*: the value times ten to the power of its kind's places (quantity 1.5 is
1_500_000_000 at 9 places). At the edges it is a `Decimal` or a string. No float appears anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from apportion_common.errors import ApportionError, InvalidArgument, OutOfRange

QUANTITY_PLACES: Final = 9
PRICE_PLACES: Final = 12
AMOUNT_PLACES: Final = 9
PERCENT_PLACES: Final = 4
INTEGER_DIGITS_MAX: Final = 18
SUM_INTEGER_DIGITS_MAX: Final = 29
"""Integer digits of a sum: room for 100,000,000,000 of the largest amounts or quantities, with the same places."""
DECIMAL_CHARS_MAX: Final = 64
"""Longest text that is looked at: parsing of hostile input stays bounded, long before a huge int is built."""

_POW10: Final[tuple[int, ...]] = tuple(10**n for n in range(64))
_HALF: Final[tuple[int, ...]] = tuple(p // 2 for p in _POW10)
_TEXT: Final = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,60}))?")
_FAST_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class DecimalKind:
    """A kind of number: its name in messages, its places, the reasons of a rejection, and its integer digits."""

    name: str
    places: int
    malformed: str
    out_of_range: str
    too_precise: str
    integer_digits: int = INTEGER_DIGITS_MAX


QUANTITY: Final = DecimalKind(
    "quantity", QUANTITY_PLACES, "QUANTITY_MALFORMED", "QUANTITY_OUT_OF_RANGE", "QUANTITY_TOO_PRECISE"
)
PRICE: Final = DecimalKind("price", PRICE_PLACES, "PRICE_MALFORMED", "PRICE_OUT_OF_RANGE", "PRICE_TOO_PRECISE")
AMOUNT: Final = DecimalKind("amount", AMOUNT_PLACES, "AMOUNT_MALFORMED", "AMOUNT_OUT_OF_RANGE", "AMOUNT_TOO_PRECISE")
PERCENT: Final = DecimalKind(
    "percent", PERCENT_PLACES, "PERCENT_MALFORMED", "PERCENT_OUT_OF_RANGE", "PERCENT_TOO_PRECISE"
)

QUANTITY_MAX: Final = _POW10[INTEGER_DIGITS_MAX + QUANTITY_PLACES] - 1
"""Largest quantity as a scaled int (18 + 9 digits, spec 02 rule 1)."""
AMOUNT_MAX: Final = _POW10[INTEGER_DIGITS_MAX + AMOUNT_PLACES] - 1
"""Largest amount as a scaled int (18 + 9 digits, spec 02 rule 1)."""

QUANTITY_SUM: Final = replace(QUANTITY, name="sum of quantities", integer_digits=SUM_INTEGER_DIGITS_MAX)
"""What quantities add up to: of a period, an invoice, a report."""
AMOUNT_SUM: Final = replace(AMOUNT, name="sum of amounts", integer_digits=SUM_INTEGER_DIGITS_MAX)
"""What amounts add up to: balances, invoices, statements."""
QUANTITY_SUM_MAX: Final = _POW10[SUM_INTEGER_DIGITS_MAX + QUANTITY_PLACES] - 1
"""Largest sum of quantities as a scaled int (29 + 9 digits, the width of its columns)."""
AMOUNT_SUM_MAX: Final = _POW10[SUM_INTEGER_DIGITS_MAX + AMOUNT_PLACES] - 1
"""Largest sum of amounts as a scaled int (29 + 9 digits, the width of its columns)."""


SUM_DIGITS_MAX: Final = SUM_INTEGER_DIGITS_MAX + PRICE_PLACES
"""Digits that a decimal context needs so that sums of Decimals are exact; Python's own has 28."""


def parse_scaled(text: str, kind: DecimalKind) -> int:
    """Return the decimal string `text` as an int scaled by `kind.places`.

    Takes ASCII digits with an optional sign, point and exponent (`1`, `-1.50`, `2e3`). Leading and trailing zeros do
    not count. Raises InvalidArgument (malformed, too precise) or OutOfRange (more integer digits than its kind has).
    """
    if len(text) <= _FAST_DIGITS and text.isascii() and text.isdigit():
        return int(text) * _POW10[kind.places]
    if len(text) > DECIMAL_CHARS_MAX:
        raise _rejection(InvalidArgument, kind.malformed, kind, text, f"is longer than {DECIMAL_CHARS_MAX} characters")
    match = _TEXT.fullmatch(text)
    if match is None:
        raise _rejection(InvalidArgument, kind.malformed, kind, text, "is not a decimal number")
    sign, whole, fraction, exponent = match.groups()
    fraction = fraction or ""
    return _scaled(sign == "-", whole + fraction, int(exponent or 0) - len(fraction), kind, text)


def _scaled(negative: bool, digits: str, power: int, kind: DecimalKind, text: str) -> int:
    """Return `digits` x 10**`power` as a scaled int; nothing larger than the limits is ever built."""
    significant = digits.lstrip("0")
    stripped = significant.rstrip("0")
    if not stripped:
        return 0
    power += len(significant) - len(stripped)
    if len(stripped) + power > kind.integer_digits:
        raise _rejection(
            OutOfRange, kind.out_of_range, kind, text, f"has more than {kind.integer_digits} integer digits"
        )
    if -power > kind.places:
        raise _rejection(InvalidArgument, kind.too_precise, kind, text, f"has more than {kind.places} decimal places")
    value = int(stripped) * _POW10[kind.places + power]
    return -value if negative else value


def check_scaled(value: int, kind: DecimalKind) -> int:
    """Return `value` itself, a scaled int that was not parsed; OutOfRange beyond its kind's integer digits."""
    limit = _POW10[kind.integer_digits + kind.places]
    if not -limit < value < limit:
        raise OutOfRange(kind.out_of_range, f"The {kind.name} has more than {kind.integer_digits} integer digits.")
    return value


def to_scaled(value: Decimal, kind: DecimalKind) -> int:
    """Return the Decimal as a scaled int, exactly. Raises as `parse_scaled`; NaN and Infinity are malformed."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise InvalidArgument(kind.malformed, f"The {kind.name} is not a finite number.")
    if len(digits) > DECIMAL_CHARS_MAX:
        raise InvalidArgument(kind.malformed, f"The {kind.name} has more than {DECIMAL_CHARS_MAX} digits.")
    text = "".join(map(str, digits))
    return _scaled(sign == 1, text, exponent, kind, f"{text}E{exponent}")


def from_scaled(value: int, places: int) -> Decimal:
    """Return the exact Decimal of a scaled int, with exactly `places` places, whatever the decimal context."""
    return Decimal(f"{value}E-{places}")


def format_scaled(value: int, places: int) -> str:
    """Return the canonical text of a scaled int: no exponent, no trailing zeros, zero is `0`."""
    whole, rest = divmod(abs(value), _POW10[places])
    sign = "-" if value < 0 else ""
    if rest == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:0{places}d}".rstrip("0")


def format_fixed(value: int, places: int) -> str:
    """Return the text of a scaled int with exactly `places` places, as statements and invoices show it."""
    whole, rest = divmod(abs(value), _POW10[places])
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{rest:0{places}d}" if places else f"{sign}{whole}"


def format_decimal(value: Decimal) -> str:
    """Return the canonical text of a finite Decimal: no exponent, no trailing zeros, `-0` is `0`. For values inside the
    limits.
    """
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def round_half_away(numerator: int, pow10: int) -> int:
    """Return `numerator` / 10**`pow10`, rounded half away from zero, exactly (spec 02 rule 1)."""
    if numerator < 0:
        return -((_HALF[pow10] - numerator) // _POW10[pow10])
    return (numerator + _HALF[pow10]) // _POW10[pow10]


def round_half_away_to_multiple(value: int, unit: int) -> int:
    """Return the multiple of `unit` (even and positive, or 1) nearest to `value`, a half away from zero."""
    if value < 0:
        return -((unit // 2 - value) // unit * unit)
    return (value + unit // 2) // unit * unit


def _rejection(error: type[ApportionError], reason: str, kind: DecimalKind, text: str, why: str) -> ApportionError:
    return error(reason, f"The {kind.name} {text[:DECIMAL_CHARS_MAX]!r} {why}.")
