"""Where the services are, whom a client trusts and which token it shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apportion_client.local_stack import (
    DATA_FOLDER_SETTING,
    READY,
    StackNotUpError,
    StackState,
    find_data_folder,
    running_state,
)

SERVICES = ("identity", "pricing", "metering", "ledger", "orgs")

TOKEN_FILE_SETTING = "APPORTION_TOKEN_FILE"  # noqa: S105 - the name of a setting
CA_FILE_SETTING = "TLS_CA_FILE"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What a client needs to call the services."""

    addresses: Mapping[str, str]
    ca_file: Path
    token_file: Path
    probe_addresses: Mapping[str, str] = field(default_factory=dict)
    """Where the services' HTTP probes are, as far as that is known."""


def client_settings(environment: Mapping[str, str] | None = None, start: Path | None = None) -> ClientSettings:
    """Return where the services are, whom to trust and which token to show.

    Explicit settings (IDENTITY_ADDRESS and its four sisters, TLS_CA_FILE, APPORTION_TOKEN_FILE) win; what they leave
    open comes from the local stack. Raises StackNotUpError when something is open and no stack is up.
    """
    given = os.environ if environment is None else environment
    addresses = {service: given.get(address_setting(service), "") for service in SERVICES}
    ca_file, token_file = given.get(CA_FILE_SETTING, ""), given.get(TOKEN_FILE_SETTING, "")
    folder = find_data_folder(given, start)
    state = running_state(folder)
    probes = {}
    if state is not None:
        local = {service for service, address in addresses.items() if address in ("", state.addresses.get(service))}
        probes = {service: address for service, address in state.metrics_addresses.items() if service in local}
    if not (all(addresses.values()) and ca_file and token_file):
        if state is None or state.phase != READY:
            raise StackNotUpError(
                f"No local stack is up in {folder}: start one with 'apportion stack up', or set the addresses "
                f"of the services, {CA_FILE_SETTING} and {TOKEN_FILE_SETTING}."
            )
        addresses = {service: address or state.addresses[service] for service, address in addresses.items()}
        ca_file, token_file = ca_file or state.ca_file, token_file or state.token_file
    return ClientSettings(addresses, Path(ca_file), Path(token_file), probes)


def address_setting(service: str) -> str:
    """Return the name of the environment variable that holds a service's address."""
    return f"{service.upper()}_ADDRESS"


def client_environment(folder: Path, state: StackState) -> dict[str, str]:
    """Return the environment variables by which a command finds this stack."""
    return {
        DATA_FOLDER_SETTING: str(folder),
        CA_FILE_SETTING: state.ca_file,
        TOKEN_FILE_SETTING: state.token_file,
        **{address_setting(service): address for service, address in state.addresses.items() if service in SERVICES},
    }
