"""Settlements, and what passes between them and the payout provider. Amounts are ints scaled by 9 places."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class Settlement(NamedTuple):
    """A payout in its current state."""

    settlement_id: UUID
    partner_id: UUID
    kind: str
    currency: str
    amount: int
    week: str | None
    state: str
    created_at_us: int
    entry_id: UUID | None


class PendingPayout(NamedTuple):
    """A payout that the provider is to make; its id is the key under which it is made once."""

    settlement_id: UUID
    partner_id: UUID
    currency: str
    amount: int


class PayoutAnswer(StrEnum):
    """What a provider says. An outcome that is unknown is no answer: the provider raises, and the call is repeated."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
