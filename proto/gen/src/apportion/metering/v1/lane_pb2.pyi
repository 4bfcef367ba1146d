from apportion.common.v1 import lane_pb2 as _lane_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntryOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_OUTCOME_UNSPECIFIED: _ClassVar[EntryOutcome]
    ENTRY_OUTCOME_ACCEPTED: _ClassVar[EntryOutcome]
    ENTRY_OUTCOME_DUPLICATE: _ClassVar[EntryOutcome]
    ENTRY_OUTCOME_PAYLOAD_MISMATCH: _ClassVar[EntryOutcome]
    ENTRY_OUTCOME_DEAD_LETTERED: _ClassVar[EntryOutcome]
ENTRY_OUTCOME_UNSPECIFIED: EntryOutcome
ENTRY_OUTCOME_ACCEPTED: EntryOutcome
ENTRY_OUTCOME_DUPLICATE: EntryOutcome
ENTRY_OUTCOME_PAYLOAD_MISMATCH: EntryOutcome
ENTRY_OUTCOME_DEAD_LETTERED: EntryOutcome

class IntakeEvent(_message.Message):
    __slots__ = ("org_id", "project_id", "request_id", "sku", "quantity", "event_time_us", "metadata", "content_hash", "source")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    org_id: bytes
    project_id: bytes
    request_id: str
    sku: str
    quantity: bytes
    event_time_us: int
    metadata: _containers.ScalarMap[str, str]
    content_hash: bytes
    source: int
    def __init__(self, org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., request_id: _Optional[str] = ..., sku: _Optional[str] = ..., quantity: _Optional[bytes] = ..., event_time_us: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., content_hash: _Optional[bytes] = ..., source: _Optional[int] = ...) -> None: ...

class Requeue(_message.Message):
    __slots__ = ("dead_letter_id", "attempt", "into_period")
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INTO_PERIOD_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: bytes
    attempt: int
    into_period: str
    def __init__(self, dead_letter_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., into_period: _Optional[str] = ...) -> None: ...

class IntakeEntry(_message.Message):
    __slots__ = ("event", "requeue", "period_close")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEUE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_CLOSE_FIELD_NUMBER: _ClassVar[int]
    event: IntakeEvent
    requeue: Requeue
    period_close: _lane_pb2.PeriodClose
    def __init__(self, event: _Optional[_Union[IntakeEvent, _Mapping]] = ..., requeue: _Optional[_Union[Requeue, _Mapping]] = ..., period_close: _Optional[_Union[_lane_pb2.PeriodClose, _Mapping]] = ...) -> None: ...

class IntakeGroup(_message.Message):
    __slots__ = ("org_id", "project_id", "sku", "source")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    org_id: bytes
    project_id: bytes
    sku: str
    source: int
    def __init__(self, org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., sku: _Optional[str] = ..., source: _Optional[int] = ...) -> None: ...

class IntakeMessage(_message.Message):
    __slots__ = ("entries", "received_at_us", "producer", "reply_to", "traceparent", "groups", "records", "request_ids", "unpacked", "unpacked_indexes")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_US_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    UNPACKED_FIELD_NUMBER: _ClassVar[int]
    UNPACKED_INDEXES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[IntakeEntry]
    received_at_us: int
    producer: str
    reply_to: str
    traceparent: str
    groups: _containers.RepeatedCompositeFieldContainer[IntakeGroup]
    records: bytes
    request_ids: bytes
    unpacked: _containers.RepeatedCompositeFieldContainer[IntakeEntry]
    unpacked_indexes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, entries: _Optional[_Iterable[_Union[IntakeEntry, _Mapping]]] = ..., received_at_us: _Optional[int] = ..., producer: _Optional[str] = ..., reply_to: _Optional[str] = ..., traceparent: _Optional[str] = ..., groups: _Optional[_Iterable[_Union[IntakeGroup, _Mapping]]] = ..., records: _Optional[bytes] = ..., request_ids: _Optional[bytes] = ..., unpacked: _Optional[_Iterable[_Union[IntakeEntry, _Mapping]]] = ..., unpacked_indexes: _Optional[_Iterable[int]] = ...) -> None: ...

class CommitReport(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedScalarFieldContainer[EntryOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[EntryOutcome, str]]] = ...) -> None: ...

class AcceptedUsage(_message.Message):
    __slots__ = ("event_id", "org_id", "project_id", "sku", "quantity", "event_time_us", "into_period")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    INTO_PERIOD_FIELD_NUMBER: _ClassVar[int]
    event_id: bytes
    org_id: bytes
    project_id: bytes
    sku: str
    quantity: bytes
    event_time_us: int
    into_period: str
    def __init__(self, event_id: _Optional[bytes] = ..., org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., sku: _Optional[str] = ..., quantity: _Optional[bytes] = ..., event_time_us: _Optional[int] = ..., into_period: _Optional[str] = ...) -> None: ...

class AcceptedEntry(_message.Message):
    __slots__ = ("entry_seq", "usage", "period_close")
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_CLOSE_FIELD_NUMBER: _ClassVar[int]
    entry_seq: int
    usage: AcceptedUsage
    period_close: _lane_pb2.PeriodClose
    def __init__(self, entry_seq: _Optional[int] = ..., usage: _Optional[_Union[AcceptedUsage, _Mapping]] = ..., period_close: _Optional[_Union[_lane_pb2.PeriodClose, _Mapping]] = ...) -> None: ...

class UsageGroup(_message.Message):
    __slots__ = ("org_id", "project_id", "sku")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    org_id: bytes
    project_id: bytes
    sku: str
    def __init__(self, org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., sku: _Optional[str] = ...) -> None: ...

class AcceptedBatch(_message.Message):
    __slots__ = ("lane", "batch_seq", "entries", "traces", "groups", "records", "first_entry_seq", "packed_batch_seq")
    LANE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TRACES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    FIRST_ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    PACKED_BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    lane: int
    batch_seq: int
    entries: _containers.RepeatedCompositeFieldContainer[AcceptedEntry]
    traces: _containers.RepeatedCompositeFieldContainer[_lane_pb2.TraceRange]
    groups: _containers.RepeatedCompositeFieldContainer[UsageGroup]
    records: bytes
    first_entry_seq: int
    packed_batch_seq: int
    def __init__(self, lane: _Optional[int] = ..., batch_seq: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[AcceptedEntry, _Mapping]]] = ..., traces: _Optional[_Iterable[_Union[_lane_pb2.TraceRange, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[UsageGroup, _Mapping]]] = ..., records: _Optional[bytes] = ..., first_entry_seq: _Optional[int] = ..., packed_batch_seq: _Optional[int] = ...) -> None: ...
