"""The platform's own services against every RPC of the contract: each calls what names it, and nothing else."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from apportion_common.caller import FINANCE, OPERATOR, SERVICE, Caller
from apportion_common.errors import PermissionDenied
from apportion_common.grpc.policy import MethodPolicy, policies_of
from apportion_common.settings import SERVICES

ROOT = Path(__file__).resolve().parents[4]
CALLS = {
    ("identity", "/apportion.orgs.v1.OrgsService/ListAncestors"),
    ("pricing", "/apportion.orgs.v1.OrgsService/ResolveBillingAccounts"),
    ("orgs", "/apportion.ledger.v1.LedgerService/FixWatermark"),
    ("orgs", "/apportion.ledger.v1.LedgerService/SummarizeLines"),
    ("orgs", "/apportion.metering.v1.MeteringService/ReopenPeriod"),
}
"""Which service calls which RPC: written by hand, so that the contract is not its own proof."""


@pytest.fixture(scope="module")
def policies() -> dict[str, MethodPolicy]:
    names = []
    for service in SERVICES:
        module = importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2")
        names += [found.full_name for found in module.DESCRIPTOR.services_by_name.values()]
    return policies_of(names)


def may_call(policy: MethodPolicy, caller: Caller) -> bool:
    try:
        policy.check_role(caller)
    except PermissionDenied:
        return False
    return True


@pytest.mark.parametrize("roles", [{SERVICE}, {SERVICE, OPERATOR, FINANCE}])
def test_each_service_calls_what_the_contract_names_it_for_and_nothing_else_whatever_its_roles(
    policies: dict[str, MethodPolicy], roles: set[str]
) -> None:
    allowed = {
        (service, name)
        for name, policy in policies.items()
        for service in (*SERVICES, "gateway", "")
        if not policy.is_public and may_call(policy, Caller(f"service:{service}", frozenset(roles)))
    }
    assert allowed == CALLS


def test_accounts_that_an_operator_made_keep_what_their_roles_open(policies: dict[str, MethodPolicy]) -> None:
    account = Caller("service_account:0190a7d2-0000-7000-8000-000000000001", frozenset({SERVICE}))
    opened = {name for name, policy in policies.items() if may_call(policy, account)}
    assert {name for _, name in CALLS} < opened
    assert "/apportion.metering.v1.MeteringService/IngestEvents" in opened
    assert "/apportion.ledger.v1.LedgerService/RunSweep" not in opened


def test_the_calls_in_the_services_code_are_those_that_the_contract_names() -> None:
    found = set()
    for service in SERVICES:
        for file in sorted((ROOT / "services" / service / "src").rglob("adapters/*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            stubs = {
                node.id.removesuffix("Stub")
                for node in ast.walk(tree)
                if isinstance(node, ast.Name) and node.id.endswith("ServiceStub")
            }
            methods = {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._stub"
            }
            owner = {f"{name.capitalize()}Service": name for name in SERVICES}
            found |= {(service, f"/apportion.{owner[stub]}.v1.{stub}/{method}") for stub in stubs for method in methods}
    assert found == CALLS
