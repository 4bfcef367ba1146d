"""Stretches of event time in which everything that rating needs of an organisation and SKU stays the same.

Resolving terms costs microseconds for each value; an event in a stretch that is known costs a comparison. A stretch
holds under one catalog revision and one revision of orgs, within one period.
"""

from __future__ import annotations

from apportion_common.errors import OutOfRange

from apportion_pricing.app.accounts import AccountsView, Need
from apportion_pricing.app.catalog_cache import Catalog
from apportion_pricing.app.ports import BillingAccount, PositionKey
from apportion_pricing.domain.periods import period_of
from apportion_pricing.domain.rating import Refusal
from apportion_pricing.domain.terms import RateTerms

UNKNOWN_ORG = "UNKNOWN_ORG"
PERIOD_CLOSED = "PERIOD_CLOSED"
PROCESSING_FAILED = "PROCESSING_FAILED"

_DETAILS = {
    Refusal.UNKNOWN_SKU: "The SKU is not in the catalog.",
    Refusal.NO_ENTITLEMENT: "The organisation has no plan at that time, or the SKU is not in its plan.",
}


class Position:
    """How much of a period an organisation has used of a SKU; `quantity` is None until it is read."""

    __slots__ = ("key", "quantity")

    def __init__(self, key: PositionKey) -> None:
        self.key = key
        self.quantity: int | None = None


class Refused:
    """Why nothing in the stretch can be charged."""

    __slots__ = ("detail", "reason")

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail


class Effective:
    """What holds for an organisation and SKU in [start_us, end_us): the account and the terms, or a refusal.

    A refusal by the account alone (none, or one in another currency) leaves the terms that would apply in `resolved`.
    """

    __slots__ = ("account", "end_us", "period", "refused", "resolved", "start_us")

    def __init__(
        self,
        start_us: int,
        end_us: int,
        period: str,
        account: BillingAccount | None,
        terms: RateTerms | None,
        refused: Refused | None,
    ) -> None:
        self.start_us = start_us
        self.end_us = end_us
        self.period = period
        self.account = account
        self.resolved = terms
        self.refused = refused

    @property
    def terms(self) -> RateTerms | None:
        """The terms that events are charged by; None when they are refused."""
        return self.resolved if self.refused is None else None


def needs_of(catalog: Catalog, org_id: bytes, at_us: int) -> list[Need]:
    """What must be known of orgs to resolve an event: its account then, and when its period's structure was fixed.

    Gives nothing for an instant outside the years that periods have.
    """
    try:
        start_us = period_of(at_us).start_us
    except OutOfRange:
        return []
    fixed_at_us = catalog.book.structure_instant(org_id, start_us)
    return [(org_id, at_us)] if fixed_at_us is None else [(org_id, at_us), (org_id, fixed_at_us)]


def effective_at(catalog: Catalog, accounts: AccountsView, org_id: bytes, sku: str, at_us: int) -> Effective:
    """Resolve the stretch that an event of `org_id` and `sku` at `at_us` falls in; `accounts` answers its needs.

    Refusals in order: UNKNOWN_ORG, UNKNOWN_SKU, NO_ENTITLEMENT (spec 08 choice 8; an organisation that is mapped to no
    account at the time counts among these), and PROCESSING_FAILED where plan and account disagree in currency.
    """
    try:
        period = period_of(at_us)
    except OutOfRange as error:
        return Effective(at_us, at_us + 1, "", None, None, Refused(PROCESSING_FAILED, error.message))
    start_us, end_us = period.start_us, period.end_us
    interval = accounts.find(org_id, at_us)
    assert interval is not None
    if not interval.org_known:
        refused = Refused(UNKNOWN_ORG, "There is no organisation with that id.")
        return Effective(start_us, end_us, period.key, None, None, refused)
    start_us, end_us = max(start_us, interval.start_us), min(end_us, interval.end_us)
    account = interval.account
    fixed_at_us = catalog.book.structure_instant(org_id, period.start_us)
    fixed = accounts.find(org_id, fixed_at_us) if fixed_at_us is not None else None
    outcome, holds_from_us, holds_until_us = catalog.book.segment(
        org_id,
        account.account_id if account else None,
        fixed.account.account_id if fixed is not None and fixed.account is not None else None,
        sku,
        at_us,
        period.start_us,
    )
    if holds_from_us is not None:
        start_us = max(start_us, holds_from_us)
    if holds_until_us is not None:
        end_us = min(end_us, holds_until_us)
    if isinstance(outcome, Refusal):
        refused = Refused(outcome.value, _DETAILS[outcome])
        return Effective(start_us, end_us, period.key, account, None, refused)
    if account is None:
        refused = Refused(
            Refusal.NO_ENTITLEMENT.value, "The organisation is mapped to no billing account at that time."
        )
        return Effective(start_us, end_us, period.key, None, outcome, refused)
    if account.currency != outcome.currency:
        refused = Refused(
            PROCESSING_FAILED, f"The plan is in {outcome.currency}, the billing account in {account.currency}."
        )
        return Effective(start_us, end_us, period.key, account, outcome, refused)
    return Effective(start_us, end_us, period.key, account, outcome, None)
