"""Billing accounts as use cases and stores pass them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """An account that organisations are billed on."""

    account_id: UUID
    owner_org_id: UUID
    name: str
    currency: str
    is_default: bool = False


class NamedAccount(NamedTuple):
    """An account, and its owner's slug, by which accounts of one name are told apart."""

    account: BillingAccount
    owner_slug: str

    @property
    def names(self) -> Sequence[str]:
        """The names by which it is found."""
        return self.account.name, f"{self.owner_slug}/{self.account.name}"


def accounts_meant(found: Sequence[NamedAccount]) -> Sequence[BillingAccount]:
    """Return which of the accounts of one name are meant: one that somebody made before one that came by itself."""
    accounts = [one.account for one in found]
    return [account for account in accounts if not account.is_default] or accounts
