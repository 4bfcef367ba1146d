"""A client finds the stack, and explicit settings win over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from apportion_client.local_stack import (
    READY,
    STARTING,
    StackNotUpError,
    StackState,
    find_data_folder,
    running_state,
    running_supervisor,
)
from apportion_client.settings import SERVICES, client_environment, client_settings
from apportion_dev.stack.layout import Layout, StackLock, StackRunningError


def ready_layout(folder: Path, phase: str = READY) -> tuple[Layout, StackLock]:
    layout = Layout(folder)
    layout.make()
    lock = StackLock(layout)
    lock.acquire()
    StackState(
        phase=phase,
        supervisor_pid=os.getpid(),
        addresses={service: f"127.0.0.1:{number}" for number, service in enumerate(SERVICES)},
        ca_file="/stack/ca.pem",
        token_file="/stack/operator.jwt",
    ).write(layout.state_file)
    return layout, lock


def test_a_client_finds_a_running_stack_by_its_folder(tmp_path: Path) -> None:
    _, lock = ready_layout(tmp_path / "data")
    found = client_settings({"APPORTION_LOCAL_DIR": str(tmp_path / "data")})
    lock.release()
    assert set(found.addresses) == set(SERVICES)
    assert (found.ca_file, found.token_file) == (Path("/stack/ca.pem"), Path("/stack/operator.jwt"))


def test_a_client_below_a_checkout_finds_its_stack(tmp_path: Path) -> None:
    _, lock = ready_layout(tmp_path / ".local")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    found = client_settings({}, tmp_path / "deep" / "down")
    lock.release()
    assert found.addresses["identity"] == "127.0.0.1:0"


def test_explicit_settings_win_one_by_one(tmp_path: Path) -> None:
    _, lock = ready_layout(tmp_path)
    given = {"APPORTION_LOCAL_DIR": str(tmp_path), "LEDGER_ADDRESS": "elsewhere:1", "TLS_CA_FILE": "/mine/ca.pem"}
    found = client_settings(given)
    lock.release()
    assert found.addresses["ledger"] == "elsewhere:1"
    assert found.addresses["orgs"].startswith("127.0.0.1:")
    assert (found.ca_file, found.token_file) == (Path("/mine/ca.pem"), Path("/stack/operator.jwt"))


def test_with_everything_explicit_no_stack_is_needed(tmp_path: Path) -> None:
    given = {f"{service.upper()}_ADDRESS": "far:443" for service in SERVICES}
    given |= {"TLS_CA_FILE": "/ca", "APPORTION_TOKEN_FILE": "/token", "APPORTION_LOCAL_DIR": str(tmp_path)}
    assert client_settings(given).addresses["metering"] == "far:443"


def test_a_stack_that_starts_was_killed_or_never_was_is_not_up(tmp_path: Path) -> None:
    given = {"APPORTION_LOCAL_DIR": str(tmp_path)}
    with pytest.raises(StackNotUpError, match="apportion stack up"):
        client_settings(given)
    layout, lock = ready_layout(tmp_path, STARTING)
    with pytest.raises(StackNotUpError):
        client_settings(given)
    StackState(phase=READY, supervisor_pid=os.getpid()).write(layout.state_file)
    # A killed supervisor leaves its state and loses its lock.
    lock.release()
    assert layout.state_file.exists()
    assert running_supervisor(layout.root) is None
    with pytest.raises(StackNotUpError):
        client_settings(given)


def test_only_one_stack_holds_a_folder(tmp_path: Path) -> None:
    layout, lock = ready_layout(tmp_path)
    assert running_supervisor(layout.root) == os.getpid()
    with pytest.raises(StackRunningError, match="Another stack"):
        StackLock(layout).acquire()
    lock.release()
    lock.release()
    second = StackLock(layout)
    second.acquire()
    assert not layout.state_file.exists()
    second.release()


def test_the_environment_for_commands_leads_back_to_the_same_settings(tmp_path: Path) -> None:
    layout, lock = ready_layout(tmp_path)
    state = running_state(layout.root)
    assert state is not None
    environment = client_environment(layout.root, state)
    assert client_settings(environment) == client_settings({"APPORTION_LOCAL_DIR": str(tmp_path)})
    lock.release()


def test_the_default_folder_lies_in_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "libs" / "cli").mkdir(parents=True)
    (tmp_path / "libs" / "cli" / "pyproject.toml").touch()
    assert find_data_folder({}, tmp_path / "libs") == tmp_path / ".local"
    assert find_data_folder({"APPORTION_LOCAL_DIR": str(tmp_path / "x")}, tmp_path) == tmp_path / "x"


def test_secrets_tokens_and_keys_lie_in_private_folders(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    layout.make()
    for folder in (layout.secrets, layout.tls, layout.tokens, layout.logs, layout.traces):
        assert folder.stat().st_mode & 0o077 == 0
