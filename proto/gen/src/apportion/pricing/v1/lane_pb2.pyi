from apportion.common.v1 import lane_pb2 as _lane_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RatedCharge(_message.Message):
    __slots__ = ("charge_id", "event_id", "org_id", "project_id", "billing_account_id", "mapping_id", "sku", "sku_type", "quantity", "currency", "amount", "event_time_us", "period", "entry_seq", "kind", "cause_id", "index", "billed_period")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MAPPING_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SKU_TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CAUSE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BILLED_PERIOD_FIELD_NUMBER: _ClassVar[int]
    charge_id: bytes
    event_id: bytes
    org_id: bytes
    project_id: bytes
    billing_account_id: bytes
    mapping_id: bytes
    sku: str
    sku_type: str
    quantity: bytes
    currency: str
    amount: bytes
    event_time_us: int
    period: str
    entry_seq: int
    kind: _lane_pb2.ChargeKind
    cause_id: bytes
    index: int
    billed_period: str
    def __init__(self, charge_id: _Optional[bytes] = ..., event_id: _Optional[bytes] = ..., org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., billing_account_id: _Optional[bytes] = ..., mapping_id: _Optional[bytes] = ..., sku: _Optional[str] = ..., sku_type: _Optional[str] = ..., quantity: _Optional[bytes] = ..., currency: _Optional[str] = ..., amount: _Optional[bytes] = ..., event_time_us: _Optional[int] = ..., period: _Optional[str] = ..., entry_seq: _Optional[int] = ..., kind: _Optional[_Union[_lane_pb2.ChargeKind, str]] = ..., cause_id: _Optional[bytes] = ..., index: _Optional[int] = ..., billed_period: _Optional[str] = ...) -> None: ...

class ChargeGroup(_message.Message):
    __slots__ = ("kind", "org_id", "project_id", "billing_account_id", "mapping_id", "sku", "sku_type", "currency", "period", "caused_by_events", "billed_period")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MAPPING_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SKU_TYPE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    CAUSED_BY_EVENTS_FIELD_NUMBER: _ClassVar[int]
    BILLED_PERIOD_FIELD_NUMBER: _ClassVar[int]
    kind: _lane_pb2.ChargeKind
    org_id: bytes
    project_id: bytes
    billing_account_id: bytes
    mapping_id: bytes
    sku: str
    sku_type: str
    currency: str
    period: str
    caused_by_events: bool
    billed_period: str
    def __init__(self, kind: _Optional[_Union[_lane_pb2.ChargeKind, str]] = ..., org_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., billing_account_id: _Optional[bytes] = ..., mapping_id: _Optional[bytes] = ..., sku: _Optional[str] = ..., sku_type: _Optional[str] = ..., currency: _Optional[str] = ..., period: _Optional[str] = ..., caused_by_events: _Optional[bool] = ..., billed_period: _Optional[str] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("event_id", "org_id", "entry_seq", "reason", "detail")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    event_id: bytes
    org_id: bytes
    entry_seq: int
    reason: str
    detail: str
    def __init__(self, event_id: _Optional[bytes] = ..., org_id: _Optional[bytes] = ..., entry_seq: _Optional[int] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class RatedBatch(_message.Message):
    __slots__ = ("lane", "batch_seq", "catalog_revision", "orgs_revision", "charges", "rejections", "period_closes", "traces", "entry_count", "part", "part_count", "groups", "records", "first_entry_seq", "packed_batch_seq")
    LANE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    ORGS_REVISION_FIELD_NUMBER: _ClassVar[int]
    CHARGES_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_CLOSES_FIELD_NUMBER: _ClassVar[int]
    TRACES_FIELD_NUMBER: _ClassVar[int]
    ENTRY_COUNT_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    FIRST_ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    PACKED_BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    lane: int
    batch_seq: int
    catalog_revision: int
    orgs_revision: int
    charges: _containers.RepeatedCompositeFieldContainer[RatedCharge]
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    period_closes: _containers.RepeatedCompositeFieldContainer[_lane_pb2.PeriodClose]
    traces: _containers.RepeatedCompositeFieldContainer[_lane_pb2.TraceRange]
    entry_count: int
    part: int
    part_count: int
    groups: _containers.RepeatedCompositeFieldContainer[ChargeGroup]
    records: bytes
    first_entry_seq: int
    packed_batch_seq: int
    def __init__(self, lane: _Optional[int] = ..., batch_seq: _Optional[int] = ..., catalog_revision: _Optional[int] = ..., orgs_revision: _Optional[int] = ..., charges: _Optional[_Iterable[_Union[RatedCharge, _Mapping]]] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., period_closes: _Optional[_Iterable[_Union[_lane_pb2.PeriodClose, _Mapping]]] = ..., traces: _Optional[_Iterable[_Union[_lane_pb2.TraceRange, _Mapping]]] = ..., entry_count: _Optional[int] = ..., part: _Optional[int] = ..., part_count: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[ChargeGroup, _Mapping]]] = ..., records: _Optional[bytes] = ..., first_entry_seq: _Optional[int] = ..., packed_batch_seq: _Optional[int] = ...) -> None: ...
