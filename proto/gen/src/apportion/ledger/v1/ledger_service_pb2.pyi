import datetime

from apportion.common.v1 import audit_pb2 as _audit_pb2
from apportion.options.v1 import options_pb2 as _options_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.type import decimal_pb2 as _decimal_pb2
from google.type import money_pb2 as _money_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MatchKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_KIND_UNSPECIFIED: _ClassVar[MatchKind]
    MATCH_KIND_SKU: _ClassVar[MatchKind]
    MATCH_KIND_SKU_TYPE: _ClassVar[MatchKind]
    MATCH_KIND_DEFAULT: _ClassVar[MatchKind]

class SubjectType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBJECT_TYPE_UNSPECIFIED: _ClassVar[SubjectType]
    SUBJECT_TYPE_ORG: _ClassVar[SubjectType]
    SUBJECT_TYPE_BILLING_ACCOUNT: _ClassVar[SubjectType]

class LineKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINE_KIND_UNSPECIFIED: _ClassVar[LineKind]
    LINE_KIND_USAGE: _ClassVar[LineKind]
    LINE_KIND_RERATE: _ClassVar[LineKind]
    LINE_KIND_BASE: _ClassVar[LineKind]
    LINE_KIND_MINIMUM: _ClassVar[LineKind]
    LINE_KIND_ADJUSTMENT: _ClassVar[LineKind]
    LINE_KIND_REVERSAL: _ClassVar[LineKind]

class SettlementKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SETTLEMENT_KIND_UNSPECIFIED: _ClassVar[SettlementKind]
    SETTLEMENT_KIND_REAL_TIME: _ClassVar[SettlementKind]
    SETTLEMENT_KIND_SWEEP: _ClassVar[SettlementKind]

class SettlementState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SETTLEMENT_STATE_UNSPECIFIED: _ClassVar[SettlementState]
    SETTLEMENT_STATE_PENDING: _ClassVar[SettlementState]
    SETTLEMENT_STATE_PAID: _ClassVar[SettlementState]
    SETTLEMENT_STATE_VOID: _ClassVar[SettlementState]

class DifferenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIFFERENCE_KIND_UNSPECIFIED: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_MISSING: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_EXTRA: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_DIFFERENT: _ClassVar[DifferenceKind]
MATCH_KIND_UNSPECIFIED: MatchKind
MATCH_KIND_SKU: MatchKind
MATCH_KIND_SKU_TYPE: MatchKind
MATCH_KIND_DEFAULT: MatchKind
SUBJECT_TYPE_UNSPECIFIED: SubjectType
SUBJECT_TYPE_ORG: SubjectType
SUBJECT_TYPE_BILLING_ACCOUNT: SubjectType
LINE_KIND_UNSPECIFIED: LineKind
LINE_KIND_USAGE: LineKind
LINE_KIND_RERATE: LineKind
LINE_KIND_BASE: LineKind
LINE_KIND_MINIMUM: LineKind
LINE_KIND_ADJUSTMENT: LineKind
LINE_KIND_REVERSAL: LineKind
SETTLEMENT_KIND_UNSPECIFIED: SettlementKind
SETTLEMENT_KIND_REAL_TIME: SettlementKind
SETTLEMENT_KIND_SWEEP: SettlementKind
SETTLEMENT_STATE_UNSPECIFIED: SettlementState
SETTLEMENT_STATE_PENDING: SettlementState
SETTLEMENT_STATE_PAID: SettlementState
SETTLEMENT_STATE_VOID: SettlementState
DIFFERENCE_KIND_UNSPECIFIED: DifferenceKind
DIFFERENCE_KIND_MISSING: DifferenceKind
DIFFERENCE_KIND_EXTRA: DifferenceKind
DIFFERENCE_KIND_DIFFERENT: DifferenceKind

class Partner(_message.Message):
    __slots__ = ("partner_id", "name", "payout_currency")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAYOUT_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    name: str
    payout_currency: str
    def __init__(self, partner_id: _Optional[str] = ..., name: _Optional[str] = ..., payout_currency: _Optional[str] = ...) -> None: ...

class CreatePartnerRequest(_message.Message):
    __slots__ = ("partner_id", "name", "payout_currency", "tier", "effective_at", "request_id")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAYOUT_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    name: str
    payout_currency: str
    tier: str
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, partner_id: _Optional[str] = ..., name: _Optional[str] = ..., payout_currency: _Optional[str] = ..., tier: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreatePartnerResponse(_message.Message):
    __slots__ = ("partner", "revision", "tier_without_rate")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIER_WITHOUT_RATE_FIELD_NUMBER: _ClassVar[int]
    partner: Partner
    revision: int
    tier_without_rate: str
    def __init__(self, partner: _Optional[_Union[Partner, _Mapping]] = ..., revision: _Optional[int] = ..., tier_without_rate: _Optional[str] = ...) -> None: ...

class LookupPartnersRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class PartnerMatch(_message.Message):
    __slots__ = ("name", "partners", "nearest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTNERS_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    name: str
    partners: _containers.RepeatedCompositeFieldContainer[Partner]
    nearest: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., partners: _Optional[_Iterable[_Union[Partner, _Mapping]]] = ..., nearest: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupPartnersResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[PartnerMatch]
    def __init__(self, matches: _Optional[_Iterable[_Union[PartnerMatch, _Mapping]]] = ...) -> None: ...

class GetPartnerRequest(_message.Message):
    __slots__ = ("partner_id", "at")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, partner_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetPartnerResponse(_message.Message):
    __slots__ = ("partner", "tier")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    partner: Partner
    tier: str
    def __init__(self, partner: _Optional[_Union[Partner, _Mapping]] = ..., tier: _Optional[str] = ...) -> None: ...

class ListPartnersRequest(_message.Message):
    __slots__ = ("search", "page_size", "page_token")
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    search: str
    page_size: int
    page_token: str
    def __init__(self, search: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPartnersResponse(_message.Message):
    __slots__ = ("partners", "next_page_token")
    PARTNERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    partners: _containers.RepeatedCompositeFieldContainer[Partner]
    next_page_token: str
    def __init__(self, partners: _Optional[_Iterable[_Union[Partner, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PartnerTier(_message.Message):
    __slots__ = ("partner_id", "tier", "effective_at", "revision")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    tier: str
    effective_at: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, partner_id: _Optional[str] = ..., tier: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListPartnerTiersRequest(_message.Message):
    __slots__ = ("partner_id", "page_size", "page_token")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    page_size: int
    page_token: str
    def __init__(self, partner_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPartnerTiersResponse(_message.Message):
    __slots__ = ("tiers", "next_page_token")
    TIERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tiers: _containers.RepeatedCompositeFieldContainer[PartnerTier]
    next_page_token: str
    def __init__(self, tiers: _Optional[_Iterable[_Union[PartnerTier, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetPartnerTierRequest(_message.Message):
    __slots__ = ("partner_id", "tier", "effective_at", "request_id")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    tier: str
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, partner_id: _Optional[str] = ..., tier: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetPartnerTierResponse(_message.Message):
    __slots__ = ("revision", "tier_without_rate")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIER_WITHOUT_RATE_FIELD_NUMBER: _ClassVar[int]
    revision: int
    tier_without_rate: str
    def __init__(self, revision: _Optional[int] = ..., tier_without_rate: _Optional[str] = ...) -> None: ...

class SetCommissionRateRequest(_message.Message):
    __slots__ = ("tier", "match_kind", "match_value", "pct", "effective_at", "request_id")
    TIER_FIELD_NUMBER: _ClassVar[int]
    MATCH_KIND_FIELD_NUMBER: _ClassVar[int]
    MATCH_VALUE_FIELD_NUMBER: _ClassVar[int]
    PCT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tier: str
    match_kind: MatchKind
    match_value: str
    pct: _decimal_pb2.Decimal
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, tier: _Optional[str] = ..., match_kind: _Optional[_Union[MatchKind, str]] = ..., match_value: _Optional[str] = ..., pct: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetCommissionRateResponse(_message.Message):
    __slots__ = ("revision", "tier_without_partner")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIER_WITHOUT_PARTNER_FIELD_NUMBER: _ClassVar[int]
    revision: int
    tier_without_partner: str
    def __init__(self, revision: _Optional[int] = ..., tier_without_partner: _Optional[str] = ...) -> None: ...

class CommissionRate(_message.Message):
    __slots__ = ("rate_id", "tier", "match_kind", "match_value", "pct", "effective_at", "revision")
    RATE_ID_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    MATCH_KIND_FIELD_NUMBER: _ClassVar[int]
    MATCH_VALUE_FIELD_NUMBER: _ClassVar[int]
    PCT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    rate_id: str
    tier: str
    match_kind: MatchKind
    match_value: str
    pct: _decimal_pb2.Decimal
    effective_at: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, rate_id: _Optional[str] = ..., tier: _Optional[str] = ..., match_kind: _Optional[_Union[MatchKind, str]] = ..., match_value: _Optional[str] = ..., pct: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListCommissionRatesRequest(_message.Message):
    __slots__ = ("tier", "match_kind", "match_value", "page_size", "page_token")
    TIER_FIELD_NUMBER: _ClassVar[int]
    MATCH_KIND_FIELD_NUMBER: _ClassVar[int]
    MATCH_VALUE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tier: str
    match_kind: MatchKind
    match_value: str
    page_size: int
    page_token: str
    def __init__(self, tier: _Optional[str] = ..., match_kind: _Optional[_Union[MatchKind, str]] = ..., match_value: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCommissionRatesResponse(_message.Message):
    __slots__ = ("rates", "next_page_token")
    RATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rates: _containers.RepeatedCompositeFieldContainer[CommissionRate]
    next_page_token: str
    def __init__(self, rates: _Optional[_Iterable[_Union[CommissionRate, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PartnerOfRecord(_message.Message):
    __slots__ = ("por_id", "subject_type", "subject_id", "partner_id", "start_at", "end_at")
    POR_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    END_AT_FIELD_NUMBER: _ClassVar[int]
    por_id: str
    subject_type: SubjectType
    subject_id: str
    partner_id: str
    start_at: _timestamp_pb2.Timestamp
    end_at: _timestamp_pb2.Timestamp
    def __init__(self, por_id: _Optional[str] = ..., subject_type: _Optional[_Union[SubjectType, str]] = ..., subject_id: _Optional[str] = ..., partner_id: _Optional[str] = ..., start_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AssignPartnerOfRecordRequest(_message.Message):
    __slots__ = ("subject_type", "subject_id", "partner_id", "start_at", "end_at", "request_id")
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    END_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    subject_type: SubjectType
    subject_id: str
    partner_id: str
    start_at: _timestamp_pb2.Timestamp
    end_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, subject_type: _Optional[_Union[SubjectType, str]] = ..., subject_id: _Optional[str] = ..., partner_id: _Optional[str] = ..., start_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class AssignPartnerOfRecordResponse(_message.Message):
    __slots__ = ("partner_of_record", "revision")
    PARTNER_OF_RECORD_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    partner_of_record: PartnerOfRecord
    revision: int
    def __init__(self, partner_of_record: _Optional[_Union[PartnerOfRecord, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class EndPartnerOfRecordRequest(_message.Message):
    __slots__ = ("por_id", "end_at", "request_id")
    POR_ID_FIELD_NUMBER: _ClassVar[int]
    END_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    por_id: str
    end_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, por_id: _Optional[str] = ..., end_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class EndPartnerOfRecordResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class ResolvePartnerOfRecordRequest(_message.Message):
    __slots__ = ("org_id", "billing_account_id", "at")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    billing_account_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, org_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResolvePartnerOfRecordResponse(_message.Message):
    __slots__ = ("partner_of_record", "tier", "revision")
    PARTNER_OF_RECORD_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    partner_of_record: PartnerOfRecord
    tier: str
    revision: int
    def __init__(self, partner_of_record: _Optional[_Union[PartnerOfRecord, _Mapping]] = ..., tier: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class ListPartnersOfRecordRequest(_message.Message):
    __slots__ = ("subject_type", "subject_id", "partner_id", "at", "page_size", "page_token")
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    subject_type: SubjectType
    subject_id: str
    partner_id: str
    at: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, subject_type: _Optional[_Union[SubjectType, str]] = ..., subject_id: _Optional[str] = ..., partner_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPartnersOfRecordResponse(_message.Message):
    __slots__ = ("partners_of_record", "next_page_token")
    PARTNERS_OF_RECORD_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    partners_of_record: _containers.RepeatedCompositeFieldContainer[PartnerOfRecord]
    next_page_token: str
    def __init__(self, partners_of_record: _Optional[_Iterable[_Union[PartnerOfRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LineFilter(_message.Message):
    __slots__ = ("org_id", "project_id", "sku", "partner_id", "billing_account_id", "until", "event_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    project_id: str
    sku: str
    partner_id: str
    billing_account_id: str
    until: _timestamp_pb2.Timestamp
    event_id: str
    def __init__(self, org_id: _Optional[str] = ..., project_id: _Optional[str] = ..., sku: _Optional[str] = ..., partner_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event_id: _Optional[str] = ..., **kwargs) -> None: ...

class ListLinesRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: LineFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[LineFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class LedgerLine(_message.Message):
    __slots__ = ("entry_id", "charge_id", "event_id", "kind", "org_id", "project_id", "billing_account_id", "sku", "quantity", "amount_gross", "partner_id", "partner_pct", "partner_amount", "net", "event_time", "posted_at", "real_time_paid", "lane", "batch_seq", "entry_seq", "partner_from_account", "period", "billed_period", "late")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_GROSS_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_PCT_FIELD_NUMBER: _ClassVar[int]
    PARTNER_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    POSTED_AT_FIELD_NUMBER: _ClassVar[int]
    REAL_TIME_PAID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    PARTNER_FROM_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    BILLED_PERIOD_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    charge_id: str
    event_id: str
    kind: LineKind
    org_id: str
    project_id: str
    billing_account_id: str
    sku: str
    quantity: _decimal_pb2.Decimal
    amount_gross: _money_pb2.Money
    partner_id: str
    partner_pct: _decimal_pb2.Decimal
    partner_amount: _money_pb2.Money
    net: _money_pb2.Money
    event_time: _timestamp_pb2.Timestamp
    posted_at: _timestamp_pb2.Timestamp
    real_time_paid: _money_pb2.Money
    lane: int
    batch_seq: int
    entry_seq: int
    partner_from_account: bool
    period: str
    billed_period: str
    late: bool
    def __init__(self, entry_id: _Optional[str] = ..., charge_id: _Optional[str] = ..., event_id: _Optional[str] = ..., kind: _Optional[_Union[LineKind, str]] = ..., org_id: _Optional[str] = ..., project_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., sku: _Optional[str] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., amount_gross: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., partner_id: _Optional[str] = ..., partner_pct: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., partner_amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., net: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., posted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., real_time_paid: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., lane: _Optional[int] = ..., batch_seq: _Optional[int] = ..., entry_seq: _Optional[int] = ..., partner_from_account: _Optional[bool] = ..., period: _Optional[str] = ..., billed_period: _Optional[str] = ..., late: _Optional[bool] = ...) -> None: ...

class ListLinesResponse(_message.Message):
    __slots__ = ("lines", "next_page_token")
    LINES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[LedgerLine]
    next_page_token: str
    def __init__(self, lines: _Optional[_Iterable[_Union[LedgerLine, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RunSweepRequest(_message.Message):
    __slots__ = ("week", "request_id")
    WEEK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    week: str
    request_id: str
    def __init__(self, week: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SweepResult(_message.Message):
    __slots__ = ("partner_id", "currency", "balance", "paid", "settlement_id", "carried_reason", "exact_balance")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    PAID_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CARRIED_REASON_FIELD_NUMBER: _ClassVar[int]
    EXACT_BALANCE_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    currency: str
    balance: _money_pb2.Money
    paid: _money_pb2.Money
    settlement_id: str
    carried_reason: str
    exact_balance: _decimal_pb2.Decimal
    def __init__(self, partner_id: _Optional[str] = ..., currency: _Optional[str] = ..., balance: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., paid: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., settlement_id: _Optional[str] = ..., carried_reason: _Optional[str] = ..., exact_balance: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ...) -> None: ...

class RunSweepResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SweepResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SweepResult, _Mapping]]] = ...) -> None: ...

class Settlement(_message.Message):
    __slots__ = ("settlement_id", "partner_id", "kind", "amount", "week", "state", "created_at", "entry_id")
    SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    WEEK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    settlement_id: str
    partner_id: str
    kind: SettlementKind
    amount: _money_pb2.Money
    week: str
    state: SettlementState
    created_at: _timestamp_pb2.Timestamp
    entry_id: str
    def __init__(self, settlement_id: _Optional[str] = ..., partner_id: _Optional[str] = ..., kind: _Optional[_Union[SettlementKind, str]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., week: _Optional[str] = ..., state: _Optional[_Union[SettlementState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., entry_id: _Optional[str] = ...) -> None: ...

class ListSettlementsRequest(_message.Message):
    __slots__ = ("partner_id", "kind", "page_size", "page_token")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    kind: SettlementKind
    page_size: int
    page_token: str
    def __init__(self, partner_id: _Optional[str] = ..., kind: _Optional[_Union[SettlementKind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSettlementsResponse(_message.Message):
    __slots__ = ("settlements", "next_page_token")
    SETTLEMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    settlements: _containers.RepeatedCompositeFieldContainer[Settlement]
    next_page_token: str
    def __init__(self, settlements: _Optional[_Iterable[_Union[Settlement, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPartnerStatementRequest(_message.Message):
    __slots__ = ("partner_id", "period")
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    partner_id: str
    period: str
    def __init__(self, partner_id: _Optional[str] = ..., period: _Optional[str] = ...) -> None: ...

class StatementSums(_message.Message):
    __slots__ = ("opening", "earned", "clawed_back", "paid_real_time", "paid_sweep", "closing")
    OPENING_FIELD_NUMBER: _ClassVar[int]
    EARNED_FIELD_NUMBER: _ClassVar[int]
    CLAWED_BACK_FIELD_NUMBER: _ClassVar[int]
    PAID_REAL_TIME_FIELD_NUMBER: _ClassVar[int]
    PAID_SWEEP_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    opening: _decimal_pb2.Decimal
    earned: _decimal_pb2.Decimal
    clawed_back: _decimal_pb2.Decimal
    paid_real_time: _decimal_pb2.Decimal
    paid_sweep: _decimal_pb2.Decimal
    closing: _decimal_pb2.Decimal
    def __init__(self, opening: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., earned: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., clawed_back: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., paid_real_time: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., paid_sweep: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., closing: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ...) -> None: ...

class StatementOfCurrency(_message.Message):
    __slots__ = ("currency", "opening", "earned", "clawed_back", "paid_real_time", "paid_sweep", "closing", "line_count", "real_time_count", "payable", "exact")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    EARNED_FIELD_NUMBER: _ClassVar[int]
    CLAWED_BACK_FIELD_NUMBER: _ClassVar[int]
    PAID_REAL_TIME_FIELD_NUMBER: _ClassVar[int]
    PAID_SWEEP_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REAL_TIME_COUNT_FIELD_NUMBER: _ClassVar[int]
    PAYABLE_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    currency: str
    opening: _money_pb2.Money
    earned: _money_pb2.Money
    clawed_back: _money_pb2.Money
    paid_real_time: _money_pb2.Money
    paid_sweep: _money_pb2.Money
    closing: _money_pb2.Money
    line_count: int
    real_time_count: int
    payable: bool
    exact: StatementSums
    def __init__(self, currency: _Optional[str] = ..., opening: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., earned: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., clawed_back: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., paid_real_time: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., paid_sweep: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., closing: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., line_count: _Optional[int] = ..., real_time_count: _Optional[int] = ..., payable: _Optional[bool] = ..., exact: _Optional[_Union[StatementSums, _Mapping]] = ...) -> None: ...

class GetPartnerStatementResponse(_message.Message):
    __slots__ = ("partner", "currencies")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    CURRENCIES_FIELD_NUMBER: _ClassVar[int]
    partner: Partner
    currencies: _containers.RepeatedCompositeFieldContainer[StatementOfCurrency]
    def __init__(self, partner: _Optional[_Union[Partner, _Mapping]] = ..., currencies: _Optional[_Iterable[_Union[StatementOfCurrency, _Mapping]]] = ...) -> None: ...

class GetTrialBalanceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TrialBalanceRow(_message.Message):
    __slots__ = ("account", "currency", "debit", "credit")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DEBIT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    account: str
    currency: str
    debit: _decimal_pb2.Decimal
    credit: _decimal_pb2.Decimal
    def __init__(self, account: _Optional[str] = ..., currency: _Optional[str] = ..., debit: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., credit: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ...) -> None: ...

class GetTrialBalanceResponse(_message.Message):
    __slots__ = ("rows", "balanced")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BALANCED_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[TrialBalanceRow]
    balanced: bool
    def __init__(self, rows: _Optional[_Iterable[_Union[TrialBalanceRow, _Mapping]]] = ..., balanced: _Optional[bool] = ...) -> None: ...

class DigestScope(_message.Message):
    __slots__ = ("org_id", "billing_account_id", "period")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    billing_account_id: str
    period: str
    def __init__(self, org_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., period: _Optional[str] = ...) -> None: ...

class GetDigestRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: DigestScope
    def __init__(self, scope: _Optional[_Union[DigestScope, _Mapping]] = ...) -> None: ...

class GrossOfKey(_message.Message):
    __slots__ = ("org_id", "sku", "period", "currency", "line_count", "quantity", "gross")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    GROSS_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    sku: str
    period: str
    currency: str
    line_count: int
    quantity: _decimal_pb2.Decimal
    gross: _decimal_pb2.Decimal
    def __init__(self, org_id: _Optional[str] = ..., sku: _Optional[str] = ..., period: _Optional[str] = ..., currency: _Optional[str] = ..., line_count: _Optional[int] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., gross: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ...) -> None: ...

class GetDigestResponse(_message.Message):
    __slots__ = ("digest", "line_count", "coarse_digest", "gross")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    COARSE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    GROSS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    line_count: int
    coarse_digest: str
    gross: _containers.RepeatedCompositeFieldContainer[GrossOfKey]
    def __init__(self, digest: _Optional[str] = ..., line_count: _Optional[int] = ..., coarse_digest: _Optional[str] = ..., gross: _Optional[_Iterable[_Union[GrossOfKey, _Mapping]]] = ...) -> None: ...

class ListLineDigestsRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: DigestScope
    def __init__(self, scope: _Optional[_Union[DigestScope, _Mapping]] = ...) -> None: ...

class LineDigest(_message.Message):
    __slots__ = ("charge_id", "content_hash")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    charge_id: bytes
    content_hash: bytes
    def __init__(self, charge_id: _Optional[bytes] = ..., content_hash: _Optional[bytes] = ...) -> None: ...

class ListLineDigestsResponse(_message.Message):
    __slots__ = ("digests",)
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.RepeatedCompositeFieldContainer[LineDigest]
    def __init__(self, digests: _Optional[_Iterable[_Union[LineDigest, _Mapping]]] = ...) -> None: ...

class DiffDigestRequest(_message.Message):
    __slots__ = ("scope", "digests")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    scope: DigestScope
    digests: _containers.RepeatedCompositeFieldContainer[LineDigest]
    def __init__(self, scope: _Optional[_Union[DigestScope, _Mapping]] = ..., digests: _Optional[_Iterable[_Union[LineDigest, _Mapping]]] = ...) -> None: ...

class LineDifference(_message.Message):
    __slots__ = ("charge_id", "kind", "line")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    charge_id: str
    kind: DifferenceKind
    line: LedgerLine
    def __init__(self, charge_id: _Optional[str] = ..., kind: _Optional[_Union[DifferenceKind, str]] = ..., line: _Optional[_Union[LedgerLine, _Mapping]] = ...) -> None: ...

class DiffDigestResponse(_message.Message):
    __slots__ = ("difference_count", "differences")
    DIFFERENCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    difference_count: int
    differences: _containers.RepeatedCompositeFieldContainer[LineDifference]
    def __init__(self, difference_count: _Optional[int] = ..., differences: _Optional[_Iterable[_Union[LineDifference, _Mapping]]] = ...) -> None: ...

class CheckLedgerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InvariantResult(_message.Message):
    __slots__ = ("name", "holds", "violation_count", "examples")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    VIOLATION_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    holds: bool
    violation_count: int
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., holds: _Optional[bool] = ..., violation_count: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckLedgerResponse(_message.Message):
    __slots__ = ("results", "holds")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[InvariantResult]
    holds: bool
    def __init__(self, results: _Optional[_Iterable[_Union[InvariantResult, _Mapping]]] = ..., holds: _Optional[bool] = ...) -> None: ...

class FixWatermarkRequest(_message.Message):
    __slots__ = ("period",)
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    period: str
    def __init__(self, period: _Optional[str] = ...) -> None: ...

class FixWatermarkResponse(_message.Message):
    __slots__ = ("watermark", "period_closed", "closed_org_ids", "reopened")
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    PERIOD_CLOSED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_ORG_IDS_FIELD_NUMBER: _ClassVar[int]
    REOPENED_FIELD_NUMBER: _ClassVar[int]
    watermark: int
    period_closed: bool
    closed_org_ids: _containers.RepeatedScalarFieldContainer[str]
    reopened: _containers.RepeatedCompositeFieldContainer[ReopenedOrg]
    def __init__(self, watermark: _Optional[int] = ..., period_closed: _Optional[bool] = ..., closed_org_ids: _Optional[_Iterable[str]] = ..., reopened: _Optional[_Iterable[_Union[ReopenedOrg, _Mapping]]] = ...) -> None: ...

class ReopenedOrg(_message.Message):
    __slots__ = ("org_id", "reopening", "closed")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REOPENING_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    reopening: int
    closed: bool
    def __init__(self, org_id: _Optional[str] = ..., reopening: _Optional[int] = ..., closed: _Optional[bool] = ...) -> None: ...

class SummarizeLinesRequest(_message.Message):
    __slots__ = ("billing_account_id", "watermark", "period", "held")
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    billing_account_id: str
    watermark: int
    period: str
    held: _containers.RepeatedCompositeFieldContainer[HeldLines]
    def __init__(self, billing_account_id: _Optional[str] = ..., watermark: _Optional[int] = ..., period: _Optional[str] = ..., held: _Optional[_Iterable[_Union[HeldLines, _Mapping]]] = ...) -> None: ...

class HeldLines(_message.Message):
    __slots__ = ("through_period", "watermark")
    THROUGH_PERIOD_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    through_period: str
    watermark: int
    def __init__(self, through_period: _Optional[str] = ..., watermark: _Optional[int] = ...) -> None: ...

class LineSum(_message.Message):
    __slots__ = ("org_id", "project_id", "sku", "kind", "currency", "partner_id", "partner_from_account", "line_count", "quantity", "gross", "partner_amount", "mapping_id", "period", "billed_period")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_FROM_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    GROSS_FIELD_NUMBER: _ClassVar[int]
    PARTNER_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    MAPPING_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    BILLED_PERIOD_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    project_id: str
    sku: str
    kind: LineKind
    currency: str
    partner_id: str
    partner_from_account: bool
    line_count: int
    quantity: _decimal_pb2.Decimal
    gross: _decimal_pb2.Decimal
    partner_amount: _decimal_pb2.Decimal
    mapping_id: str
    period: str
    billed_period: str
    def __init__(self, org_id: _Optional[str] = ..., project_id: _Optional[str] = ..., sku: _Optional[str] = ..., kind: _Optional[_Union[LineKind, str]] = ..., currency: _Optional[str] = ..., partner_id: _Optional[str] = ..., partner_from_account: _Optional[bool] = ..., line_count: _Optional[int] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., gross: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., partner_amount: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., mapping_id: _Optional[str] = ..., period: _Optional[str] = ..., billed_period: _Optional[str] = ...) -> None: ...

class SummarizeLinesResponse(_message.Message):
    __slots__ = ("sums",)
    SUMS_FIELD_NUMBER: _ClassVar[int]
    sums: _containers.RepeatedCompositeFieldContainer[LineSum]
    def __init__(self, sums: _Optional[_Iterable[_Union[LineSum, _Mapping]]] = ...) -> None: ...

class ChargeToAppend(_message.Message):
    __slots__ = ("charge_id", "event_id", "org_id", "project_id", "billing_account_id", "mapping_id", "sku", "sku_type", "quantity", "amount", "event_time")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MAPPING_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SKU_TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    charge_id: str
    event_id: str
    org_id: str
    project_id: str
    billing_account_id: str
    mapping_id: str
    sku: str
    sku_type: str
    quantity: _decimal_pb2.Decimal
    amount: _money_pb2.Money
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, charge_id: _Optional[str] = ..., event_id: _Optional[str] = ..., org_id: _Optional[str] = ..., project_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., mapping_id: _Optional[str] = ..., sku: _Optional[str] = ..., sku_type: _Optional[str] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AppendChargesRequest(_message.Message):
    __slots__ = ("charges",)
    CHARGES_FIELD_NUMBER: _ClassVar[int]
    charges: _containers.RepeatedCompositeFieldContainer[ChargeToAppend]
    def __init__(self, charges: _Optional[_Iterable[_Union[ChargeToAppend, _Mapping]]] = ...) -> None: ...

class AppendChargesResponse(_message.Message):
    __slots__ = ("appended_count", "known_count", "conflicting_charge_ids")
    APPENDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONFLICTING_CHARGE_IDS_FIELD_NUMBER: _ClassVar[int]
    appended_count: int
    known_count: int
    conflicting_charge_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, appended_count: _Optional[int] = ..., known_count: _Optional[int] = ..., conflicting_charge_ids: _Optional[_Iterable[str]] = ...) -> None: ...

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

class ReverseLineRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReverseLineResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OpenDisputeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OpenDisputeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResolveDisputeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResolveDisputeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyChainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyChainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchLinesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchLinesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
