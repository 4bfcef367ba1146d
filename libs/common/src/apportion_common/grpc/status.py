"""Errors as google.rpc.Status and back, in one place.

Every rejection carries an ErrorInfo with its stable reason in the domain "apportion"; bad fields come as BadRequest,
and what may work later as RetryInfo. The whole is kept small enough for a client's metadata limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Never

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from apportion_common import errors
from apportion_common.errors import ApportionError, InvalidArgument
from apportion_common.grpc import limits

DOMAIN: Final = "apportion"
INTERNAL_MESSAGE: Final = "The request failed for a reason of our own; it has been recorded."
_FIELD_ERRORS: Final = (errors.InvalidArgument, errors.OutOfRange)
_CLASS_OF_CODE: Final[dict[str, type[ApportionError]]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgument,
        errors.OutOfRange,
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.PermissionDenied,
        errors.Unauthenticated,
        errors.ResourceExhausted,
        errors.Unavailable,
        errors.Unimplemented,
    )
}


class DeadlineExceeded(ApportionError):
    """The call took longer than it was given."""

    code = "DEADLINE_EXCEEDED"


class Internal(ApportionError):
    """Our own fault; says nothing of its cause."""

    code = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("INTERNAL", INTERNAL_MESSAGE)


class RequestInvalid(InvalidArgument):
    """A request whose fields break the contract's rules; `violations` are (field path, description)."""

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__("VALIDATION_FAILED", "The request breaks rules of its contract; the details name the fields.")
        self.violations = tuple(violations[: limits.VIOLATIONS_MAX])


def status_of(error: ApportionError) -> status_pb2.Status:
    """Return the google.rpc.Status that callers see."""
    status = status_pb2.Status(
        code=grpc.StatusCode[error.code].value[0], message=error.message[: limits.MESSAGE_CHARS_MAX]
    )
    metadata = {key: str(value)[: limits.METADATA_VALUE_CHARS_MAX] for key, value in error.metadata.items()}
    if error.field is not None and not isinstance(error, _FIELD_ERRORS):
        metadata["field"] = error.field
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    retry_s = error.retry_after_s
    if retry_s is None and isinstance(error, errors.Unavailable):
        retry_s = limits.UNAVAILABLE_RETRY_S
    if retry_s is not None:
        _add(status, error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_s)))
    bad_request = _bad_request(error, limits.STATUS_BYTES_MAX - status.ByteSize())
    if bad_request.field_violations:
        _add(status, bad_request)
    return status


def _bad_request(error: ApportionError, budget_bytes: int) -> error_details_pb2.BadRequest:
    """Return the field violations of the error, as many as fit."""
    found: Sequence[tuple[str, str]] = ()
    if isinstance(error, RequestInvalid):
        found = error.violations
    elif error.field is not None and isinstance(error, _FIELD_ERRORS):
        found = ((error.field, error.message),)
    bad_request = error_details_pb2.BadRequest()
    for field, description in found:
        bad_request.field_violations.add(
            field=field[: limits.METADATA_VALUE_CHARS_MAX],
            description=description[: limits.METADATA_VALUE_CHARS_MAX],
            reason=error.reason,
        )
        if bad_request.ByteSize() > budget_bytes and len(bad_request.field_violations) > 1:
            del bad_request.field_violations[-1]
            break
    return bad_request


def _add(status: status_pb2.Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: ApportionError) -> Never:
    """End the call with the error's status. Raises grpc.aio.AbortError without the error's own history."""
    status = rpc_status.to_status(status_of(error))
    try:
        await context.abort(status.code, status.details, status.trailing_metadata)
    except grpc.aio.AbortError as aborted:
        raise aborted from None


def error_of(rpc_error: grpc.RpcError) -> ApportionError:
    """Return the typed error that another service answered with.

    Answers without our ErrorInfo become Unavailable DEPENDENCY_UNAVAILABLE where trying again may help (no connection,
    deadline, cancelled), Unimplemented for an unknown method, and Internal otherwise.
    """
    code, details, trailing = _parts(rpc_error)
    kind = _CLASS_OF_CODE.get(code.name)
    for status in (status_pb2.Status.FromString(v) for k, v in trailing if k == "grpc-status-details-bin"):
        error = _typed(kind, status, details)
        if error is not None:
            return error
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return errors.Unavailable("DEPENDENCY_UNAVAILABLE", "Another service that is needed does not answer.")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.ResourceExhausted("DEPENDENCY_BUSY", "Another service that is needed is too busy.")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.Unimplemented("NOT_IMPLEMENTED", "Another service that is needed does not offer this.")
    return Internal()


def _parts(rpc_error: grpc.RpcError) -> tuple[grpc.StatusCode, str, list[tuple[str, Any]]]:
    if not isinstance(rpc_error, grpc.aio.AioRpcError):
        return grpc.StatusCode.UNKNOWN, "", []
    return rpc_error.code(), rpc_error.details() or "", list(rpc_error.trailing_metadata() or ())


def _typed(kind: type[ApportionError] | None, status: status_pb2.Status, details: str) -> ApportionError | None:
    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    for packed in status.details:
        # Unpack says whether the message was of that type, and leaves the others alone.
        any(packed.Unpack(detail) for detail in (info, retry, bad))
    if kind is None or info.domain != DOMAIN or not info.reason:
        return None
    error = kind(info.reason, status.message or details)
    error.metadata = dict(info.metadata)
    error.field = bad.field_violations[0].field if bad.field_violations else None
    error.retry_after_s = retry.retry_delay.seconds or None
    return error


def reason_of(rpc_error: grpc.RpcError) -> str:
    """Return the stable reason of an answer; an empty text when it has none of ours."""
    _, details, trailing = _parts(rpc_error)
    for key, value in trailing:
        if key == "grpc-status-details-bin":
            error = _typed(ApportionError, status_pb2.Status.FromString(value), details)
            if error is not None:
                return error.reason
    return ""
