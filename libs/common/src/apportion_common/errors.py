"""The typed tree of errors. Each has a stable reason and a full-sentence message.

    ApportionError
    ├── InvalidArgument      the request can never be right
    ├── OutOfRange           a value is beyond a limit
    ├── FailedPrecondition   the state does not allow it now
    ├── NotFound
    ├── AlreadyExists
    ├── PermissionDenied     who is known, and may not
    ├── Unauthenticated      who is not known
    ├── ResourceExhausted    a limit of use is reached
    ├── Unavailable          trying again may help
    └── Unimplemented        the contract has it, this server does not yet

Pure code raises these, so the module knows nothing of gRPC: `code` is the name of a status, and `grpc/status.py`
turns an error into one.
"""

from __future__ import annotations

from typing import ClassVar, Final

UNAVAILABLE_SINCE: Final = "unavailable_since"
"""Metadata of an Unavailable that knows when the outage began: an RFC 3339 time in UTC."""


class ApportionError(Exception):
    """A rejection with an UPPER_SNAKE `reason` and a full-sentence message.

    `field` is the dotted path of the request field at fault; `retry_after_s` says in how many seconds a caller should
    try again; further keywords are metadata for programs. None of them may hold a secret: callers see them all.
    """

    code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self, reason: str, message: str, *, field: str | None = None, retry_after_s: int | None = None, **metadata: str
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self.metadata = metadata


class InvalidArgument(ApportionError):
    """The request can never be right."""

    code = "INVALID_ARGUMENT"


class OutOfRange(ApportionError):
    """A value is beyond a limit."""

    code = "OUT_OF_RANGE"


class FailedPrecondition(ApportionError):
    """The state does not allow it now."""

    code = "FAILED_PRECONDITION"


class NotFound(ApportionError):
    """There is no such thing, or none that the caller may know of."""

    code = "NOT_FOUND"


class AlreadyExists(ApportionError):
    """There is one already."""

    code = "ALREADY_EXISTS"


class PermissionDenied(ApportionError):
    """The caller is known, and may not."""

    code = "PERMISSION_DENIED"


class Unauthenticated(ApportionError):
    """The caller is not known."""

    code = "UNAUTHENTICATED"


class ResourceExhausted(ApportionError):
    """A limit of use is reached."""

    code = "RESOURCE_EXHAUSTED"


class Unavailable(ApportionError):
    """Something that is needed does not answer; trying again may help."""

    code = "UNAVAILABLE"


class Unimplemented(ApportionError):
    """The contract has it, this server does not yet."""

    code = "UNIMPLEMENTED"
