"""Texts that are compared or read have one form, in every request of every service: none can forget to look."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
from apportion.options.v1 import options_pb2
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_common.grpc.interceptors.validation import check
from apportion_common.grpc.status import RequestInvalid
from apportion_common.settings import SERVICES
from apportion_common.skus import SKU_CHARS_MAX, SKU_TYPES, is_sku, sku_type_alike
from buf.validate import validate_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

MODULES: Final = [importlib.import_module(f"apportion.{name}.v1.{name}_service_pb2") for name in SERVICES]
REQUESTS: Final = [
    method.input_type
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
BY_NAME: Final = {"request_id", "page_token"}
"""Opaque in whatever request they are."""
CHECKED_ONE_BY_ONE: Final = {"apportion.metering.v1.UsageEvent", "apportion.metering.v1.CompactUsageEvent"}
"""Metering rejects a wrong event alone, and takes the others of its call."""
WRONG_NAMES: Final = ("  ", "\u00a0", "gold ", " gold", "gold\n", "Zoe\u0308", "go\u200bld", "go\x00ld", "\u202egold")
WRONG_PROSE: Final = ("  ", "\n", "be\x07cause")

Path = tuple[FieldDescriptor, ...]


def texts(message: Descriptor, above: Path = ()) -> Iterator[Path]:
    """Every text of a request of ours, with the fields that lead to it; metering looks at events one by one."""
    if message.full_name in CHECKED_ONE_BY_ONE:
        return
    for field in message.fields:
        path = (*above, field)
        if field.type == FieldDescriptor.TYPE_STRING:
            yield path
        elif (found := field.message_type) is not None and found.full_name.startswith("apportion."):
            yield from () if found.GetOptions().map_entry else texts(found, path)


def form(field: FieldDescriptor) -> int:
    """What the contract says that a text is."""
    found: int = field.GetOptions().Extensions[options_pb2.text]
    return found


def has_format(field: FieldDescriptor) -> bool:
    """Whether rules of the contract say what the text looks like."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    text = rules.repeated.items.string if field.is_repeated else rules.string
    return bool(text.WhichOneof("well_known") or text.HasField("pattern") or getattr(text, "in"))


def declared(*forms: int) -> list[tuple[Descriptor, Path]]:
    """The texts of those forms, each in its request."""
    return [(request, path) for request in REQUESTS for path in texts(request) if form(path[-1]) in forms]


def rejected(request: Descriptor, path: Path, value: str) -> bool:
    """Whether a request is refused for the value of a text, by the path that names it."""
    message: Any = message_factory.GetMessageClass(request)()
    part, named = message, []
    for field in path[:-1]:
        part = getattr(part, field.name).add() if field.is_repeated else getattr(part, field.name)
        named.append(f"{field.name}[0]" if field.is_repeated else field.name)
    last = path[-1]
    if last.is_repeated:
        getattr(part, last.name).append(value)
    else:
        setattr(part, last.name, value)
    named.append(f"{last.name}[0]" if last.is_repeated else last.name)
    try:
        check(message)
    except RequestInvalid as error:
        return any(at == ".".join(named) and told.startswith("The value") for at, told in error.violations)
    return False


def shown(value: object) -> str:
    return f"{value[-1].full_name}" if isinstance(value, tuple) else getattr(value, "name", repr(value))


def test_every_text_of_a_request_has_a_format_or_says_what_it_is() -> None:
    found = {
        path[-1].full_name
        for request in REQUESTS
        for path in texts(request)
        if path[-1].name not in BY_NAME and not has_format(path[-1]) and form(path[-1]) == options_pb2.TEXT_UNSPECIFIED
    }
    assert found == set(), "say with the option `text` what it is"


@pytest.mark.parametrize(("request_type", "path"), declared(options_pb2.TEXT_NAME), ids=shown)
def test_a_name_or_key_without_its_form_is_refused_wherever_it_comes_in(request_type: Descriptor, path: Path) -> None:
    assert [value for value in WRONG_NAMES if not rejected(request_type, path, value)] == []
    assert [value for value in ("gold", "Zo\u00eb", "nam \u6771\u4eac") if rejected(request_type, path, value)] == []


@pytest.mark.parametrize(("request_type", "path"), declared(options_pb2.TEXT_PROSE), ids=shown)
def test_a_reason_that_says_nothing_is_refused_wherever_it_comes_in(request_type: Descriptor, path: Path) -> None:
    assert [value for value in WRONG_PROSE if not rejected(request_type, path, value)] == []
    assert [value for value in ("because", " two\nlines ") if rejected(request_type, path, value)] == []


def test_what_is_wrong_is_told_without_the_value() -> None:
    message = pricing.CreatePlanRequest(name="secret plan ")
    with pytest.raises(RequestInvalid) as error:
        check(message)
    assert ("name", "The value begins or ends with a blank.") in error.value.violations
    assert "secret" not in str(error.value.violations)


def test_sku_types_and_forms_are_those_of_the_contract() -> None:
    named = [name.removeprefix("SKU_TYPE_").lower() for name in pricing.SkuType.keys()[1:]]
    assert sorted(named) == sorted(SKU_TYPES)
    assert {sku_type_alike(name) for name in pricing.SkuType.keys()[1:]} == set(SKU_TYPES)
    assert (sku_type_alike(" Action "), sku_type_alike("actoin")) == ("action", "")
    rules = pricing.Sku.DESCRIPTOR.fields_by_name["sku"].GetOptions().Extensions[validate_pb2.field].string
    assert rules.max_len == SKU_CHARS_MAX
    for sku in ("ACT-EMAIL", "A", "A1-2B", "act", "A-", "-A", "A--B", "A B", "A\n", "\u00c9", ""):
        told = False
        try:
            check(pricing.CreateSkuRequest(sku=pricing.Sku(sku=sku)))
        except RequestInvalid as error:
            told = any(at == "sku.sku" for at, _ in error.violations)
        assert is_sku(sku) is not told, sku
    assert not is_sku("A" * (SKU_CHARS_MAX + 1))
