from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ChargeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHARGE_KIND_UNSPECIFIED: _ClassVar[ChargeKind]
    CHARGE_KIND_USAGE: _ClassVar[ChargeKind]
    CHARGE_KIND_RERATE: _ClassVar[ChargeKind]
    CHARGE_KIND_BASE: _ClassVar[ChargeKind]
    CHARGE_KIND_MINIMUM: _ClassVar[ChargeKind]
    CHARGE_KIND_ADJUSTMENT: _ClassVar[ChargeKind]
    CHARGE_KIND_REVERSAL: _ClassVar[ChargeKind]
CHARGE_KIND_UNSPECIFIED: ChargeKind
CHARGE_KIND_USAGE: ChargeKind
CHARGE_KIND_RERATE: ChargeKind
CHARGE_KIND_BASE: ChargeKind
CHARGE_KIND_MINIMUM: ChargeKind
CHARGE_KIND_ADJUSTMENT: ChargeKind
CHARGE_KIND_REVERSAL: ChargeKind

class TraceRange(_message.Message):
    __slots__ = ("traceparent", "first", "count")
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    traceparent: str
    first: int
    count: int
    def __init__(self, traceparent: _Optional[str] = ..., first: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class PeriodClose(_message.Message):
    __slots__ = ("period", "org_id", "reopening")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REOPENING_FIELD_NUMBER: _ClassVar[int]
    period: str
    org_id: bytes
    reopening: int
    def __init__(self, period: _Optional[str] = ..., org_id: _Optional[bytes] = ..., reopening: _Optional[int] = ...) -> None: ...
