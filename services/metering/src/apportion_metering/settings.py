"""Settings of the metering service, from the environment."""

from __future__ import annotations

from apportion_common.settings import ServiceSettings
from pydantic import Field

from apportion_metering.limits import COMMIT_WAIT_S


class Settings(ServiceSettings):
    """What the metering service needs beside the settings that all services share."""

    database_url: str = Field(
        validation_alias="METERING_DATABASE_URL",
        description="URL of the metering database for the service's own role (postgresql://…).",
        repr=False,
    )
    commit_wait_s: int = Field(
        default=COMMIT_WAIT_S,
        ge=1,
        le=120,
        validation_alias="METERING_COMMIT_WAIT_S",
        description="Seconds that a COMMITTED call waits for its lanes where the caller set no deadline.",
    )
