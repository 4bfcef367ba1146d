"""How a stack is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from apportion_client.local_stack import StackError
from apportion_common.clock import Clock, SystemClock
from apportion_common.topology import STREAMS_MIB_DEFAULT, STREAMS_MIB_MIN

READY_TIMEOUT_SETTING = "APPORTION_READY_TIMEOUT_S"
READY_TIMEOUT_S = 180
"""How long a service may take to answer as ready: many times what it takes, for machines that are slow or busy. With
more to do than the machine can, as many times longer as its load says, up to five times.
"""
STREAMS_SETTING = "APPORTION_STREAMS_MIB"


def default_service_command(service: str) -> Sequence[str]:
    """Return the command of a service's one process: its API, relay and workers together."""
    return [sys.executable, "-m", f"apportion_{service}", "serve"]


def default_migrate_command() -> Sequence[str]:
    """Return the command that brings every database to the newest revision."""
    return [sys.executable, "-m", "apportion_migrate.command", "up"]


def ready_timeout_s(environment: Mapping[str, str] | None = None) -> int:
    """Return how long a service may take to get ready: APPORTION_READY_TIMEOUT_S, or READY_TIMEOUT_S.

    Raises StackError when the setting is not a whole number of seconds above zero.
    """
    return _whole_number(environment, READY_TIMEOUT_SETTING, READY_TIMEOUT_S, 1, "seconds above zero")


def streams_mib(environment: Mapping[str, str] | None = None) -> int:
    """Return the size of all streams together: APPORTION_STREAMS_MIB, or STREAMS_MIB_DEFAULT.

    Raises StackError when the setting is not a whole number of at least STREAMS_MIB_MIN.
    """
    what = f"MiB, at least {STREAMS_MIB_MIN}"
    return _whole_number(environment, STREAMS_SETTING, STREAMS_MIB_DEFAULT, STREAMS_MIB_MIN, what)


def _whole_number(environment: Mapping[str, str] | None, name: str, default: int, least: int, what: str) -> int:
    """Return a setting's number. Raises StackError when it is none, or below the least."""
    text = (os.environ if environment is None else environment).get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise StackError(f"{name} must be a whole number of {what}, not {text!r}.")
    return int(text)


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
    ready_timeout_s: int = field(default_factory=ready_timeout_s)
    streams_mib: int = field(default_factory=streams_mib)
    say: Callable[[str], None] = say_to_stderr
    clock: Clock = field(default_factory=SystemClock)
