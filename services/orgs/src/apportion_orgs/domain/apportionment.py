"""Apportionment of a total to parts by largest remainder over whole minor units (spec 08 choice 1)."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.decimals import round_half_away_to_multiple


def apportion(amounts: Sequence[int], unit: int) -> tuple[int, list[int]]:
    """Return the rounded total of `amounts` and their parts, which sum to it exactly.

    Amounts are scaled ints at 9 places, in declared order; `unit` is one minor unit at 9 places. The total is the sum,
    rounded once, half away from zero. Each part is its amount cut towards zero to whole units; the missing units go to
    the largest remainders, ties by declared order. All amounts negated make all parts negated, and each part is less
    than one unit away from its amount.
    """
    total = round_half_away_to_multiple(sum(amounts), unit)
    return total, apportion_to(total, amounts, unit)


def apportion_to(total: int, amounts: Sequence[int], unit: int) -> list[int]:
    """Return the parts of `amounts` that sum to a given total of whole units, by the same rule.

    The total is less than one unit away from the sum of the amounts: an invoice's total, or an org's part of it.
    """
    remainders = [amount % unit if amount >= 0 else -(-amount % unit) for amount in amounts]
    parts = [amount - rest for amount, rest in zip(amounts, remainders, strict=True)]
    missing = (total - sum(parts)) // unit
    sign = 1 if missing > 0 else -1
    for index in sorted(range(len(parts)), key=lambda i: -sign * remainders[i])[: abs(missing)]:
        parts[index] += sign * unit
    return parts
