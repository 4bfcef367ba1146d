"""Settings of the identity service, from the environment."""

from __future__ import annotations

from apportion_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """What the identity service needs: for now the settings that all services share."""

    database_url: str = Field(
        validation_alias="IDENTITY_DATABASE_URL",
        description="URL of the identity database for the service's own role (postgresql://…).",
        repr=False,
    )
