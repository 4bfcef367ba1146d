"""Money: ISO 4217 currencies with their minor units, and exact cutting and rounding to whole minor units.

Amounts are scaled ints at 9 places (`decimals.AMOUNT_PLACES`), also after rounding: 12.34 AUD is 12_340_000_000.
"""

from __future__ import annotations

from typing import Final

from apportion_common.decimals import AMOUNT_PLACES
from apportion_common.errors import InvalidArgument

_BY_DECIMALS: Final[dict[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
          CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
          HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
          MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
          SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED
          VES WST XCD XCG YER ZAR ZMW ZWG""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_UNITS: Final[dict[str, int]] = {
    currency: decimals for decimals, names in _BY_DECIMALS.items() for currency in names.split()
}
"""Active ISO 4217 currencies and the decimals of their minor unit."""

_UNIT: Final[dict[str, int]] = {c: 10 ** (AMOUNT_PLACES - decimals) for c, decimals in MINOR_UNITS.items()}


def minor_decimals(currency: str) -> int:
    """Return the decimals of the currency's minor unit (AUD 2, JPY 0, KWD 3). InvalidArgument CURRENCY_UNKNOWN."""
    try:
        return MINOR_UNITS[currency]
    except KeyError:
        raise _unknown(currency) from None


def minor_unit(currency: str) -> int:
    """Return one minor unit of the currency as an amount at 9 places (AUD 10_000_000). InvalidArgument
    CURRENCY_UNKNOWN.
    """
    try:
        return _UNIT[currency]
    except KeyError:
        raise _unknown(currency) from None


def floor_to_minor(amount: int, currency: str) -> int:
    """Return `amount` cut towards zero to whole minor units: what is paid out, so that nobody is overpaid (spec 02
    rule 1).
    """
    unit = minor_unit(currency)
    return amount - amount % unit if amount >= 0 else amount + -amount % unit


def _unknown(currency: str) -> InvalidArgument:
    return InvalidArgument("CURRENCY_UNKNOWN", f"{currency[:16]!r} is not an active ISO 4217 currency.")
