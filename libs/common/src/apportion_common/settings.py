"""What every service is told by its environment. Each field says what it is; secrets never show in a repr or an error.

A service's own settings inherit these, name their database and add what is theirs:

    class Settings(ServiceSettings):
        database_url: str = Field(validation_alias="LEDGER_DATABASE_URL", description="…", repr=False)
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from apportion_common import failpoints
from apportion_common.topology import STREAMS_MIB_DEFAULT, STREAMS_MIB_MIN

SERVICES: Final = ("identity", "pricing", "metering", "ledger", "orgs")

DEFAULT_LANE_LEASE_S: Final = 15
LANE_LEASE_S_MAX: Final = 600
DEFAULT_SHUTDOWN_GRACE_S: Final = 20
SHUTDOWN_GRACE_S_MAX: Final = 600
DEFAULT_DATABASE_POOL_SIZE: Final = 12
DATABASE_POOL_SIZE_MAX: Final = 200
WORKER_ID_CHARS_MAX: Final = 100

_DATABASE_SUFFIX: Final = "_DATABASE_URL"

Environment = Literal["local", "test", "staging", "production"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def default_worker_id() -> str:
    """Return the name of this process among all: host name and process id."""
    return f"{socket.gethostname()[:80]}-{os.getpid()}"


class ServiceSettings(BaseSettings):
    """Settings of one service's process, each read from the environment variable of its name in upper case.

    Raises pydantic.ValidationError, which names the variables at fault and never their values.
    """

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_by_alias=True,
        validate_by_name=True,
        env_ignore_empty=True,
    )

    environment: Environment = Field(
        default="production", description="Where the process runs: local, test, staging or production."
    )
    database_url: str = Field(
        description="URL of the service's own database, with the role and password that the service runs as.",
        repr=False,
    )
    database_pool_size: int = Field(
        default=DEFAULT_DATABASE_POOL_SIZE,
        ge=1,
        le=DATABASE_POOL_SIZE_MAX,
        description="Most connections to the database that the process holds at once.",
    )
    nats_url: str = Field(description="URL of the NATS servers, several separated by commas.")
    nats_user: str = Field(description="NATS user of the service, which may use its own subjects only.")
    nats_password: SecretStr = Field(description="Password of the NATS user.")
    nats_monitor_url: str | None = Field(
        default=None,
        description="URL of the NATS servers' monitoring endpoint, from which metering learns whether streams are "
        "flushed before they are acknowledged.",
    )
    grpc_listen: str = Field(description="Address that the gRPC server listens on, host:port.")
    metrics_listen: str = Field(description="Address that serves /metrics, /livez and /readyz over HTTP, host:port.")
    tls_cert_file: Path = Field(description="PEM file of the server's certificate chain.")
    tls_key_file: Path = Field(description="PEM file of the server's private key.")
    tls_ca_file: Path = Field(description="PEM file of the authorities that vouch for the other services and NATS.")
    jwks_file: Path = Field(description="JSON Web Key Set file of the keys that tokens are verified with.")
    token_issuer: str = Field(min_length=1, description="The issuer (iss) that every token must carry.")
    token_audience: str = Field(min_length=1, description="The audience (aud) that every token must carry.")
    service_token_file: Path = Field(
        description="File of the token that the service shows to the others; read again whenever it changes."
    )
    identity_address: str | None = Field(default=None, description="Address of the identity service, host:port.")
    pricing_address: str | None = Field(default=None, description="Address of the pricing service, host:port.")
    metering_address: str | None = Field(default=None, description="Address of the metering service, host:port.")
    ledger_address: str | None = Field(default=None, description="Address of the ledger service, host:port.")
    orgs_address: str | None = Field(default=None, description="Address of the orgs service, host:port.")
    trace_file: Path | None = Field(
        default=None, description="File that spans are appended to, one JSON object a line; none when not set."
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="OTLP gRPC endpoint that spans are sent to; none when not set."
    )
    feature_flags_file: Path | None = Field(
        default=None,
        description="File of lines FEATURE_<NAME>=on or off, read again whenever it changes; it has the last word over "
        "the environment's variables of the same names.",
    )
    log_level: LogLevel = Field(default="INFO", description="Least severe level that is logged.")
    worker_id: str = Field(
        default_factory=default_worker_id,
        min_length=1,
        max_length=WORKER_ID_CHARS_MAX,
        description="Name of this process among all that share the lanes; by default host name and process id.",
    )
    lane_lease_s: int = Field(
        default=DEFAULT_LANE_LEASE_S,
        ge=1,
        le=LANE_LEASE_S_MAX,
        description="Seconds that a lane stays with a process that no longer renews its lease; a transaction that "
        "stands idle is ended after a third of it, 5 seconds at most.",
    )
    streams_mib: int = Field(
        default=STREAMS_MIB_DEFAULT,
        ge=STREAMS_MIB_MIN,
        description="MiB that all streams together reserve on the NATS servers when they are made; those that are "
        "there keep their sizes.",
    )
    lane_records: bool = Field(
        default=True,
        description="Publish packed records on the money lanes. Off while processes that cannot read them are running, "
        "as during a rolling upgrade from a version before them.",
    )
    shutdown_grace_s: int = Field(
        default=DEFAULT_SHUTDOWN_GRACE_S,
        ge=0,
        le=SHUTDOWN_GRACE_S_MAX,
        description="Seconds that calls in progress, and after them background tasks, get to finish after SIGTERM.",
    )
    shutdown_delay_s: int = Field(
        default=0,
        ge=0,
        le=SHUTDOWN_GRACE_S_MAX,
        description="Seconds between saying not ready and refusing new calls, for load balancers to notice.",
    )
    fail_point: str | None = Field(
        default=None,
        description="Place where the process kills or stops itself, name[:nth][:stop][@file]; refused outside the "
        "environments local and test.",
    )

    @model_validator(mode="after")
    def _fail_points_are_for_tests(self) -> Self:
        if self.fail_point is None:
            return self
        if self.environment not in failpoints.ARMED_ENVIRONMENTS:
            raise ValueError("FAIL_POINT is only for the environments local and test.")
        failpoints.parse(self.fail_point)
        return self

    @classmethod
    def service_name(cls) -> str:
        """Return the service's name, which its database variable carries: `ledger` of LEDGER_DATABASE_URL.

        Raises TypeError for settings that do not name their database.
        """
        alias = cls.model_fields["database_url"].validation_alias
        if not isinstance(alias, str) or not alias.endswith(_DATABASE_SUFFIX):
            raise TypeError(f"{cls.__qualname__} does not set validation_alias='<SERVICE>{_DATABASE_SUFFIX}'.")
        return alias.removesuffix(_DATABASE_SUFFIX).lower()

    def address_of(self, service: str) -> str:
        """Return the address of one of the five services. Raises ValueError when it is not set, naming the variable."""
        if service not in SERVICES:
            raise ValueError(f"There is no service {service!r}.")
        address: str | None = getattr(self, f"{service}_address")
        if not address:
            raise ValueError(f"{service.upper()}_ADDRESS is not set.")
        return address
