"""Checks every request message against the rules in its contract."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import protovalidate
from apportion.options.v1 import options_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from apportion_common.grpc import limits
from apportion_common.grpc.interceptors.base import Call, CallInterceptor
from apportion_common.grpc.policy import ContractError
from apportion_common.grpc.rule_words import words_of
from apportion_common.grpc.status import RequestInvalid
from apportion_common.redaction import is_sensitive_field
from apportion_common.texts import name_fault, prose_fault

_FAULTS: Final[Mapping[int, Callable[[str], str]]] = {
    options_pb2.TEXT_NAME: name_fault,
    options_pb2.TEXT_PROSE: prose_fault,
}
_GENERIC: Final = "The value breaks a rule of the contract"


class ValidationInterceptor(CallInterceptor):
    """Refuses what the contract does not allow, naming the fields and never their values."""

    async def admit(self, call: Call, message: Any) -> None:
        """Check one message. Raises RequestInvalid VALIDATION_FAILED with at most VIOLATIONS_MAX violations."""
        check(message)


def check(message: Message) -> None:
    """Raise RequestInvalid when the message breaks rules of its contract."""
    found = protovalidate.collect_violations(message)
    violations = [describe(message, violation) for violation in found[: limits.VIOLATIONS_MAX]]
    violations += itertools.islice(_wrong_texts(message), limits.VIOLATIONS_MAX - len(violations))
    if violations:
        raise RequestInvalid(violations)


def describe(message: Message, violation: Any) -> tuple[str, str]:
    """Return the field path and description of a violation: neither holds the field's value, nor a map's key."""
    path = ""
    descriptor: Any = message.DESCRIPTOR
    sensitive = False
    proto = violation.proto
    elements = proto.field.elements if proto.field is not None else ()
    for element in elements:
        path += ("." if path else "") + element.field_name
        subscript = _subscript(element)
        if subscript is not None:
            path += f"[{subscript}]"
        field = descriptor.fields_by_name.get(element.field_name) if descriptor is not None else None
        sensitive = sensitive or (field is not None and is_sensitive_field(field))
        descriptor = field.message_type if field is not None else None
    if sensitive or not proto.message:
        return path, f"{_GENERIC} ({proto.rule_id})."
    return path, f"It {words_of(proto.rule_id, violation.rule_value, proto.message)}."


def _wrong_texts(message: Message, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each text that is not what its contract says it is, with a description without the text."""
    for field, text, within in _texts_of(message.DESCRIPTOR):
        value = getattr(message, field.name)
        if field.is_repeated:
            items = [(f"{above}{field.name}[{index}]", item) for index, item in enumerate(value)]
        elif within and not message.HasField(field.name):
            continue
        else:
            items = [(f"{above}{field.name}", value)]
        for path, item in items:
            if within:
                yield from _wrong_texts(item, f"{path}.")
            elif item and (fault := _FAULTS[text](item)):
                yield path, f"The value {fault}."


@cache
def _texts_of(message: Descriptor) -> tuple[tuple[FieldDescriptor, int, bool], ...]:
    """Return the fields of a message that are texts to look at, and those of messages that have such fields."""
    found = []
    for field in message.fields:
        options: Any = field.GetOptions()
        text: int = options.Extensions[options_pb2.text]
        if text in _FAULTS:
            found.append((field, text, False))
        elif _is_ours(field) and _texts_of(field.message_type):
            found.append((field, text, True))
    return tuple(found)


def _is_ours(field: FieldDescriptor) -> bool:
    """Return whether a field holds messages of our contracts, none of which holds itself; maps hold none."""
    found = field.message_type
    return found is not None and found.full_name.startswith("apportion.") and not found.GetOptions().map_entry


def _subscript(element: Any) -> str | None:
    """Return an index, `*` for a map's key, None for neither."""
    chosen = element.subscript
    if chosen is None:
        return None
    return str(chosen.value) if chosen.field == "index" else "*"


def compile_rules(service_names: Iterable[str]) -> None:
    """Compile the rules of all requests of those services once, so that no first call waits for it or finds them wrong.

    Raises ContractError for rules that do not compile.
    """
    pool = descriptor_pool.Default()
    for service_name in service_names:
        for method in pool.FindServiceByName(service_name).methods:
            request: Any = message_factory.GetMessageClass(method.input_type)()
            try:
                protovalidate.collect_violations(request)
            except (protovalidate.CompilationError, protovalidate.EvaluationError) as error:
                raise ContractError(f"The rules of {method.input_type.full_name} do not hold: {error}") from error
