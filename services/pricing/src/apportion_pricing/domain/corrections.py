"""What a correction may take back: what was charged, and never more (spec 08 choice 15).

Prices may change within a period, so that what usage costs when it is taken back is not what it was charged at.
"""

from __future__ import annotations

from typing import Final

from apportion_common.decimals import AMOUNT_MAX

from apportion_pricing.domain.rejections import AMOUNT_OUT_OF_RANGE, Rejection, RejectionReason

CORRECTION_EXCEEDS_CHARGED: Final = Rejection(
    RejectionReason.CORRECTION_EXCEEDS_CHARGED,
    "At the prices of its time the correction takes back more than the period was charged so far, and usage remains:"
    " date it as the usage that it corrects.",
)


def corrected_amount(charged: int, after: int, amount: int) -> int | Rejection:
    """Return the amount of a correction, or why it is rejected.

    `charged` is the sum of the position's charges before it, `after` the usage that it leaves and `amount` what that
    comes to at the prices of its time, amounts scaled by 9 places. Where nothing remains used, nothing remains charged.
    """
    if after == 0:
        return -charged if -AMOUNT_MAX <= charged <= AMOUNT_MAX else AMOUNT_OUT_OF_RANGE
    return CORRECTION_EXCEEDS_CHARGED if charged + amount < 0 else amount
