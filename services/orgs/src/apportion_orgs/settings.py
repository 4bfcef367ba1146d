"""Settings of the orgs service, from the environment."""

from __future__ import annotations

from apportion_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """What orgs needs: the settings that all services share; LEDGER_ADDRESS and METERING_ADDRESS must be among them."""

    database_url: str = Field(
        validation_alias="ORGS_DATABASE_URL",
        description="URL of the orgs database for the service's own role (postgresql://…).",
        repr=False,
    )
