"""Making the streams, which only the user stream-admin may do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from apportion_common.bus.connection import connect
from apportion_common.bus.rights import API_PREFIX, STREAM_ADMIN
from apportion_common.bus.streams import REPLICAS, ensure_streams
from apportion_common.topology import STREAMS, STREAMS_MIB_DEFAULT, STREAMS_MIB_MIN, sized

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
    streams_mib: int = Field(
        default=STREAMS_MIB_DEFAULT,
        ge=STREAMS_MIB_MIN,
        description="MiB that all streams together reserve on the servers when they are made; those that are there "
        "keep their sizes.",
    )
    stream_replicas: int = Field(default=REPLICAS, ge=1, le=REPLICAS_MAX, description="Copies of each stream.")


async def make_streams(settings: AdministrationSettings) -> None:
    """Make every stream, or bring those that are there to what is needed.

    Raises TimeoutError after MAKE_TIMEOUT_S, nats.errors.Error when the user is refused, and FailedPrecondition
    STREAM_MISCONFIGURED for a stream that cannot be mended.
    """
    async with asyncio.timeout(MAKE_TIMEOUT_S):
        client = await connect(settings, STREAM_ADMIN)
        try:
            specs = sized(STREAMS, settings.streams_mib)
            await ensure_streams(client.jetstream(), specs, replicas=settings.stream_replicas)
        finally:
            await client.close()
