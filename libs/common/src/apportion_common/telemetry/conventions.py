"""Names of span attributes in OpenTelemetry's semantic conventions.

Those of databases and errors are stable, and the library's own constants. Those of messaging and calls are not stable
yet: the library keeps them in a private module, so the ones that are used stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.db_attributes import (
    DB_COLLECTION_NAME,
    DB_NAMESPACE,
    DB_OPERATION_NAME,
    DB_QUERY_TEXT,
    DB_RESPONSE_STATUS_CODE,
    DB_SYSTEM_NAME,
    DbSystemNameValues,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL

__all__ = [
    "DB_COLLECTION_NAME",
    "DB_NAMESPACE",
    "DB_OPERATION_NAME",
    "DB_QUERY_TEXT",
    "DB_RESPONSE_STATUS_CODE",
    "DB_SYSTEM_NAME",
    "ERROR_TYPE",
    "POSTGRESQL",
]

POSTGRESQL: Final = DbSystemNameValues.POSTGRESQL.value

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_DESTINATION_PARTITION_ID: Final = "messaging.destination.partition.id"
MESSAGING_CONSUMER_GROUP_NAME: Final = "messaging.consumer.group.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
PROCESSING: Final[Mapping[str, str]] = {
    MESSAGING_SYSTEM: "nats",
    MESSAGING_OPERATION_NAME: "process",
    MESSAGING_OPERATION_TYPE: "process",
}
"""What every span has that processes messages."""

RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_RESPONSE_STATUS_CODE: Final = "rpc.response.status_code"
_RPC_SYSTEM_BEFORE: Final = "rpc.system"
_RPC_SERVICE_BEFORE: Final = "rpc.service"
_RPC_STATUS_BEFORE: Final = "rpc.grpc.status_code"
_STATUS_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}

_RENAMED: Final[Mapping[str, str]] = {
    _RPC_SYSTEM_BEFORE: RPC_SYSTEM_NAME,
    "rpc.user_agent": USER_AGENT_ORIGINAL,
    "net.peer.ip": NETWORK_PEER_ADDRESS,
    "net.peer.port": NETWORK_PEER_PORT,
    "net.peer.name": CLIENT_ADDRESS,
}
"""Names that the gRPC instrumentation writes, and those that took their place."""


def with_current_names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a span's attributes with those of a call under the names that the gRPC instrumentation does not know yet.

    It also writes service and method apart, and the status as a number. Spans of other kinds stay as they are.
    """
    if _RPC_SYSTEM_BEFORE not in attributes:
        return dict(attributes)
    renamed: dict[str, Any] = {_RENAMED.get(name, name): value for name, value in attributes.items()}
    if (service := renamed.pop(_RPC_SERVICE_BEFORE, None)) is not None:
        renamed[RPC_METHOD] = f"{service}/{renamed.get(RPC_METHOD, '')}"
    if (number := renamed.pop(_RPC_STATUS_BEFORE, None)) is not None:
        renamed[RPC_RESPONSE_STATUS_CODE] = _STATUS_NAMES.get(number, str(number))
    return renamed
