"""The environment of each process of the stack: what it needs, and nothing of the others'."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apportion_client.settings import CA_FILE_SETTING, SERVICES, address_setting
from apportion_common.bus.rights import API_PREFIX, STREAM_ADMIN
from apportion_common.flags import all_open

from apportion_dev.local.nats import LocalNats
from apportion_dev.local.postgres import LocalPostgres
from apportion_dev.stack.credentials import TOKEN_AUDIENCE, TOKEN_ISSUER, Passwords, StackKeys
from apportion_dev.stack.layout import Layout

# What any program may need of the machine; the rest of the user's environment is none of a service's business.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")

CLAIM_MAIL_DOMAIN = "claims.apportion.local"
"""Where mail that proves a domain goes in the local stack; it is taken at the stack's SMTP address."""


@dataclass(frozen=True, slots=True)
class ProcessPlace:
    """Where one process listens and writes its spans; only identity takes mail."""

    grpc_address: str
    metrics_address: str
    smtp_address: str
    trace_file: Path


def machine_environment() -> dict[str, str]:
    """Return the part of our own environment that every process gets."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


def database(service: str) -> str:
    """Return the name of a service's database."""
    return f"apportion_{service}"


def owner_role(service: str) -> str:
    """Return the role that owns a service's tables and migrates them."""
    return f"{service}_owner"


def app_role(service: str) -> str:
    """Return the role that a service runs as."""
    return f"{service}_app"


def migration_environment(postgres: LocalPostgres, passwords: Passwords) -> dict[str, str]:
    """Return the environment of the migration runner: the owner's URL of every database."""
    urls = {
        f"{service.upper()}_MIGRATION_DATABASE_URL": postgres.url(
            database(service), owner_role(service), passwords.roles[service].owner
        )
        for service in SERVICES
    }
    return machine_environment() | {"ENVIRONMENT": "local", "LOG_LEVEL": "INFO"} | urls


def stream_environment(passwords: Passwords, nats_url: str, ca_file: Path, streams_mib: int) -> dict[str, str]:
    """Return the environment of the step that makes the streams."""
    return machine_environment() | {
        "NATS_URL": nats_url,
        "NATS_USER": STREAM_ADMIN,
        "NATS_PASSWORD": passwords.nats[STREAM_ADMIN],
        "NATS_API_PREFIX": API_PREFIX,
        "STREAMS_MIB": str(streams_mib),
        CA_FILE_SETTING: str(ca_file),
    }


def service_environment(
    service: str,
    place: ProcessPlace,
    addresses: Mapping[str, str],
    *,
    layout: Layout,
    keys: StackKeys,
    passwords: Passwords,
    postgres: LocalPostgres,
    nats: LocalNats,
) -> dict[str, str]:
    """Return the environment of one process of a service; `addresses` are those of all five services."""
    certificate = keys.certificates[service]
    environment = machine_environment() | {
        "ENVIRONMENT": "local",
        "LOG_LEVEL": "INFO",
        f"{service.upper()}_DATABASE_URL": postgres.url(
            database(service), app_role(service), passwords.roles[service].app
        ),
        "NATS_URL": nats.url,
        "NATS_USER": service,
        "NATS_PASSWORD": passwords.nats[service],
        "NATS_API_PREFIX": API_PREFIX,
        "NATS_MONITOR_URL": nats.monitor_url,
        "GRPC_LISTEN": place.grpc_address,
        "METRICS_LISTEN": place.metrics_address,
        "TLS_CERT_FILE": str(certificate.certificate_file),
        "TLS_KEY_FILE": str(certificate.key_file),
        CA_FILE_SETTING: str(keys.ca.certificate_file),
        "JWKS_FILE": str(layout.jwks_file),
        "TOKEN_ISSUER": TOKEN_ISSUER,
        "TOKEN_AUDIENCE": TOKEN_AUDIENCE,
        "SERVICE_TOKEN_FILE": str(layout.token_file(service)),
        "TRACE_FILE": str(place.trace_file),
    }
    environment |= {address_setting(other): addresses[other] for other in SERVICES}
    environment |= all_open()
    if service == "identity":
        environment["KEY_ENCRYPTION_KEY_FILE"] = str(layout.key_encryption_key_file)
        environment["OIDC_ISSUERS_FILE"] = str(layout.oidc_issuers_file)
        environment["PROOF_KEY_FILE"] = str(layout.proof_key_file)
        environment["CLAIM_MAIL_DOMAIN"] = CLAIM_MAIL_DOMAIN
        environment["SMTP_LISTEN"] = place.smtp_address
        environment["SMTP_HOSTNAME"] = "localhost"
        # Domains that only a server of one's own knows can be proved here too; otherwise the system's are asked.
        environment["DNS_SERVERS"] = os.environ.get("DNS_SERVERS", "")
    if service == "pricing":
        # Until an engine has passed its parity gate, only the local profile lets it charge, audited as such.
        environment["PRICING_GATE_OVERRIDE"] = "local"
    return environment
