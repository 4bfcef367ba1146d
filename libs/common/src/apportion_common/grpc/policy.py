"""Who may call which RPC: read from the contract's descriptors at start; an RPC that does not say is refused there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from apportion.options.v1 import options_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from apportion_common.caller import ADMIN, FINANCE, OPERATOR, OWNER, SERVICE, USER, Caller, org_forbidden
from apportion_common.errors import ApportionError, PermissionDenied
from apportion_common.ids import parse_uuid, uuid_of_bytes
from apportion_common.settings import SERVICES

_ROLES_OF_LEVEL: Final[dict[int, frozenset[str]]] = {
    options_pb2.AUTH_LEVEL_ORG_USER: frozenset({USER, ADMIN, OWNER, SERVICE, OPERATOR}),
    options_pb2.AUTH_LEVEL_ORG_ADMIN: frozenset({ADMIN, OWNER, SERVICE, OPERATOR}),
    options_pb2.AUTH_LEVEL_ORG_OWNER: frozenset({OWNER, OPERATOR}),
    options_pb2.AUTH_LEVEL_SERVICE: frozenset({SERVICE, OPERATOR}),
    options_pb2.AUTH_LEVEL_FINANCE: frozenset({FINANCE, OPERATOR}),
    options_pb2.AUTH_LEVEL_OPERATOR: frozenset({OPERATOR}),
}
_ORG_LEVELS: Final = frozenset(
    {options_pb2.AUTH_LEVEL_ORG_USER, options_pb2.AUTH_LEVEL_ORG_ADMIN, options_pb2.AUTH_LEVEL_ORG_OWNER}
)

OrgValues = Callable[[Any], Iterable[str | bytes]]


class ContractError(RuntimeError):
    """A contract that a server cannot start with; the message is a full sentence."""


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """Who may call one RPC."""

    level: int
    org_values: tuple[OrgValues, ...]
    callers: frozenset[str] = frozenset()
    """Which of the platform's own services may call it."""

    @property
    def is_public(self) -> bool:
        """Whether no token is asked for."""
        return self.level == options_pb2.AUTH_LEVEL_PUBLIC

    def check_role(self, caller: Caller) -> None:
        """Raise PermissionDenied unless the caller may call this at all.

        ROLE_REQUIRED when none of its roles is enough; SERVICE_FORBIDDEN for one of the platform's own services that
        the contract does not name.
        """
        roles = _ROLES_OF_LEVEL.get(self.level)
        if roles is not None and roles.isdisjoint(caller.roles):
            name = options_pb2.AuthLevel.Name(self.level).removeprefix("AUTH_LEVEL_")
            raise PermissionDenied("ROLE_REQUIRED", "The token has none of the roles that may call this.", level=name)
        service = caller.own_service
        if service is not None and service not in self.callers:
            raise PermissionDenied("SERVICE_FORBIDDEN", "The contract does not name this service as a caller.")

    def check_orgs(self, caller: Caller, request: Message) -> None:
        """Raise PermissionDenied ORG_FORBIDDEN unless every organisation that the request names is the caller's.

        An empty or malformed value is nobody's; the platform's roles pass.
        """
        if self.level not in _ORG_LEVELS or caller.is_platform:
            return
        if caller.org_id is None:
            raise org_forbidden()
        for org_values in self.org_values:
            for value in set(org_values(request)):
                if _uuid_or_none(value) != caller.org_id:
                    raise org_forbidden()


def _uuid_or_none(value: str | bytes) -> UUID | None:
    try:
        return parse_uuid(value) if isinstance(value, str) else uuid_of_bytes(value)
    except ApportionError:
        return None


def policies_of(service_names: Sequence[str]) -> dict[str, MethodPolicy]:
    """Return the policy of every RPC of those services, by `/package.Service/Method`.

    Raises ContractError for a service that is not in the descriptor pool, an RPC without a level, an ORG_* level
    without an org_field, an org_field that does not lead to a string or bytes field, and a caller that is no service.
    """
    pool = descriptor_pool.Default()
    policies: dict[str, MethodPolicy] = {}
    for service_name in service_names:
        try:
            service = pool.FindServiceByName(service_name)
        except KeyError:
            raise ContractError(f"There is no contract of the service {service_name}.") from None
        for method in service.methods:
            extensions: Any = method.GetOptions().Extensions
            level = extensions[options_pb2.auth_level]
            paths = list(extensions[options_pb2.org_field])
            full_name = f"{service_name}.{method.name}"
            if level == options_pb2.AUTH_LEVEL_UNSPECIFIED:
                raise ContractError(f"The RPC {full_name} does not say who may call it (auth_level).")
            if level in _ORG_LEVELS and not paths:
                raise ContractError(f"The RPC {full_name} is for an organisation and names none (org_field).")
            callers = frozenset(extensions[options_pb2.callers])
            if not callers <= set(SERVICES):
                raise ContractError(f"The RPC {full_name} names a caller that is no service (callers).")
            getters = tuple(_compile_path(full_name, method.input_type, path) for path in paths)
            policies[f"/{service_name}/{method.name}"] = MethodPolicy(level, getters, callers)
    return policies


def _compile_path(full_name: str, descriptor: Any, path: str) -> OrgValues:
    """Return a function that returns all values at a dotted path of a message, through repeated fields too."""
    steps: list[tuple[str, bool]] = []
    names = path.split(".")
    for place, name in enumerate(names):
        field: FieldDescriptor | None = None if descriptor is None else descriptor.fields_by_name.get(name)
        is_map = field is not None and field.message_type is not None and field.message_type.GetOptions().map_entry
        if field is None or is_map:
            raise ContractError(f"The org_field {path!r} of the RPC {full_name} leads nowhere.")
        steps.append((name, field.is_repeated))
        descriptor = field.message_type
        last = place == len(names) - 1
        if last and field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            raise ContractError(f"The org_field {path!r} of the RPC {full_name} is no string and no bytes.")
    return _getter(steps)


def _getter(steps: Sequence[tuple[str, bool]]) -> OrgValues:
    name, repeated = steps[0]
    get = attrgetter(name)
    if len(steps) == 1:
        return get if repeated else lambda message: (get(message),)
    inner = steps[1:]
    if repeated and len(inner) == 1 and not inner[0][1]:
        # The usual shape, such as events.org_id: no Python frame per event.
        get_inner = attrgetter(inner[0][0])
        return lambda message: map(get_inner, get(message))
    deeper = _getter(inner)
    if repeated:
        return lambda message: (value for item in get(message) for value in deeper(item))
    return lambda message: deeper(get(message))
