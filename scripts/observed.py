"""What the services were seen to answer: the evidence of the last test runs, and docs/observed-answers.json.

The pytest plugin `apportion_dev.testing.observed` says what evidence there is. The file that is checked in keeps
what the documentation needs of it: for each RPC the statuses and reasons, for each reason how it was seen. Nothing in
it tells how often, when or how fast.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from apportion_dev.testing.observed import (
    DATA,
    FOLDER,
    RAISED,
    SERVER,
    SERVICER,
    STOPPED,
    VERIFIED,
    WIRE,
    Fact,
    read_evidence,
    service_of,
)

ROOT: Final = Path(__file__).resolve().parent.parent
EVIDENCE: Final = ROOT / ".pytest_cache" / "d" / FOLDER
FILE: Final = ROOT / "docs" / "observed-answers.json"
WAYS: Final = (WIRE, SERVER, SERVICER, RAISED, VERIFIED, STOPPED)
SHARED: Final = "common:"
"""How names of shared modules begin."""
CALLER_LEFT: Final = "CANCELLED"
"""What a caller that goes away makes of a call; no answer of the service."""

Answers = dict[str, set[str]]
"""The reasons by status; a status without a reason of ours has none."""


@dataclass
class SeenRpc:
    """What an RPC answered over the wire, and what its method returned or raised."""

    wire: Answers = field(default_factory=dict)
    servicer: Answers = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        """Whether it answered as its caller wished."""
        return "OK" in self.wire or "OK" in self.servicer


@dataclass
class SeenReason:
    """In which ways a reason was seen, and which RPCs carried it in their answers."""

    ways: set[str] = field(default_factory=set)
    carried_by: set[str] = field(default_factory=set)


@dataclass
class Observed:
    """All that was seen: RPCs by `service Name`, reasons by name."""

    rpcs: dict[str, SeenRpc] = field(default_factory=dict)
    reasons: dict[str, SeenReason] = field(default_factory=dict)

    def add(self, facts: Iterable[Fact], raised_in: Mapping[str, set[str]]) -> None:
        """Add evidence; an error counts as raised in the modules that declare its reason, `raised_in`, alone.

        What a server with a stand-in for a servicer refuses counts when the reason is one of the shared code.
        """
        for kind, *what in sorted(facts):
            if kind in (WIRE, SERVICER):
                method, status, reason = what
                if status != CALLER_LEFT:
                    answers: Answers = getattr(self._rpc(method), kind)
                    answers.setdefault(status, set()).update({reason} - {""})
                    self._way(reason, kind)
            elif kind == DATA:
                self._reason(what[1]).carried_by.add(rpc_name(what[0]))
            elif kind == RAISED:
                module, reason = what
                if module_name(module) in raised_in.get(reason, ()):
                    self._way(reason, kind)
            elif kind == SERVER:
                if any(module.startswith(SHARED) for module in raised_in.get(what[0], ())):
                    self._way(what[0], kind)
            elif kind in (STOPPED, VERIFIED):
                self._way(what[0], kind)

    def _rpc(self, method: str) -> SeenRpc:
        return self.rpcs.setdefault(rpc_name(method), SeenRpc())

    def _reason(self, reason: str) -> SeenReason:
        return self.reasons.setdefault(reason, SeenReason())

    def _way(self, reason: str, way: str) -> None:
        if reason:
            self._reason(reason).ways.add(way)

    def carried(self, reason: str, service: str) -> bool:
        """Whether answers of a service carried the reason as data."""
        seen = self.reasons.get(reason)
        return seen is not None and any(name.startswith(f"{service} ") for name in seen.carried_by)

    def seen_as(self, reason: str, ways: Iterable[str]) -> bool:
        """Whether the reason was seen in one of the ways."""
        seen = self.reasons.get(reason)
        return seen is not None and not seen.ways.isdisjoint(ways)

    def is_refusal(self, reason: str) -> bool:
        """Whether a call, or a single event in one, was refused with the reason, or code raised it."""
        return self.seen_as(reason, (WIRE, SERVER, SERVICER, RAISED)) or self.carried(reason, "metering")

    def is_dead_letter(self, reason: str) -> bool:
        """Whether a dead letter with the reason was stored, or listed."""
        return self.seen_as(reason, (VERIFIED,)) or self.carried(reason, "metering")

    def is_verdict(self, reason: str) -> bool:
        """Whether a mail was answered, or verified, with the reason."""
        return self.seen_as(reason, (VERIFIED,)) or self.carried(reason, "identity")

    def keep(self, rpcs: Iterable[str], reasons: Iterable[str]) -> None:
        """Forget what is no longer in the contracts or the code."""
        known_rpcs, known_reasons = set(rpcs), set(reasons)
        self.rpcs = {name: seen for name, seen in self.rpcs.items() if name in known_rpcs}
        self.reasons = {name: seen for name, seen in self.reasons.items() if name in known_reasons}
        for seen in self.rpcs.values():
            for answers in (seen.wire, seen.servicer):
                for status in answers:
                    answers[status] &= known_reasons


def rpc_name(method: str) -> str:
    """Return `ledger GetPayout` for a full method name."""
    return f"{service_of(method)} {method.rpartition('/')[2]}"


def module_name(module: str) -> str:
    """Return `ledger: app/sweep` for a module of a service, `common: grpc/auth` for a shared one."""
    package, _, inside = module.partition(".")
    return f"{package.removeprefix('apportion_')}: {inside.replace('.', '/')}"


def evidence() -> set[Fact]:
    """Return the facts of all test runs since the evidence was cleared."""
    return {fact for file in sorted(EVIDENCE.glob("*.json")) for fact in read_evidence(file)}


def load() -> Observed:
    """Return what the checked-in file says."""
    if not FILE.exists():
        return Observed()
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return Observed(
        {
            name: SeenRpc(
                *({status: set(reasons) for status, reasons in seen[way].items()} for way in (WIRE, SERVICER))
            )
            for name, seen in content["rpcs"].items()
        },
        {name: SeenReason(set(seen["ways"]), set(seen["carried_by"])) for name, seen in content["reasons"].items()},
    )


def text_of(observed: Observed) -> str:
    """Return the text of the checked-in file: sorted, one RPC or reason after the other."""
    content: dict[str, dict[str, Any]] = {
        "rpcs": {
            name: {WIRE: _sorted(rpc.wire), SERVICER: _sorted(rpc.servicer)} for name, rpc in observed.rpcs.items()
        },
        "reasons": {
            name: {"ways": [way for way in WAYS if way in seen.ways], "carried_by": sorted(seen.carried_by)}
            for name, seen in observed.reasons.items()
        },
    }
    lines = []
    for part, entries in content.items():
        rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries))
        lines.append(f"  {json.dumps(part)}: {{\n{rows}\n  }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _sorted(answers: Answers) -> dict[str, list[str]]:
    return {status: sorted(answers[status]) for status in sorted(answers)}
