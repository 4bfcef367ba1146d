"""Currencies and whole minor units."""

from __future__ import annotations

import iso4217
import pytest
from apportion_common.errors import InvalidArgument
from apportion_common.money import (
    MINOR_UNITS,
    floor_to_minor,
    minor_decimals,
    minor_unit,
)
from hypothesis import given
from hypothesis import strategies as st

AMOUNTS = st.integers(-(10**27) + 1, 10**27 - 1)
CURRENCIES = st.sampled_from(["AUD", "JPY", "KWD", "CLF"])


@pytest.mark.parametrize(("currency", "decimals"), [("AUD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("EUR", 2)])
def test_a_currency_has_the_decimals_of_its_minor_unit(currency: str, decimals: int) -> None:
    assert minor_decimals(currency) == decimals
    assert minor_unit(currency) == 10 ** (9 - decimals)


@pytest.mark.parametrize("currency", ["", "aud", "XXX", "XAU", "BTC", "AUD ", "A" * 10_000])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    for ask in (minor_decimals, minor_unit):
        with pytest.raises(InvalidArgument) as refused:
            ask(currency)
        assert refused.value.reason == "CURRENCY_UNKNOWN"


def test_every_currency_is_three_capitals() -> None:
    assert all(len(c) == 3 and c.isascii() and c.isupper() for c in MINOR_UNITS)
    assert len(MINOR_UNITS) > 150


def test_the_table_is_the_standards_own_but_for_what_nobody_is_billed_in() -> None:
    """The package holds the table that the standard's maintenance agency publishes.

    Left out on purpose: what the standard gives no minor unit (metals, bond market units, the units of account of the
    IMF, of ALBA and of the African Development Bank, the codes for testing and for no currency), because no amount of
    it can be cut to what is paid; and the Arab Accounting Dinar, in which central banks settle and nobody pays.
    """
    published = {currency.code: currency.exponent for currency in iso4217.Currency}
    without_minor_unit = {code for code, decimals in published.items() if decimals is None}
    unit_of_central_banks = {"XAD"}
    assert without_minor_unit == {
        *("XAG", "XAU", "XPD", "XPT"),
        *("XBA", "XBB", "XBC", "XBD"),
        *("XDR", "XSU", "XUA"),
        *("XTS", "XXX"),
    }
    left_out = without_minor_unit | unit_of_central_banks
    assert {code: decimals for code, decimals in published.items() if code not in left_out} == MINOR_UNITS


@given(AMOUNTS, CURRENCIES)
def test_cutting_goes_towards_zero_by_less_than_a_unit(amount: int, currency: str) -> None:
    cut, unit = floor_to_minor(amount, currency), minor_unit(currency)
    assert cut % unit == 0
    assert abs(cut) <= abs(amount) < abs(cut) + unit
    assert floor_to_minor(-amount, currency) == -cut


def test_less_than_a_unit_is_cut_to_nothing() -> None:
    assert floor_to_minor(9_999_999, "AUD") == 0
    assert floor_to_minor(-9_999_999, "AUD") == 0
