import datetime

from apportion.common.v1 import audit_pb2 as _audit_pb2
from apportion.options.v1 import options_pb2 as _options_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import decimal_pb2 as _decimal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_SOURCE_UNSPECIFIED: _ClassVar[EventSource]
    EVENT_SOURCE_FORM_SUBMIT: _ClassVar[EventSource]
    EVENT_SOURCE_BACKEND: _ClassVar[EventSource]
    EVENT_SOURCE_REPLAY: _ClassVar[EventSource]

class Acknowledgement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACKNOWLEDGEMENT_UNSPECIFIED: _ClassVar[Acknowledgement]
    ACKNOWLEDGEMENT_ENQUEUED: _ClassVar[Acknowledgement]
    ACKNOWLEDGEMENT_COMMITTED: _ClassVar[Acknowledgement]

class EntryOutcomeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENTRY_OUTCOME_KIND_UNSPECIFIED: _ClassVar[EntryOutcomeKind]
    ENTRY_OUTCOME_KIND_DUPLICATE: _ClassVar[EntryOutcomeKind]
    ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH: _ClassVar[EntryOutcomeKind]
    ENTRY_OUTCOME_KIND_DEAD_LETTERED: _ClassVar[EntryOutcomeKind]

class EventState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_STATE_UNSPECIFIED: _ClassVar[EventState]
    EVENT_STATE_UNKNOWN: _ClassVar[EventState]
    EVENT_STATE_ACCEPTED: _ClassVar[EventState]
    EVENT_STATE_RATED: _ClassVar[EventState]
    EVENT_STATE_POSTED: _ClassVar[EventState]
    EVENT_STATE_DEAD_LETTERED: _ClassVar[EventState]

class DeadLetterState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEAD_LETTER_STATE_UNSPECIFIED: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_OPEN: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_REQUEUED: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_DISCARDED: _ClassVar[DeadLetterState]

class StreamCondition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_CONDITION_UNSPECIFIED: _ClassVar[StreamCondition]
    STREAM_CONDITION_DURABLE: _ClassVar[StreamCondition]
    STREAM_CONDITION_NOT_DURABLE: _ClassVar[StreamCondition]
    STREAM_CONDITION_UNKNOWN: _ClassVar[StreamCondition]
    STREAM_CONDITION_UNREACHABLE: _ClassVar[StreamCondition]
EVENT_SOURCE_UNSPECIFIED: EventSource
EVENT_SOURCE_FORM_SUBMIT: EventSource
EVENT_SOURCE_BACKEND: EventSource
EVENT_SOURCE_REPLAY: EventSource
ACKNOWLEDGEMENT_UNSPECIFIED: Acknowledgement
ACKNOWLEDGEMENT_ENQUEUED: Acknowledgement
ACKNOWLEDGEMENT_COMMITTED: Acknowledgement
ENTRY_OUTCOME_KIND_UNSPECIFIED: EntryOutcomeKind
ENTRY_OUTCOME_KIND_DUPLICATE: EntryOutcomeKind
ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH: EntryOutcomeKind
ENTRY_OUTCOME_KIND_DEAD_LETTERED: EntryOutcomeKind
EVENT_STATE_UNSPECIFIED: EventState
EVENT_STATE_UNKNOWN: EventState
EVENT_STATE_ACCEPTED: EventState
EVENT_STATE_RATED: EventState
EVENT_STATE_POSTED: EventState
EVENT_STATE_DEAD_LETTERED: EventState
DEAD_LETTER_STATE_UNSPECIFIED: DeadLetterState
DEAD_LETTER_STATE_OPEN: DeadLetterState
DEAD_LETTER_STATE_REQUEUED: DeadLetterState
DEAD_LETTER_STATE_DISCARDED: DeadLetterState
STREAM_CONDITION_UNSPECIFIED: StreamCondition
STREAM_CONDITION_DURABLE: StreamCondition
STREAM_CONDITION_NOT_DURABLE: StreamCondition
STREAM_CONDITION_UNKNOWN: StreamCondition
STREAM_CONDITION_UNREACHABLE: StreamCondition

class UsageEvent(_message.Message):
    __slots__ = ("org_id", "project_id", "sku", "quantity", "event_time", "request_id", "metadata", "source")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    project_id: str
    sku: str
    quantity: _decimal_pb2.Decimal
    event_time: _timestamp_pb2.Timestamp
    request_id: str
    metadata: _containers.ScalarMap[str, str]
    source: EventSource
    def __init__(self, org_id: _Optional[str] = ..., project_id: _Optional[str] = ..., sku: _Optional[str] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., source: _Optional[_Union[EventSource, str]] = ...) -> None: ...

class CompactUsageEvent(_message.Message):
    __slots__ = ("org_id", "project_id", "request_id", "sku", "quantity_unscaled", "quantity_scale", "event_time_us", "metadata", "source")
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
    QUANTITY_UNSCALED_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_SCALE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    org_id: bytes
    project_id: bytes
    request_id: bytes
    sku: str
    quantity_unscaled: int
    quantity_scale: int
    event_time_us: int
    metadata: _containers.ScalarMap[str, str]
    source: EventSource
    def __init__(self, org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., sku: _Optional[str] = ..., quantity_unscaled: _Optional[int] = ..., quantity_scale: _Optional[int] = ..., event_time_us: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., source: _Optional[_Union[EventSource, str]] = ...) -> None: ...

class IngestEventsRequest(_message.Message):
    __slots__ = ("events", "compact_events", "acknowledgement")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    COMPACT_EVENTS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[UsageEvent]
    compact_events: _containers.RepeatedCompositeFieldContainer[CompactUsageEvent]
    acknowledgement: Acknowledgement
    def __init__(self, events: _Optional[_Iterable[_Union[UsageEvent, _Mapping]]] = ..., compact_events: _Optional[_Iterable[_Union[CompactUsageEvent, _Mapping]]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, str]] = ...) -> None: ...

class EventRejection(_message.Message):
    __slots__ = ("index", "reason", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    reason: str
    message: str
    def __init__(self, index: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EventOutcome(_message.Message):
    __slots__ = ("index", "outcome")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    index: int
    outcome: EntryOutcomeKind
    def __init__(self, index: _Optional[int] = ..., outcome: _Optional[_Union[EntryOutcomeKind, str]] = ...) -> None: ...

class IngestEventsResponse(_message.Message):
    __slots__ = ("accepted_count", "duplicate_count", "mismatch_count", "dead_letter_count", "rejections", "outcomes")
    ACCEPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISMATCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    accepted_count: int
    duplicate_count: int
    mismatch_count: int
    dead_letter_count: int
    rejections: _containers.RepeatedCompositeFieldContainer[EventRejection]
    outcomes: _containers.RepeatedCompositeFieldContainer[EventOutcome]
    def __init__(self, accepted_count: _Optional[int] = ..., duplicate_count: _Optional[int] = ..., mismatch_count: _Optional[int] = ..., dead_letter_count: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[EventRejection, _Mapping]]] = ..., outcomes: _Optional[_Iterable[_Union[EventOutcome, _Mapping]]] = ...) -> None: ...

class GetEventStatusRequest(_message.Message):
    __slots__ = ("org_id", "request_ids")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    request_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, org_id: _Optional[str] = ..., request_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class EventStatus(_message.Message):
    __slots__ = ("request_id", "state", "reason", "event_id", "lane", "batch_seq", "entry_seq")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    state: EventState
    reason: str
    event_id: str
    lane: int
    batch_seq: int
    entry_seq: int
    def __init__(self, request_id: _Optional[str] = ..., state: _Optional[_Union[EventState, str]] = ..., reason: _Optional[str] = ..., event_id: _Optional[str] = ..., lane: _Optional[int] = ..., batch_seq: _Optional[int] = ..., entry_seq: _Optional[int] = ...) -> None: ...

class GetEventStatusResponse(_message.Message):
    __slots__ = ("statuses",)
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[EventStatus]
    def __init__(self, statuses: _Optional[_Iterable[_Union[EventStatus, _Mapping]]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("dead_letter_id", "org_id", "request_id", "reason", "detail", "state", "attempts", "created_at", "event", "lane")
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    org_id: str
    request_id: str
    reason: str
    detail: str
    state: DeadLetterState
    attempts: int
    created_at: _timestamp_pb2.Timestamp
    event: UsageEvent
    lane: int
    def __init__(self, dead_letter_id: _Optional[str] = ..., org_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., state: _Optional[_Union[DeadLetterState, str]] = ..., attempts: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[_Union[UsageEvent, _Mapping]] = ..., lane: _Optional[int] = ...) -> None: ...

class DeadLetterFilter(_message.Message):
    __slots__ = ("org_id", "reason", "dead_letter_ids", "state")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_IDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    reason: str
    dead_letter_ids: _containers.RepeatedScalarFieldContainer[str]
    state: DeadLetterState
    def __init__(self, org_id: _Optional[str] = ..., reason: _Optional[str] = ..., dead_letter_ids: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[DeadLetterState, str]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RequeueDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "request_id", "into_period", "all")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INTO_PERIOD_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    request_id: str
    into_period: str
    all: bool
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., request_id: _Optional[str] = ..., into_period: _Optional[str] = ..., all: _Optional[bool] = ...) -> None: ...

class RequeueDeadLettersResponse(_message.Message):
    __slots__ = ("requeued_count",)
    REQUEUED_COUNT_FIELD_NUMBER: _ClassVar[int]
    requeued_count: int
    def __init__(self, requeued_count: _Optional[int] = ...) -> None: ...

class DiscardDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "reason", "request_id", "all")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    reason: str
    request_id: str
    all: bool
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., all: _Optional[bool] = ...) -> None: ...

class DiscardDeadLettersResponse(_message.Message):
    __slots__ = ("discarded_count",)
    DISCARDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    discarded_count: int
    def __init__(self, discarded_count: _Optional[int] = ...) -> None: ...

class ClosePeriodRequest(_message.Message):
    __slots__ = ("period", "org_ids", "request_id", "all_orgs", "force", "reason")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    ORG_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_ORGS_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    period: str
    org_ids: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    all_orgs: bool
    force: bool
    reason: str
    def __init__(self, period: _Optional[str] = ..., org_ids: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., all_orgs: _Optional[bool] = ..., force: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ClosePeriodResponse(_message.Message):
    __slots__ = ("org_ids_without_usage",)
    ORG_IDS_WITHOUT_USAGE_FIELD_NUMBER: _ClassVar[int]
    org_ids_without_usage: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, org_ids_without_usage: _Optional[_Iterable[str]] = ...) -> None: ...

class ReopenPeriodRequest(_message.Message):
    __slots__ = ("period", "reopenings", "reason", "request_id")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    REOPENINGS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    period: str
    reopenings: _containers.RepeatedCompositeFieldContainer[Reopening]
    reason: str
    request_id: str
    def __init__(self, period: _Optional[str] = ..., reopenings: _Optional[_Iterable[_Union[Reopening, _Mapping]]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Reopening(_message.Message):
    __slots__ = ("org_id", "number")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    number: int
    def __init__(self, org_id: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class ReopenPeriodResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPipelineStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LaneStatus(_message.Message):
    __slots__ = ("lane", "stream_seq", "stream_last_seq", "batch_seq", "rated_batch_seq", "posted_batch_seq", "stopped_reason")
    LANE_FIELD_NUMBER: _ClassVar[int]
    STREAM_SEQ_FIELD_NUMBER: _ClassVar[int]
    STREAM_LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    RATED_BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    POSTED_BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    STOPPED_REASON_FIELD_NUMBER: _ClassVar[int]
    lane: int
    stream_seq: int
    stream_last_seq: int
    batch_seq: int
    rated_batch_seq: int
    posted_batch_seq: int
    stopped_reason: str
    def __init__(self, lane: _Optional[int] = ..., stream_seq: _Optional[int] = ..., stream_last_seq: _Optional[int] = ..., batch_seq: _Optional[int] = ..., rated_batch_seq: _Optional[int] = ..., posted_batch_seq: _Optional[int] = ..., stopped_reason: _Optional[str] = ...) -> None: ...

class GetPipelineStatusResponse(_message.Message):
    __slots__ = ("lanes", "event_count", "open_dead_letters", "drained", "stream_durable", "stream_condition", "stream_condition_since", "stream_condition_detail")
    class OpenDeadLettersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    LANES_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    STREAM_DURABLE_FIELD_NUMBER: _ClassVar[int]
    STREAM_CONDITION_FIELD_NUMBER: _ClassVar[int]
    STREAM_CONDITION_SINCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_CONDITION_DETAIL_FIELD_NUMBER: _ClassVar[int]
    lanes: _containers.RepeatedCompositeFieldContainer[LaneStatus]
    event_count: int
    open_dead_letters: _containers.ScalarMap[str, int]
    drained: bool
    stream_durable: bool
    stream_condition: StreamCondition
    stream_condition_since: _timestamp_pb2.Timestamp
    stream_condition_detail: str
    def __init__(self, lanes: _Optional[_Iterable[_Union[LaneStatus, _Mapping]]] = ..., event_count: _Optional[int] = ..., open_dead_letters: _Optional[_Mapping[str, int]] = ..., drained: _Optional[bool] = ..., stream_durable: _Optional[bool] = ..., stream_condition: _Optional[_Union[StreamCondition, str]] = ..., stream_condition_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stream_condition_detail: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: _audit_pb2.AuditQuery
    def __init__(self, query: _Optional[_Union[_audit_pb2.AuditQuery, _Mapping]] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_audit_pb2.AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_audit_pb2.AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamEventsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartReplayRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartReplayResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetReplayRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetReplayResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelReplayRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelReplayResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileProviderLogRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileProviderLogResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryUsageRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryUsageResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
