"""Every contract says who may call and how much a call may bring, and its limits are the code's limits."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from apportion.options.v1 import options_pb2
from apportion_common.grpc.rule_words import PATTERNS
from apportion_common.settings import SERVICES
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

ORG_LEVELS = {options_pb2.AUTH_LEVEL_ORG_USER, options_pb2.AUTH_LEVEL_ORG_ADMIN, options_pb2.AUTH_LEVEL_ORG_OWNER}
LENGTHS = ("len", "max_len", "max_bytes", "len_bytes", "const")
FIXED_FORMATS = ("uuid", "tuuid", "hostname", "ip", "ipv4", "ipv6")
"""Formats that have a longest text; `email` and `uri` have none."""

LIMITED_BY_CODE = {
    "apportion.metering.v1.IngestEventsRequest.events": ("apportion_metering.limits", "CALL_EVENTS_MAX"),
    "apportion.metering.v1.IngestEventsRequest.compact_events": ("apportion_metering.limits", "CALL_EVENTS_MAX"),
    "apportion.metering.v1.UsageEvent.metadata": ("apportion_metering.limits", "METADATA_BYTES_MAX"),
    "apportion.metering.v1.CompactUsageEvent.metadata": ("apportion_metering.limits", "METADATA_BYTES_MAX"),
}
"""Fields that the handler bounds itself, event by event, so that one bad event does not refuse the good ones."""

SAME_IN_CODE = {
    "apportion.pricing.v1.PlanSku.tiers": ("apportion_pricing.limits", "TIERS_MAX"),
    "apportion.pricing.v1.Tiers.tiers": ("apportion_pricing.limits", "TIERS_MAX"),
    "apportion.pricing.v1.EffectiveEntitlement.tiers": ("apportion_pricing.limits", "TIERS_MAX"),
    "apportion.orgs.v1.ResolveBillingAccountsRequest.items": ("apportion_pricing.limits", "RESOLVE_ITEMS_MAX"),
    "apportion.ledger.v1.DiffDigestResponse.differences": ("apportion_ledger.limits", "DIFFERENCES_MAX"),
    "apportion.ledger.v1.InvariantResult.examples": ("apportion_ledger.limits", "CHECK_EXAMPLES_MAX"),
    "apportion.ledger.v1.ListLineDigestsResponse.digests": ("apportion_ledger.limits", "DIGEST_PAGE_LINES"),
    "apportion.ledger.v1.SummarizeLinesResponse.sums": ("apportion_ledger.limits", "SUMMARY_PAGE_SUMS"),
}
"""Fields whose most items the code names too: the one is never less than the other lets in."""


def services() -> list[ServiceDescriptor]:
    modules = (importlib.import_module(f"apportion.{name}.v1.{name}_service_pb2") for name in SERVICES)
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def methods() -> list[MethodDescriptor]:
    return [method for service in services() for method in service.methods]


def option(method: MethodDescriptor, extension: Any) -> Any:
    return method.GetOptions().Extensions[extension]


def test_every_service_has_a_contract() -> None:
    assert {service.full_name.split(".")[1] for service in services()} == set(SERVICES)


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_rpc_says_who_may_call_it(method: MethodDescriptor) -> None:
    assert option(method, options_pb2.auth_level) != options_pb2.AUTH_LEVEL_UNSPECIFIED


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_an_rpc_for_an_organisation_names_the_field_that_it_is_checked_against(method: MethodDescriptor) -> None:
    paths = list(option(method, options_pb2.org_field))
    assert bool(paths) == (option(method, options_pb2.auth_level) in ORG_LEVELS)
    for path in paths:
        found: Descriptor | None = method.input_type
        for name in path.split("."):
            assert found is not None, path
            assert name in found.fields_by_name, f"{path} leads nowhere"
            found = found.fields_by_name[name].message_type


def test_only_keys_and_tokens_are_public() -> None:
    public = {m.full_name for m in methods() if option(m, options_pb2.auth_level) == options_pb2.AUTH_LEVEL_PUBLIC}
    assert public == {
        f"apportion.identity.v1.IdentityService.{name}" for name in ("GetJwks", "IssueToken", "ExchangeToken")
    }


def test_every_mutation_that_is_built_carries_a_request_id() -> None:
    """Intake is idempotent per event; AppendCharges per charge; a proof per message; reads and new tokens need none."""
    reads = ("Get", "List", "Resolve", "Check", "Summarize", "Diff", "Fix", "Preview", "Watch", "Verify", "Estimate")
    reads += ("Inspect", "Suggest", "Lookup")
    by_content = {"IngestEvents", "AppendCharges", "SubmitVerificationEmail", "IssueToken", "ExchangeToken"}
    found = [
        method.full_name
        for method in methods()
        if method.input_type.fields
        and not method.name.startswith(reads)
        and method.name not in by_content
        and "request_id" not in method.input_type.fields_by_name
    ]
    assert found == []


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_text_and_every_bytes_field_of_a_request_has_a_longest_value(method: MethodDescriptor) -> None:
    found = [
        field.full_name
        for field in _fields(method.input_type)
        if field.full_name not in LIMITED_BY_CODE and not _is_bounded(field)
    ]
    assert found == []


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_repeated_field_of_a_call_and_its_answer_has_a_most(method: MethodDescriptor) -> None:
    found = [
        field.full_name
        for message in (method.input_type, method.output_type)
        for field in _fields(message)
        if field.is_repeated and not _is_map(field) and field.full_name not in LIMITED_BY_CODE
        if not _rules(field).repeated.HasField("max_items")
    ]
    assert found == []


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_map_of_a_request_has_a_most_pairs(method: MethodDescriptor) -> None:
    maps = [field for field in _fields(method.input_type) if _is_map(field)]
    assert [field.full_name for field in maps if not _rules(field).map.HasField("max_pairs")] == []


@pytest.mark.parametrize(("field", "limit"), LIMITED_BY_CODE.items(), ids=lambda value: str(value))
def test_what_code_bounds_instead_of_the_contract_has_its_limit_there(field: str, limit: tuple[str, str]) -> None:
    module, name = limit
    assert getattr(importlib.import_module(module), name) > 0
    assert field in {f.full_name for method in methods() for f in _fields(method.input_type)}


@pytest.mark.parametrize(("name", "limit"), SAME_IN_CODE.items(), ids=lambda value: str(value))
def test_what_contract_and_code_both_bound_has_one_limit(name: str, limit: tuple[str, str]) -> None:
    module, constant = limit
    messages = (message for method in methods() for message in (method.input_type, method.output_type))
    (most,) = {_rules(field).repeated.max_items for m in messages for field in _fields(m) if field.full_name == name}
    assert most == getattr(importlib.import_module(module), constant)


def test_numbers_and_money_are_never_binary_fractions_on_the_wire() -> None:
    binary = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
    messages = [message for method in methods() for message in (method.input_type, method.output_type)]
    ours = (field for message in messages for field in _fields(message))
    assert [field.full_name for field in ours if field.type in binary] == []


def _fields(message: Descriptor, seen: set[str] | None = None) -> Iterator[FieldDescriptor]:
    """All fields of a message of ours and of the messages of ours in it."""
    seen = set() if seen is None else seen
    if message.full_name in seen or not message.full_name.startswith("apportion."):
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field
        if field.message_type is not None and not _is_map(field):
            yield from _fields(field.message_type, seen)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def _is_bounded(field: FieldDescriptor) -> bool:
    """Whether a text or bytes field, or each item or pair of one, has a longest value; other types always have."""
    rules = _rules(field)
    if _is_map(field):
        key, value = field.message_type.fields
        return _fits(key.type, rules.map.keys) and _fits(value.type, rules.map.values)
    return _fits(field.type, rules.repeated.items if field.is_repeated else rules)


def _fits(kind: int, rules: Any) -> bool:
    if kind == FieldDescriptor.TYPE_BYTES:
        return any(rules.bytes.HasField(name) for name in ("len", "max_len", "const"))
    if kind != FieldDescriptor.TYPE_STRING:
        return True
    text = rules.string
    if any(text.HasField(name) for name in LENGTHS) or getattr(text, "in"):
        return True
    if text.WhichOneof("well_known") in FIXED_FORMATS:
        return True
    return text.HasField("pattern") and _has_longest_match(text.pattern)


def _has_longest_match(pattern: str) -> bool:
    """Whether an anchored pattern repeats nothing without end."""
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern)
    return bare.startswith("^") and bare.endswith("$") and re.search(r"[*+]|\{\d+,\}", bare) is None


def patterns_of(message: Descriptor) -> Iterator[str]:
    """The patterns of a message's texts, of lists of them, and of maps' keys and values."""
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        for text in (
            rules.string,
            rules.repeated.items.string,
            rules.map.keys.string,
            rules.map.values.string,
        ):
            if text.HasField("pattern"):
                yield text.pattern
    for inner in message.nested_types:
        yield from patterns_of(inner)


def test_what_a_pattern_asks_for_is_said_in_words_and_never_as_a_regular_expression() -> None:
    files = {service.file for service in services()}
    used = {
        pattern for file in files for message in file.message_types_by_name.values() for pattern in patterns_of(message)
    }
    assert used
    assert used - PATTERNS.keys() == set(), "These patterns have no words in rule_words.py."
    assert PATTERNS.keys() - used == set(), "No field has these patterns any more."
