"""Settings of the ledger service, from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from apportion_common.errors import ApportionError
from apportion_common.settings import ServiceSettings
from pydantic import Field, model_validator

from apportion_ledger.domain.payouts import parse_thresholds


class Settings(ServiceSettings):
    """What the ledger needs beside the settings that all services share."""

    database_url: str = Field(
        validation_alias="LEDGER_DATABASE_URL",
        description="URL of the ledger's database for the service's own role (postgresql://…).",
        repr=False,
    )
    real_time_threshold: str = Field(
        default="AUD:50",
        max_length=2_000,
        validation_alias="LEDGER_REAL_TIME_THRESHOLD",
        description="Least gross amount of a line whose share is paid at once, per currency, as AUD:50,EUR:30; "
        "a currency without a threshold is only swept. Each amount is above zero.",
    )
    minimum_payout: str = Field(
        default="",
        max_length=2_000,
        validation_alias="LEDGER_MINIMUM_PAYOUT",
        description="Least payout of a weekly sweep, per currency, as AUD:10; less is carried. None by default.",
    )

    @property
    def real_time_thresholds(self) -> dict[str, int]:
        """Return the thresholds by currency, scaled by 9 places."""
        return parse_thresholds(_by_currency(self.real_time_threshold))

    @property
    def minimum_payouts(self) -> dict[str, int]:
        """Return the least sweep payouts by currency, scaled by 9 places; empty for none."""
        return parse_thresholds(_by_currency(self.minimum_payout)) if self.minimum_payout else {}

    @model_validator(mode="after")
    def _amounts_are_sound(self) -> Self:
        try:
            _ = self.real_time_thresholds, self.minimum_payouts
        except ApportionError as error:
            raise ValueError(f"{error.reason}: {error.message}") from None
        return self


def _by_currency(text: str) -> Mapping[str, str]:
    """Return the amounts of `AUD:50,EUR:30` by currency. ValueError when malformed or when a currency comes twice."""
    amounts: dict[str, str] = {}
    for part in text.split(","):
        currency, colon, amount = part.strip().partition(":")
        if not colon or not amount:
            raise ValueError(f"{part.strip()[:40]!r} does not read CURRENCY:AMOUNT.")
        if currency in amounts:
            raise ValueError(f"The currency {currency[:16]!r} has two amounts.")
        amounts[currency] = amount.strip()
    return amounts
