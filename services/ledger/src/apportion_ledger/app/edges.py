"""The outside that the use cases reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from apportion_ledger.domain.settlements import PayoutAnswer, PendingPayout


class PayoutGateway(Protocol):
    """Whoever moves the money. The same settlement id again is the same payout."""

    async def pay(self, payouts: Sequence[PendingPayout]) -> Mapping[UUID, PayoutAnswer]:
        """Make the payouts and return the answer to each. Raises when an outcome is unknown: the call is repeated."""
        ...
