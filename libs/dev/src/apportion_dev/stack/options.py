"""How a stack is run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from apportion_common.clock import Clock, SystemClock


def default_service_command(service: str) -> Sequence[str]:
    """The command of a service's one process: its API, relay and workers together."""
    return [sys.executable, "-m", f"apportion_{service}", "serve"]


def default_migrate_command() -> Sequence[str]:
    """The command that brings every database to the newest revision."""
    return [sys.executable, "-m", "apportion_migrate.command", "up"]


def say_to_stderr(line: str) -> None:
    """Print a line for the user where it does not mix with a command's output."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How a stack is run; the defaults are what `apportion stack up` does.

    `service_env` is added to each life of a service (by service, `*` for all); what is passed when a process is
    started goes into that one life only, so that an armed fail point does not fire again after a restart.
    """

    restart: bool = False
    migrate_command: Sequence[str] | None = field(default_factory=default_migrate_command)
    service_command: Callable[[str], Sequence[str]] = default_service_command
    service_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nats_sync_always: bool = True
    say: Callable[[str], None] = say_to_stderr
    clock: Clock = field(default_factory=SystemClock)
