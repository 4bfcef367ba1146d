"""What a weekly sweep does for a partner and currency (spec 02 rule 4). Amounts are ints scaled by 9 places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

from apportion_common.ids import uuid5_bytes

from apportion_ledger.domain.payouts import PayoutState, sweep_payout
from apportion_ledger.domain.weeks import Week

CARRIED_REASONS: Final = {
    PayoutState.PAID: "",
    PayoutState.OTHER_CURRENCY: "NOT_PAYOUT_CURRENCY",
    PayoutState.HELD: "HELD",
    PayoutState.NEGATIVE_BALANCE: "NEGATIVE",
    PayoutState.ROUNDS_TO_ZERO: "BELOW_MINOR_UNIT",
    PayoutState.BELOW_MINIMUM: "BELOW_MINIMUM",
    PayoutState.ABOVE_MAXIMUM: "ABOVE_PAYOUT_MAX",
}
"""Why a balance, or what is left of it, is carried, as the contract says it."""


class SweepBalance(NamedTuple):
    """What a sweep finds for a partner and currency."""

    partner_id: UUID
    currency: str
    balance: int
    payout_currency: str
    held: bool


class SweepOutcome(NamedTuple):
    """What a sweep did for a partner and currency; `settlement_id` None and a reason where nothing was paid.

    With a payout and a reason, the rest is carried.
    """

    partner_id: UUID
    currency: str
    balance: int
    paid: int
    settlement_id: UUID | None
    carried_reason: str


def sweep_balance(week: Week, found: SweepBalance, minimums: Mapping[str, int]) -> SweepOutcome:
    """Decide a balance: its whole minor units under an id of week, partner and currency, or why it is carried.

    `minimums`: least payout by currency; none where a currency is absent.
    """
    payout = sweep_payout(
        currency=found.currency,
        balance=found.balance,
        payout_currency=found.payout_currency,
        held=found.held,
        minimum=minimums.get(found.currency, 0),
    )
    settlement_id = None
    if payout.amount:
        name = f"sweep:{week.key}:{found.currency}".encode()
        settlement_id = UUID(bytes=uuid5_bytes(found.partner_id.bytes, name))
    carried_reason = CARRIED_REASONS[payout.state] if found.balance else ""
    return SweepOutcome(found.partner_id, found.currency, found.balance, payout.amount, settlement_id, carried_reason)
