"""Who pays what of a billing account's total: absorb, chargeback, split (spec 05, "Billing accounts and invoices")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apportion_common.decimals import PERCENT, PERCENT_PLACES, parse_scaled, round_half_away_to_multiple
from apportion_common.money import minor_unit

from apportion_orgs.domain.apportionment import apportion
from apportion_orgs.errors import percent_missing, percent_out_of_range, percent_unexpected

FULL_PERCENT: Final = 100 * 10**PERCENT_PLACES
"""100 % as a scaled int at 4 places."""


class Allocation(StrEnum):
    """How an org's part of the total is paid."""

    ABSORB = "absorb"
    CHARGEBACK = "chargeback"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class OrgUsage:
    """What an org has on the account under one allocation: the sum of its lines at 9 places, and how it is paid.

    `percent` (scaled int at 4 places) is the owner's part of a split, None otherwise.
    """

    org_id: bytes
    ledger_total: int
    allocation: Allocation
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class OrgPart:
    """An org's part of the invoice total, in whole minor units, and who pays it."""

    usage: OrgUsage
    part: int
    owner_pays: int
    org_pays: int


@dataclass(frozen=True, slots=True)
class AccountAllocation:
    """An invoice of an account: totals, the orgs' parts, payers in order (the owner first), copies not payable."""

    ledger_total: int
    invoice_total: int
    rounding_difference: int
    parts: tuple[OrgPart, ...]
    payers: tuple[tuple[bytes, int], ...]
    copies: tuple[tuple[bytes, int], ...]


def check_percent(allocation: Allocation, percent: str | None) -> int | None:
    """Return the percent of a mapping as a scaled int: 0 to 100 with at most 4 decimals for split, none for the others.

    Raises InvalidArgument ALLOCATION_PERCENT_MISSING, ALLOCATION_PERCENT_UNEXPECTED, OutOfRange PERCENT_OUT_OF_RANGE.
    """
    if allocation is not Allocation.SPLIT:
        if percent is not None:
            raise percent_unexpected(allocation)
        return None
    if percent is None:
        raise percent_missing()
    scaled = parse_scaled(percent, PERCENT)
    if not 0 <= scaled <= FULL_PERCENT:
        raise percent_out_of_range()
    return scaled


def allocate(owner_id: bytes, currency: str, usages: Sequence[OrgUsage]) -> AccountAllocation:
    """Return the invoice total of an account, and who pays what of it.

    `usages` has the orgs that have lines, in declared order (of their mapping rows); an org may stand there more than
    once. Of a split part the owner pays round(part x percent), half away from zero, the org the rest: the payers
    together pay exactly the total. The owner is a payer unless nothing falls to it, an org unless it pays zero of each
    part.
    """
    unit = minor_unit(currency)
    ledger_total = sum(usage.ledger_total for usage in usages)
    invoice_total, apportioned = apportion([usage.ledger_total for usage in usages], unit)
    parts = []
    for usage, part in zip(usages, apportioned, strict=True):
        owner_pays = part
        if usage.allocation is Allocation.SPLIT:
            if usage.percent is None:
                raise percent_missing()
            # Rounded once: part x percent is exact in millionths of an amount's last place, and so is the minor unit.
            owner_pays = round_half_away_to_multiple(part * usage.percent, unit * FULL_PERCENT) // FULL_PERCENT
        parts.append(OrgPart(usage, part, owner_pays, part - owner_pays))
    payers: dict[bytes, int] = {}
    owners = [part.owner_pays for part in parts]
    if any(owners):
        payers[owner_id] = sum(owners)
    for share in parts:
        if share.org_pays:
            payers[share.usage.org_id] = payers.get(share.usage.org_id, 0) + share.org_pays
    copies: dict[bytes, int] = {}
    for share in parts:
        if share.usage.allocation is Allocation.CHARGEBACK:
            copies[share.usage.org_id] = copies.get(share.usage.org_id, 0) + share.part
    return AccountAllocation(
        ledger_total=ledger_total,
        invoice_total=invoice_total,
        rounding_difference=invoice_total - ledger_total,
        parts=tuple(parts),
        payers=tuple(payers.items()),
        copies=tuple(copies.items()),
    )
