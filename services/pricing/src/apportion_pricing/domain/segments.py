"""Segments of event time in which everything that rating needs of an organisation and SKU stays the same.

Resolving terms costs microseconds for each value; an event in a known segment costs a comparison. A segment holds
under one catalog revision and one revision of orgs, within one period.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from apportion_common.errors import OutOfRange
from apportion_common.periods import FIRST_YEAR, LAST_YEAR, period_of

from apportion_pricing.domain.accounts import AccountsView, BillingAccount, Need
from apportion_pricing.domain.catalog import Catalog
from apportion_pricing.domain.rejections import Rejection, RejectionReason
from apportion_pricing.domain.terms_index import Outcome, RateTerms


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of an organisation and SKU in [start_us, end_us)."""

    start_us: int
    end_us: int
    period: str
    """Its key; empty outside the years that periods have."""
    org_known: bool = False
    account: BillingAccount | None = None
    outcome: Outcome | None = None
    """The terms, or why there are none; None when they were not looked for."""

    @property
    def terms(self) -> RateTerms | None:
        """The terms, whether events are rejected for another reason or not."""
        return self.outcome if isinstance(self.outcome, RateTerms) else None


class _Rule(NamedTuple):
    reason: RejectionReason
    rejects: Callable[[Segment, bool], bool]
    """Whether events of the segment are rejected, its period being closed or not."""
    detail: Callable[[Segment], str]


REJECTIONS: Final = (
    _Rule(
        RejectionReason.PROCESSING_FAILED,
        lambda segment, _: not segment.period,
        lambda _: f"Times lie in the years {FIRST_YEAR} to {LAST_YEAR}, UTC.",
    ),
    _Rule(
        RejectionReason.UNKNOWN_ORG,
        lambda segment, _: not segment.org_known,
        lambda _: "There is no organisation with that id.",
    ),
    _Rule(
        RejectionReason.UNKNOWN_SKU,
        lambda segment, _: segment.outcome is RejectionReason.UNKNOWN_SKU,
        lambda _: "The SKU is not in the catalog.",
    ),
    _Rule(
        RejectionReason.NO_ENTITLEMENT,
        lambda segment, _: segment.outcome is RejectionReason.NO_ENTITLEMENT,
        lambda _: "The organisation has no plan at that time, or the SKU is not in its plan.",
    ),
    _Rule(
        RejectionReason.NO_ENTITLEMENT,
        lambda segment, _: segment.account is None,
        lambda _: "The organisation is mapped to no billing account at that time.",
    ),
    _Rule(
        RejectionReason.PROCESSING_FAILED,
        lambda segment, _: _currency_of_plan(segment) != _currency_of_account(segment),
        lambda segment: (
            f"The plan is in {_currency_of_plan(segment)}, the billing account in {_currency_of_account(segment)}."
        ),
    ),
    _Rule(
        RejectionReason.PERIOD_CLOSED,
        lambda _, closed: closed,
        lambda segment: f"The period {segment.period} is closed.",
    ),
)
"""Why an event is rejected whatever its quantity, in the order in which the reasons count (spec 08 choice 8).

After these come the charge model's own reasons, which depend on the quantity.
"""


def into_closed(period: str, into_period: str) -> Rejection:
    """Return why a late event is rejected: its period is closed, and so is the one that was to bill it."""
    return Rejection(
        RejectionReason.PERIOD_CLOSED,
        f"The period {period} is closed, and so is {into_period}, which was to bill the event.",
    )


def rejection_of(segment: Segment, closed: bool) -> Rejection | None:
    """Return why events of the segment are rejected, its period being closed or not; None when they are charged."""
    for rule in REJECTIONS:
        if rule.rejects(segment, closed):
            return Rejection(rule.reason, rule.detail(segment))
    return None


def needs_of(catalog: Catalog, org_id: bytes, at_us: int) -> list[Need]:
    """Return what must be known of orgs to resolve an event: its account then, and when its period's structure was
    fixed. Nothing for an instant outside the years that periods have.
    """
    try:
        start_us = period_of(at_us).start_us
    except OutOfRange:
        return []
    fixed_at_us = catalog.index.structure_instant(org_id, start_us)
    return [(org_id, at_us)] if fixed_at_us is None else [(org_id, at_us), (org_id, fixed_at_us)]


def segment_at(catalog: Catalog, accounts: AccountsView, org_id: bytes, sku: str, at_us: int) -> Segment:
    """Return the segment that an event of `org_id` and `sku` at `at_us` falls in; `accounts` answers its needs."""
    try:
        period = period_of(at_us)
    except OutOfRange:
        return Segment(at_us, at_us + 1, "")
    interval = accounts.find(org_id, at_us)
    assert interval is not None
    if not interval.org_known:
        return Segment(period.start_us, period.end_us, period.key)
    account = interval.account
    fixed_at_us = catalog.index.structure_instant(org_id, period.start_us)
    fixed = accounts.find(org_id, fixed_at_us) if fixed_at_us is not None else None
    outcome, from_us, until_us = catalog.index.segment(
        org_id,
        account.account_id if account else None,
        fixed.account.account_id if fixed is not None and fixed.account is not None else None,
        sku,
        at_us,
        period.start_us,
    )
    start_us, end_us = max(period.start_us, interval.start_us), min(period.end_us, interval.end_us)
    return Segment(
        start_us if from_us is None else max(start_us, from_us),
        end_us if until_us is None else min(end_us, until_us),
        period.key,
        interval.org_known,
        account,
        outcome,
    )


def _currency_of_plan(segment: Segment) -> str:
    return segment.terms.currency if segment.terms is not None else ""


def _currency_of_account(segment: Segment) -> str:
    return segment.account.currency if segment.account is not None else ""
