"""What the use cases need of other services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from apportion_orgs.domain.invoices import HeldLines, Watermark
from apportion_orgs.domain.invoicing import LineSum


class MeteringClient(Protocol):
    """Metering, which closes and reopens periods in the lanes. Raises Unavailable when it does not answer."""

    async def reopen_period(self, period: str, reopenings: Sequence[tuple[UUID, int]], reason: str) -> None:
        """Open a period again for organisations, each with the number of its reopening; the same again does nothing."""
        ...


class LedgerClient(Protocol):
    """The ledger, as invoices need it. Raises Unavailable when it does not answer."""

    async def fix_watermark(self, period: str) -> Watermark:
        """Fix a watermark, and return whether the period is closed up to it."""
        ...

    async def summarize_lines(
        self, account_id: UUID, watermark: int, period: str, held: Sequence[HeldLines]
    ) -> Sequence[LineSum]:
        """Return sums of the account's lines below the watermark that are billed in the period or an earlier one.

        What invoices hold is left out. Raises FailedPrecondition INVOICE_TOO_LARGE for more than INVOICE_LINES_MAX.
        """
        ...
