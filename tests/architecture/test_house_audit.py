"""Every write to an audited table is made in a transaction that also writes the audit row.

Static: a function that writes an audited table either audits itself, or each function of its service that calls it
does, however far up. What is not audited is listed here with the reason.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from apportion_common.settings import SERVICES
from house import Function, dotted, expect_none, functions, package, sources

SHARED = {"audit_entry", "config_head", "inbox", "outbox", "request_record", "lane", "lane_worker", "lane_outbox"}
"""Written by the common floor; `config_head` only numbers what the audited rows beside it say."""

OWN_AUDIT = {
    "metering": {
        "metering_event", "metering_event_key", "metering_shadow", "lane_journal", "reconciliation_delta",
    },
    "pricing": {"charge", "charge_refusal", "usage_position", "period_close", "pricing_estimate", "parity_result"},
    "ledger": {
        "ledger_line", "ledger_charge_key", "partner_balance", "partner_day", "period_close", "settlement_line",
        "payout_instruction", "sweep_claim",
    },
    "orgs": {"org_hierarchy", "invoice_line", "invoice_part", "invoice_document", "invoice_number", "rounding_entry"},
    "identity": {"claim_verification", "invitation_day", "signing_key"},
}  # fmt: skip
"""Events, charges, lines and what is summed from them are their own audit; parts of an audited whole go with it."""

BY_LANE = {
    "metering": {"dead_letter"},
    "ledger": {"settlement"},
}
"""Written by lanes as the outcome of an event or line, and by people, who are audited: checked where people write."""
LANE_FILES = {"consumers/writer.py", "consumers/receipts.py", "app/charges.py", "consumers/poster.py"}
PORTS = ("app/ports.py", "app/ports/")
"""What a port promises is no write."""

TRANSACTION = {"tx", "connection", "raw", "cursor"}
"""What a function that writes in somebody's transaction is handed; only such calls are followed upwards."""
WRITES = {"insert", "pg_insert", "update", "delete"}
SQL = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|COPY)\s+(?:ONLY\s+)?\"?([a-z_]+)", re.IGNORECASE)


@dataclass
class Body:
    """What one function of a service does, as far as this rule looks."""

    name: str
    place: str
    writes: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    audits: bool = False
    by_lane: bool = False


@cache
def tables(service: str) -> frozenset[str]:
    metadata = importlib.import_module(f"apportion_{service}.store.tables").metadata
    return frozenset(metadata.tables)


def audited(service: str) -> set[str]:
    return set(tables(service)) - SHARED - OWN_AUDIT[service]


def bodies(service: str) -> list[Body]:
    """Every function of a service, with SQL texts of its module counted where they are named."""
    found = []
    for source in sources(*(package(service) / layer for layer in ("app", "store", "jobs", "consumers", "rpc"))):
        texts = {name: _tables_in(value) for name, value in _module_constants(source.tree)}
        relative = source.path.relative_to(package(service)).as_posix()
        if relative.startswith(PORTS):
            continue
        for function in functions(source.tree):
            body = Body(function.name, f"{relative}:{function.lineno}", by_lane=relative in LANE_FILES)
            for node in ast.walk(function):
                _look(node, texts, body)
            body.writes = {_aliases(function).get(name, name) for name in body.writes}
            found.append(body)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_an_audited_table_is_written_only_beside_its_audit_row(service: str) -> None:
    all_bodies = bodies(service)
    callers = _callers(all_bodies)
    expect_none(
        f"{writer.place} {writer.name} writes {', '.join(sorted(hit))}: {end.place} {end.name} does not audit"
        for writer in all_bodies
        if (hit := writer.writes & audited(service))
        for end in _ends_without_audit(writer, callers, set())
        if not (end.by_lane and hit <= BY_LANE.get(service, set()))
    )


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "identity"])
def test_the_rule_meets_writes_of_audited_tables_in_every_service_that_has_mutations(service: str) -> None:
    assert {name for body in bodies(service) for name in body.writes} & audited(service)


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_is_audited_or_listed_with_its_reason(service: str) -> None:
    named = OWN_AUDIT[service] | BY_LANE.get(service, set())
    expect_none(f"{service} has no table {name}" for name in named - tables(service))


def _callers(all_bodies: list[Body]) -> dict[str, list[Body]]:
    """Who calls what; a name that use cases have too is theirs when it is called from above them."""
    of_use_cases = {body.name for body in all_bodies if body.place.startswith("app/")}
    callers: dict[str, list[Body]] = defaultdict(list)
    for body in all_bodies:
        above = body.place.startswith(("rpc/", "consumers/", "jobs/"))
        for name in body.calls:
            if not (above and name in of_use_cases):
                callers[name].append(body)
    return callers


def _ends_without_audit(body: Body, callers: dict[str, list[Body]], seen: set[str]) -> Iterator[Body]:
    """Where the ways up from a function end without having met an audit."""
    if body.audits or body.place in seen:
        return
    seen.add(body.place)
    above = [caller for caller in callers[body.name] if caller.place != body.place]
    if not above or body.by_lane:
        yield body
    for caller in above:
        if not body.by_lane:
            yield from _ends_without_audit(caller, callers, seen)


def _look(node: ast.AST, texts: dict[str, set[str]], body: Body) -> None:
    if isinstance(node, ast.Call):
        name = dotted(node.func).rpartition(".")[2]
        if any(dotted(argument).rpartition(".")[2] in TRANSACTION for argument in node.args):
            body.calls.add(name)
        body.audits = body.audits or dotted(node.func).endswith(".audit")
        if name in WRITES and node.args:
            body.writes.add(dotted(node.args[0]).rpartition(".")[2])
        if name == "copy_rows" and len(node.args) > 1:
            body.writes |= {table for argument in node.args for table in _literal(argument)}
    elif isinstance(node, ast.Name) and node.id in texts:
        body.writes |= texts[node.id]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        body.writes |= _tables_in(node)


def _aliases(function: Function) -> dict[str, str]:
    """Tables that a function gives a short name: `table = tables.plan`."""
    assigned = (node for node in ast.walk(function) if isinstance(node, ast.Assign) and len(node.targets) == 1)
    return {dotted(node.targets[0]): dotted(node.value).rpartition(".")[2] for node in assigned if dotted(node.value)}


def _literal(node: ast.AST) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def _module_constants(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node.value


def _tables_in(node: ast.AST) -> set[str]:
    """Tables that SQL texts below a node write."""
    texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return {name.lower() for text in texts for name in SQL.findall(text)}


def test_the_rule_sees_a_write_without_its_audit_row() -> None:
    tree = ast.parse("async def add(tx):\n    await tx.execute(insert(tables.plan).values())")
    (function,) = functions(tree)
    assert isinstance(function, Function)
    body = Body(function.name, "here")
    for node in ast.walk(function):
        _look(node, {}, body)
    assert (body.writes, body.audits) == ({"plan"}, False)
    assert list(_ends_without_audit(body, defaultdict(list), set())) == [body]
