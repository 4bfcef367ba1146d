"""Every RPC of every service stands behind one flag or, said so, behind none; and the page of flags says the same."""

from __future__ import annotations

import importlib
import tomllib

import pytest
from apportion_common.flags import FLAGS, FlagTable
from apportion_common.settings import SERVICES
from apportion_common.topology import LANE_ROLES
from google.protobuf import descriptor_pool
from house import ROOT, expect_none, package

PAGE = ROOT / "docs" / "flags.md"


def table(service: str) -> FlagTable:
    importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2")
    found = importlib.import_module(f"apportion_{service}.flags").FLAGS
    assert isinstance(found, FlagTable)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_rpc_of_a_service_is_declared_in_its_flags(service: str) -> None:
    declared = table(service)
    contract = descriptor_pool.Default().FindServiceByName(declared.service_name)
    declared.check(f"/{declared.service_name}/{method.name}" for method in contract.methods)


@pytest.mark.parametrize("service", SERVICES)
def test_every_field_behind_a_flag_is_one_of_its_request(service: str) -> None:
    declared = table(service)
    methods = descriptor_pool.Default().FindServiceByName(declared.service_name).methods_by_name
    for scope in declared.scopes:
        for name in scope.fields:
            rpc, _, field = name.partition(".")
            assert field in methods[rpc].input_type.fields_by_name


def test_every_flag_has_something_behind_it() -> None:
    assert {scope.flag for service in SERVICES for scope in table(service).scopes} == set(FLAGS)


@pytest.mark.parametrize("service", SERVICES)
def test_every_lane_role_of_a_service_stands_behind_a_flag(service: str) -> None:
    declared = set(table(service).consumers)
    expect_none(set(LANE_ROLES.get(service, ())) - declared)


@pytest.mark.parametrize("service", SERVICES)
def test_a_lane_role_is_named_by_the_topology_alone(service: str) -> None:
    """No service has a constant of its own for a role, which the test above would not see."""
    found = []
    for file in sorted(package(service).rglob("*.py")):
        for line in file.read_text(encoding="utf-8").splitlines():
            name, separator, value = line.partition(": Final = ")
            if separator and (name == "ROLE" or name.endswith("_ROLE")) and value.startswith('"'):
                found.append(f"{file.name}: {line}")
    expect_none(found)


@pytest.mark.parametrize("service", SERVICES)
def test_every_seed_file_stands_behind_the_flag_that_it_names(service: str) -> None:
    files = {file.name: file for file in (package(service) / "seeds").glob("*.toml")}
    seeds = table(service).seeds
    assert set(files) == set(seeds)
    for name, file in files.items():
        assert tomllib.loads(file.read_text(encoding="utf-8"))["flag"] == seeds[name]


def test_the_page_of_flags_names_each_flag_with_all_that_stands_behind_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for flag in FLAGS:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{flag}` |"))
        scopes = [scope for service in SERVICES for scope in table(service).scopes if scope.flag == flag]
        things = [thing for scope in scopes for thing in (*scope.rpcs, *scope.fields, *scope.consumers, *scope.seeds)]
        expect_none(f"{flag}: {thing}" for thing in things if f"`{thing}`" not in row)
