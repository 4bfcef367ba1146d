"""Between the contracts' well-known messages and our own numbers, instants and ids; exact both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal as DecimalMessage
from google.type.money_pb2 import Money as MoneyMessage

from apportion_common import decimals
from apportion_common.decimals import DecimalKind
from apportion_common.errors import ApportionError, InvalidArgument, OutOfRange
from apportion_common.money import minor_decimals

_NANOS: Final = 1_000_000_000
_US_PER_S: Final = 1_000_000
TIMESTAMP_S_MIN: Final = -62_135_596_800
"""0001-01-01T00:00:00Z, the first instant that a Timestamp may hold, in seconds since 1970."""
TIMESTAMP_S_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that a Timestamp may hold, in seconds since 1970."""

_KIND_OF_PLACES: Final = {
    decimals.AMOUNT_PLACES: decimals.AMOUNT,
    decimals.PRICE_PLACES: decimals.PRICE,
    decimals.PERCENT_PLACES: decimals.PERCENT,
}
_SUM_KINDS: Final = {decimals.QUANTITY: decimals.QUANTITY_SUM, decimals.AMOUNT: decimals.AMOUNT_SUM}
MONEY_MAX: Final = 2**63 * _NANOS - 1
"""Largest amount, scaled by 9 places, that a Money holds in its 64 bits of units: limit of what is paid or billed at
once, and of no balance or report."""
_QUANTITY_WORDS: Final = ("quantity", "qty")


def kind_of(places: int, field: str) -> DecimalKind:
    """Return the kind of number that a field holds, by its places; quantities and amounts share theirs and differ
    by name.
    """
    if places == decimals.QUANTITY_PLACES and any(word in field.rsplit(".", 1)[-1] for word in _QUANTITY_WORDS):
        return decimals.QUANTITY
    return _KIND_OF_PLACES[places]


def to_scaled(value: DecimalMessage, places: int, field: str) -> int:
    """Return the Decimal of the request field as an int scaled by `places` (9 quantity or amount, 12 price, 4 percent).

    Raises InvalidArgument or OutOfRange with the reasons of its kind, naming the field.
    """
    return _parsed(value, kind_of(places, field), field)


def sum_to_scaled(value: DecimalMessage, places: int, field: str) -> int:
    """Return what `to_scaled` does of a field that holds a sum of quantities or amounts, which has more digits."""
    return _parsed(value, _SUM_KINDS[kind_of(places, field)], field)


def scaled_to_decimal_proto(value: int, places: int) -> DecimalMessage:
    """Return the canonical Decimal message of an int scaled by `places`."""
    return DecimalMessage(value=decimals.format_scaled(value, places))


def money_to_proto(currency: str, scaled9: int) -> MoneyMessage:
    """Return the Money message of an amount scaled by 9 places; units and nanos carry the same sign.

    Raises OutOfRange AMOUNT_OUT_OF_RANGE beyond MONEY_MAX.
    """
    if not -MONEY_MAX <= scaled9 <= MONEY_MAX:
        raise OutOfRange("AMOUNT_OUT_OF_RANGE", f"An amount of {currency} is beyond what a Money holds.")
    units, nanos = divmod(abs(scaled9), _NANOS)
    sign = -1 if scaled9 < 0 else 1
    return MoneyMessage(currency_code=currency, units=sign * units, nanos=sign * nanos)


def money_sum_to_proto(currency: str, scaled9: int) -> MoneyMessage | None:
    """Return the Money message of a sum; None beyond MONEY_MAX, where a Decimal beside it says what it is."""
    return money_to_proto(currency, scaled9) if -MONEY_MAX <= scaled9 <= MONEY_MAX else None


def money_from_proto(value: MoneyMessage, field: str) -> tuple[str, int]:
    """Return the currency and amount, scaled by 9 places, of a Money message.

    Raises InvalidArgument CURRENCY_UNKNOWN, or MONEY_MALFORMED when units and nanos disagree in sign or nanos is
    not below 10^9, and OutOfRange AMOUNT_OUT_OF_RANGE beyond 18 integer digits.
    """
    try:
        minor_decimals(value.currency_code)
        if not -_NANOS < value.nanos < _NANOS:
            raise InvalidArgument("MONEY_MALFORMED", f"The nanos of {field} must lie between -999999999 and 999999999.")
        if value.units * value.nanos < 0:
            raise InvalidArgument("MONEY_MALFORMED", f"The units and nanos of {field} must have the same sign.")
        return value.currency_code, decimals.check_scaled(value.units * _NANOS + value.nanos, decimals.AMOUNT)
    except ApportionError as error:
        error.field = field
        raise


def _parsed(value: DecimalMessage, kind: DecimalKind, field: str) -> int:
    try:
        return decimals.parse_scaled(value.value, replace(kind, name=field))
    except ApportionError as error:
        error.field = field
        raise


def timestamp_to_us(value: Timestamp, field: str) -> int:
    """Return the instant in microseconds since 1970 UTC; what is finer is cut off, towards the past.

    Raises InvalidArgument TIME_MALFORMED for nanos outside 0 to 999,999,999 and OutOfRange TIME_OUT_OF_RANGE outside
    the years 1 to 9999.
    """
    if not 0 <= value.nanos < _NANOS:
        raise InvalidArgument("TIME_MALFORMED", f"The nanos of {field} must lie between 0 and 999999999.", field=field)
    if not TIMESTAMP_S_MIN <= value.seconds <= TIMESTAMP_S_MAX:
        raise OutOfRange("TIME_OUT_OF_RANGE", f"{field} must lie in the years 1 to 9999.", field=field)
    return value.seconds * _US_PER_S + value.nanos // 1000


def us_to_timestamp(value_us: int) -> Timestamp:
    """Return the Timestamp of an instant in microseconds since 1970 UTC."""
    seconds, rest_us = divmod(value_us, _US_PER_S)
    return Timestamp(seconds=seconds, nanos=rest_us * 1000)


def pack_int(value: int) -> bytes:
    """Return the big-endian two's complement of any int, in the fewest bytes, at least one."""
    bits = value.bit_length() if value >= 0 else (~value).bit_length()
    return value.to_bytes(bits // 8 + 1, "big", signed=True)


def unpack_int(raw: bytes) -> int:
    """Return the int of its big-endian two's complement; InvalidArgument INTEGER_EMPTY for no bytes."""
    if not raw:
        raise InvalidArgument("INTEGER_EMPTY", "An integer has at least one byte.")
    return int.from_bytes(raw, "big", signed=True)


def uuid_text(raw: bytes) -> str:
    """Return the lower-case hyphenated text of a UUID's 16 bytes. InvalidArgument ID_MALFORMED for any other length."""
    if len(raw) != 16:
        raise InvalidArgument("ID_MALFORMED", f"An id has 16 bytes, not {len(raw)}.")
    return str(UUID(bytes=raw))
