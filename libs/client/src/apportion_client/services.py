"""Connections to the five services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from apportion.identity.v1 import identity_service_pb2_grpc
from apportion.ledger.v1 import ledger_service_pb2_grpc
from apportion.metering.v1 import metering_service_pb2_grpc
from apportion.orgs.v1 import orgs_service_pb2_grpc
from apportion.pricing.v1 import pricing_service_pb2_grpc
from apportion_common.grpc.client import Channels

from apportion_client.settings import ClientSettings, client_settings

CALL_TIMEOUT_S = 60.0
"""Deadline of one call; intake has its own."""


@dataclass(frozen=True)
class _ChannelSettings:
    tls_ca_file: Path
    service_token_file: Path


class Services:
    """The stubs of the five services."""

    def __init__(self, settings: ClientSettings, channels: Channels) -> None:
        self.settings = settings
        self.channels = channels
        self.identity = identity_service_pb2_grpc.IdentityServiceStub(self.channel("identity"))
        self.pricing = pricing_service_pb2_grpc.PricingServiceStub(self.channel("pricing"))
        self.metering = metering_service_pb2_grpc.MeteringServiceStub(self.channel("metering"))
        self.ledger = ledger_service_pb2_grpc.LedgerServiceStub(self.channel("ledger"))
        self.orgs = orgs_service_pb2_grpc.OrgsServiceStub(self.channel("orgs"))

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service by its short name."""
        return self.channels.channel(self.settings.addresses[service])


@asynccontextmanager
async def connected() -> AsyncIterator[Services]:
    """Provide stubs of the running stack, or of the addresses that the environment names."""
    settings = client_settings()
    channels = Channels(_ChannelSettings(settings.ca_file, settings.token_file))
    try:
        yield Services(settings, channels)
    finally:
        await channels.close()
