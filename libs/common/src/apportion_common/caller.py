"""Who calls, and what is known of the call: carried with the task, never passed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from apportion_common.errors import PermissionDenied

SERVICE: Final = "service"
OPERATOR: Final = "operator"
FINANCE: Final = "finance"
OWNER: Final = "owner"
ADMIN: Final = "admin"
USER: Final = "user"

OWN_SERVICE_SUBJECT: Final = "service:"
"""How the subjects of the platform's own services begin; those of accounts that an operator made begin otherwise."""
PLATFORM_ROLES: Final = frozenset({SERVICE, OPERATOR})


@dataclass(frozen=True, slots=True)
class Caller:
    """The subject of a verified token. `roles` are in lower case: owner, admin, user, operator, finance, service."""

    subject: str
    roles: frozenset[str] = frozenset()
    org_id: UUID | None = None
    amr: tuple[str, ...] = ()
    request_id: str = ""

    @property
    def is_platform(self) -> bool:
        """Whether this is one of the platform's services or its operator, who may act for every organisation."""
        return not PLATFORM_ROLES.isdisjoint(self.roles)

    @property
    def own_service(self) -> str | None:
        """The name of the platform's own service that this is; None for everybody else."""
        if self.subject.startswith(OWN_SERVICE_SUBJECT):
            return self.subject.removeprefix(OWN_SERVICE_SUBJECT)
        return None

    def has_role(self, role: str) -> bool:
        """Return whether the token names the role, in either case."""
        return role.lower() in self.roles


def org_forbidden() -> PermissionDenied:
    """Return the rejection of another organisation's data; it does not say whether there is such an organisation."""
    return PermissionDenied("ORG_FORBIDDEN", "The token does not allow acting for this organisation.")


@dataclass(slots=True)
class CallInfo:
    """What the interceptors learn of a call in progress, for its log line."""

    method: str
    request_id: str
    reason: str = ""
    caller: Caller | None = None


_caller: ContextVar[Caller | None] = ContextVar("apportion_caller", default=None)
_call: ContextVar[CallInfo | None] = ContextVar("apportion_call", default=None)


def current_caller() -> Caller:
    """Return the caller of the RPC in progress. Raises LookupError outside a call and in a public one without a
    token.
    """
    caller = _caller.get()
    if caller is None:
        raise LookupError("No authenticated call is in progress.")
    return caller


def optional_caller() -> Caller | None:
    """Return the caller of the RPC in progress, or None when there is none."""
    return _caller.get()


def current_call() -> CallInfo | None:
    """Return what is known of the call in progress, or None outside one."""
    return _call.get()


def enter_call(info: CallInfo) -> None:
    """Make this the call of the current task, with nobody authenticated yet."""
    _call.set(info)
    _caller.set(None)


@contextmanager
def serving(info: CallInfo) -> Iterator[None]:
    """Serve somebody from outside for a while who does not come by RPC, such as by mail."""
    token = _call.set(info)
    try:
        yield
    finally:
        _call.reset(token)


def enter_caller(caller: Caller) -> None:
    """Make this the caller of the current task's call."""
    _caller.set(caller)
    info = _call.get()
    if info is not None:
        info.caller = caller


@contextmanager
def acting_as(caller: Caller) -> Iterator[Caller]:
    """Be this caller for a while, outside an RPC: in commands and tests."""
    token = _caller.set(caller)
    try:
        yield caller
    finally:
        _caller.reset(token)
