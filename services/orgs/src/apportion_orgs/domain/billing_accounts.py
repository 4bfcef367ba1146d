"""Billing accounts as use cases and stores pass them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """An account that organisations are billed on."""

    account_id: UUID
    owner_org_id: UUID
    name: str
    currency: str
    is_default: bool = False
