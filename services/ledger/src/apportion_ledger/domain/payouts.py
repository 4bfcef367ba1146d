"""What is paid to partners: at once for a large line, weekly for the rest (spec 02 rules 1, 3 and 4).

Amounts are scaled ints at 9 places. A payable balance is earned - clawed back - paid, per partner and currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apportion_common.decimals import AMOUNT, parse_scaled
from apportion_common.errors import InvalidArgument
from apportion_common.money import floor_to_minor, minor_decimals

from apportion_ledger.domain.kinds import PRICED_KINDS
from apportion_ledger.limits import PAYOUT_AMOUNT_MAX


class PayoutState(StrEnum):
    """Why an amount was paid, or why it waits."""

    PAID = "paid"
    NO_PARTNER = "no_partner"
    KIND_NOT_PAID = "kind_not_paid"
    NO_THRESHOLD = "no_threshold"
    BELOW_THRESHOLD = "below_threshold"
    OTHER_CURRENCY = "other_currency"
    HELD = "held"
    NEGATIVE_BALANCE = "negative_balance"
    ROUNDS_TO_ZERO = "rounds_to_zero"
    BELOW_MINIMUM = "below_minimum"
    ABOVE_MAXIMUM = "above_maximum"


@dataclass(frozen=True, slots=True)
class Payout:
    """A decision: what is paid (whole minor units, 0 if it waits) and why, or why not all of it."""

    amount: int
    state: PayoutState


_WAITS: Final = {
    state: Payout(0, state) for state in PayoutState if state not in (PayoutState.PAID, PayoutState.ABOVE_MAXIMUM)
}


def parse_thresholds(settings: Mapping[str, str]) -> dict[str, int]:
    """Return the thresholds by currency from their settings, at 9 places.

    Raises InvalidArgument CURRENCY_UNKNOWN, THRESHOLD_NOT_POSITIVE, AMOUNT_MALFORMED or AMOUNT_TOO_PRECISE, OutOfRange
    AMOUNT_OUT_OF_RANGE: the service must not start with them.
    """
    thresholds = {}
    for currency, text in settings.items():
        minor_decimals(currency)
        thresholds[currency] = parse_scaled(text, AMOUNT)
        if thresholds[currency] <= 0:
            raise InvalidArgument("THRESHOLD_NOT_POSITIVE", f"The real-time threshold of {currency} is above zero.")
    return thresholds


def real_time_payout(
    *,
    kind: str,
    currency: str,
    gross: int,
    share: int,
    balance_before: int,
    payout_currency: str | None,
    held: bool,
    thresholds: Mapping[str, int],
) -> Payout:
    """Decide what is paid for a line when it is written: its whole share cut to the minor unit, or nothing.

    `balance_before` is the partner's balance in the line's currency before the line: at zero it pays, below zero the
    sweep nets (spec 08 choice 2). `payout_currency` is None without a partner. `held` is a dispute, or a hold of the
    partner; reversals and adjustments are never paid. The threshold is compared with the unrounded gross.
    """
    threshold = thresholds.get(currency)
    if threshold is None:
        return _WAITS[PayoutState.NO_THRESHOLD]
    if gross < threshold:
        return _WAITS[PayoutState.BELOW_THRESHOLD]
    if payout_currency is None:
        return _WAITS[PayoutState.NO_PARTNER]
    if kind not in PRICED_KINDS:
        return _WAITS[PayoutState.KIND_NOT_PAID]
    if currency != payout_currency:
        return _WAITS[PayoutState.OTHER_CURRENCY]
    if held:
        return _WAITS[PayoutState.HELD]
    if balance_before < 0:
        return _WAITS[PayoutState.NEGATIVE_BALANCE]
    amount = floor_to_minor(share, currency)
    return Payout(amount, PayoutState.PAID) if amount > 0 else _WAITS[PayoutState.ROUNDS_TO_ZERO]


def sweep_payout(*, currency: str, balance: int, payout_currency: str, held: bool = False, minimum: int = 0) -> Payout:
    """Decide what a weekly sweep pays of a balance: cut to the minor unit; the rest and a negative balance are carried.

    `balance` is that of the lines whose events were before the week's end, less their real-time payouts and all that
    earlier sweeps paid. `minimum` is the least payout, 0 for none. Of a balance beyond PAYOUT_AMOUNT_MAX that much is
    paid, and the rest carried.
    """
    if currency != payout_currency:
        return _WAITS[PayoutState.OTHER_CURRENCY]
    if held:
        return _WAITS[PayoutState.HELD]
    if balance < 0:
        return _WAITS[PayoutState.NEGATIVE_BALANCE]
    amount = floor_to_minor(min(balance, PAYOUT_AMOUNT_MAX), currency)
    if amount == 0:
        return _WAITS[PayoutState.ROUNDS_TO_ZERO]
    if balance > PAYOUT_AMOUNT_MAX:
        return Payout(amount, PayoutState.ABOVE_MAXIMUM)
    return Payout(amount, PayoutState.PAID) if amount >= minimum else _WAITS[PayoutState.BELOW_MINIMUM]
