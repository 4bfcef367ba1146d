from apportion.common.v1 import lane_pb2 as _lane_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChargeConflict(_message.Message):
    __slots__ = ("charge_id", "event_id", "org_id", "entry_seq", "detail")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    charge_id: bytes
    event_id: bytes
    org_id: bytes
    entry_seq: int
    detail: str
    def __init__(self, charge_id: _Optional[bytes] = ..., event_id: _Optional[bytes] = ..., org_id: _Optional[bytes] = ..., entry_seq: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class PostedBatch(_message.Message):
    __slots__ = ("lane", "batch_seq", "ledger_revision", "line_count", "lines_digest", "conflicts", "period_closes", "traces", "part", "part_count", "packed_batch_seq")
    LANE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    LEDGER_REVISION_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LINES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_CLOSES_FIELD_NUMBER: _ClassVar[int]
    TRACES_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    PACKED_BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    lane: int
    batch_seq: int
    ledger_revision: int
    line_count: int
    lines_digest: bytes
    conflicts: _containers.RepeatedCompositeFieldContainer[ChargeConflict]
    period_closes: _containers.RepeatedCompositeFieldContainer[_lane_pb2.PeriodClose]
    traces: _containers.RepeatedCompositeFieldContainer[_lane_pb2.TraceRange]
    part: int
    part_count: int
    packed_batch_seq: int
    def __init__(self, lane: _Optional[int] = ..., batch_seq: _Optional[int] = ..., ledger_revision: _Optional[int] = ..., line_count: _Optional[int] = ..., lines_digest: _Optional[bytes] = ..., conflicts: _Optional[_Iterable[_Union[ChargeConflict, _Mapping]]] = ..., period_closes: _Optional[_Iterable[_Union[_lane_pb2.PeriodClose, _Mapping]]] = ..., traces: _Optional[_Iterable[_Union[_lane_pb2.TraceRange, _Mapping]]] = ..., part: _Optional[int] = ..., part_count: _Optional[int] = ..., packed_batch_seq: _Optional[int] = ...) -> None: ...
