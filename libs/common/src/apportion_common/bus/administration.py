"""Making the streams, which only the user stream-admin may do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from apportion_common.bus.connection import NatsSettings, connect
from apportion_common.bus.rights import API_PREFIX, STREAM_ADMIN
from apportion_common.bus.streams import REPLICAS, ensure_streams

MAKE_TIMEOUT_S: Final = 60
"""For the connection and all streams."""
REPLICAS_MAX: Final = 5


class AdministrationSettings(BaseSettings):
    """How to reach the servers as the user that makes streams, from the environment."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    nats_url: str = Field(description="URL of the NATS servers, several separated by commas.")
    nats_user: str = Field(default=STREAM_ADMIN, description="User that makes streams.")
    nats_password: SecretStr = Field(description="Password of that user.")
    nats_api_prefix: str = Field(default=API_PREFIX, description="Prefix of the streams' API in the user's account.")
    tls_ca_file: Path | None = Field(default=None, description="PEM file of the authorities that vouch for NATS.")
    stream_replicas: int = Field(default=REPLICAS, ge=1, le=REPLICAS_MAX, description="Copies of each stream.")


async def make_streams(settings: NatsSettings, *, replicas: int | None = None) -> None:
    """Make every stream, or bring those that are there to what is needed.

    Raises TimeoutError after MAKE_TIMEOUT_S, nats.errors.Error when the user is refused, and FailedPrecondition
    STREAM_MISCONFIGURED for a stream that cannot be mended.
    """
    if replicas is None:
        replicas = settings.stream_replicas if isinstance(settings, AdministrationSettings) else REPLICAS
    async with asyncio.timeout(MAKE_TIMEOUT_S):
        client = await connect(settings, STREAM_ADMIN)
        try:
            await ensure_streams(client.jetstream(), replicas=replicas)
        finally:
            await client.close()
