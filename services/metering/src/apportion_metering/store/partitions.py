"""Monthly partitions of metering_event."""

from __future__ import annotations

from datetime import date
from typing import Final, cast

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

_ADD: Final = text("SELECT metering_event_add_month(:month)")


class MonthInDefault(Exception):
    """Rows of the month lie in the DEFAULT partition already; there they stay, and are found."""


class PartitionStore:
    """The partitions of metering_event."""

    async def add_month(self, tx: Transaction, month: date) -> str | None:
        """Make the partition of a month, by its first day; return its name, None when it exists.

        Raises MonthInDefault, after which the transaction can only be rolled back.
        """
        try:
            return cast(str | None, (await tx.execute(_ADD, {"month": month})).scalar_one())
        except IntegrityError as error:
            raise MonthInDefault from error
