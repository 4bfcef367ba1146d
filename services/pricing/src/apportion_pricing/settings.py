"""What the service is told by its environment."""

from __future__ import annotations

from typing import Self

from apportion_common.settings import ServiceSettings
from pydantic import Field, model_validator

from apportion_pricing import limits


class Settings(ServiceSettings):
    """Settings of the pricing service."""

    database_url: str = Field(
        validation_alias="PRICING_DATABASE_URL",
        description="URL of pricing's own database, with the role and password that the service runs as.",
        repr=False,
    )
    pricing_gate_override: str | None = Field(
        default=None,
        max_length=limits.GATE_OVERRIDE_CHARS_MAX,
        description="Name of the profile that may set the engine live without a parity proof, with a reason that is "
        "audited; refused in production.",
    )

    @model_validator(mode="after")
    def _the_gate_stands_in_production(self) -> Self:
        if self.pricing_gate_override and self.environment == "production":
            raise ValueError("PRICING_GATE_OVERRIDE is not for production: the engine goes live on a parity proof.")
        return self
