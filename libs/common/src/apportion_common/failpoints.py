"""Named places where a test can kill or stop the process, to prove that nothing is lost or doubled.

A place is registered at import and hit on every pass; unless it is armed, hitting it costs one comparison. It is
armed once, at start, by the setting FAIL_POINT, and only in the environments "local" and "test":

    FAIL_POINT=ledger_poster.after_execute          SIGKILL at the first pass
    FAIL_POINT=ledger_poster.after_execute:3        … at the third
    FAIL_POINT=ledger_poster.after_execute:3:stop   SIGSTOP at the third; after SIGCONT the process goes on
    FAIL_POINT=ledger_poster.after_execute@/tmp/now SIGKILL at the first pass after the file /tmp/now was made
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

ARMED_ENVIRONMENTS: Final = frozenset({"local", "test"})

KNOWN: frozenset[str] = frozenset()
"""Every registered place, as `failpoints.KNOWN`; it grows as modules are imported."""

_STDERR: Final = 2


@dataclass(slots=True)
class _Armed:
    name: str
    passes_left: int
    action: signal.Signals
    gate: Path | None


class Spec(NamedTuple):
    """What a FAIL_POINT setting says: the place, the pass (1 is the first), the signal, the file to wait for."""

    name: str
    nth: int
    action: signal.Signals
    gate: Path | None = None


_armed: _Armed | None = None


def register(name: str) -> str:
    """Make a place known and return its name, for a module-level constant."""
    global KNOWN
    KNOWN |= {name}
    return name


def parse(spec: str) -> Spec:
    """Read a FAIL_POINT setting. Raises ValueError when it is malformed."""
    place, at, gate = spec.strip().partition("@")
    name, *options = place.split(":")
    nth, action = 1, signal.SIGKILL
    if options and options[0].isascii() and options[0].isdigit():
        nth = int(options.pop(0))
    if options and options[0] in ("kill", "stop"):
        action = signal.SIGSTOP if options.pop(0) == "stop" else signal.SIGKILL
    if not name or options or nth < 1 or bool(at) != bool(gate):
        raise ValueError(f"FAIL_POINT {spec!r} does not read name[:nth][:stop][@file].")
    return Spec(name, nth, action, Path(gate) if gate else None)


def arm(spec: str | None, environment: str) -> None:
    """Arm the place that a FAIL_POINT setting names; None or an empty text disarms.

    Raises ValueError for a malformed setting, a place that is not registered, and outside "local" and "test".
    """
    global _armed
    _armed = None
    if not spec:
        return
    if environment not in ARMED_ENVIRONMENTS:
        raise ValueError(f"FAIL_POINT is refused in the environment {environment!r}.")
    name, nth, action, gate = parse(spec)
    if name not in KNOWN:
        raise ValueError(f"FAIL_POINT names {name!r}, which is none of: {', '.join(sorted(KNOWN))}.")
    _armed = _Armed(name, nth, action, gate)


def hit(name: str, **context: object) -> None:
    """Pass the place `name`. When it is armed and this is the pass: one JSON line to stderr, then the signal."""
    armed = _armed
    if armed is None or armed.name != name or (armed.gate is not None and not armed.gate.exists()):
        return
    armed.passes_left -= 1
    if armed.passes_left != 0:
        return
    line = json.dumps({"fail_point": name, "action": armed.action.name, **context}, default=str) + "\n"
    os.write(_STDERR, line.encode())
    os.kill(os.getpid(), armed.action)
