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

class SkuType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SKU_TYPE_UNSPECIFIED: _ClassVar[SkuType]
    SKU_TYPE_HOSTING: _ClassVar[SkuType]
    SKU_TYPE_OBJECT: _ClassVar[SkuType]
    SKU_TYPE_VALIDATION: _ClassVar[SkuType]
    SKU_TYPE_ACTION: _ClassVar[SkuType]
    SKU_TYPE_ANALYTICS: _ClassVar[SkuType]

class ChargeModel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHARGE_MODEL_UNSPECIFIED: _ClassVar[ChargeModel]
    CHARGE_MODEL_PER_UNIT: _ClassVar[ChargeModel]
    CHARGE_MODEL_GRADUATED: _ClassVar[ChargeModel]

class ValueSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_SOURCE_UNSPECIFIED: _ClassVar[ValueSource]
    VALUE_SOURCE_PLAN: _ClassVar[ValueSource]
    VALUE_SOURCE_BILLING_ACCOUNT: _ClassVar[ValueSource]
    VALUE_SOURCE_ORG: _ClassVar[ValueSource]

class EngineMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENGINE_MODE_UNSPECIFIED: _ClassVar[EngineMode]
    ENGINE_MODE_OFF: _ClassVar[EngineMode]
    ENGINE_MODE_SHADOW: _ClassVar[EngineMode]
    ENGINE_MODE_LIVE: _ClassVar[EngineMode]
SKU_TYPE_UNSPECIFIED: SkuType
SKU_TYPE_HOSTING: SkuType
SKU_TYPE_OBJECT: SkuType
SKU_TYPE_VALIDATION: SkuType
SKU_TYPE_ACTION: SkuType
SKU_TYPE_ANALYTICS: SkuType
CHARGE_MODEL_UNSPECIFIED: ChargeModel
CHARGE_MODEL_PER_UNIT: ChargeModel
CHARGE_MODEL_GRADUATED: ChargeModel
VALUE_SOURCE_UNSPECIFIED: ValueSource
VALUE_SOURCE_PLAN: ValueSource
VALUE_SOURCE_BILLING_ACCOUNT: ValueSource
VALUE_SOURCE_ORG: ValueSource
ENGINE_MODE_UNSPECIFIED: EngineMode
ENGINE_MODE_OFF: EngineMode
ENGINE_MODE_SHADOW: EngineMode
ENGINE_MODE_LIVE: EngineMode

class Sku(_message.Message):
    __slots__ = ("sku", "type", "unit")
    SKU_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    sku: str
    type: SkuType
    unit: str
    def __init__(self, sku: _Optional[str] = ..., type: _Optional[_Union[SkuType, str]] = ..., unit: _Optional[str] = ...) -> None: ...

class CreateSkuRequest(_message.Message):
    __slots__ = ("sku", "request_id")
    SKU_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    sku: Sku
    request_id: str
    def __init__(self, sku: _Optional[_Union[Sku, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSkuResponse(_message.Message):
    __slots__ = ("sku", "revision")
    SKU_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    sku: Sku
    revision: int
    def __init__(self, sku: _Optional[_Union[Sku, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListSkusRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSkusResponse(_message.Message):
    __slots__ = ("skus", "next_page_token")
    SKUS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    skus: _containers.RepeatedCompositeFieldContainer[Sku]
    next_page_token: str
    def __init__(self, skus: _Optional[_Iterable[_Union[Sku, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Tier(_message.Message):
    __slots__ = ("threshold", "price")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    threshold: _decimal_pb2.Decimal
    price: _decimal_pb2.Decimal
    def __init__(self, threshold: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., price: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ...) -> None: ...

class Tiers(_message.Message):
    __slots__ = ("tiers",)
    TIERS_FIELD_NUMBER: _ClassVar[int]
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    def __init__(self, tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ...) -> None: ...

class PlanSku(_message.Message):
    __slots__ = ("sku", "charge_model", "included_qty", "overage_price", "tiers")
    SKU_FIELD_NUMBER: _ClassVar[int]
    CHARGE_MODEL_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_QTY_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    sku: str
    charge_model: ChargeModel
    included_qty: _decimal_pb2.Decimal
    overage_price: _decimal_pb2.Decimal
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    def __init__(self, sku: _Optional[str] = ..., charge_model: _Optional[_Union[ChargeModel, str]] = ..., included_qty: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., overage_price: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("plan_id", "name", "currency", "base_price", "rows")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    BASE_PRICE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    name: str
    currency: str
    base_price: _money_pb2.Money
    rows: _containers.RepeatedCompositeFieldContainer[PlanSku]
    def __init__(self, plan_id: _Optional[str] = ..., name: _Optional[str] = ..., currency: _Optional[str] = ..., base_price: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[PlanSku, _Mapping]]] = ...) -> None: ...

class CreatePlanRequest(_message.Message):
    __slots__ = ("plan_id", "name", "currency", "base_price", "rows", "effective_at", "request_id")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    BASE_PRICE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    name: str
    currency: str
    base_price: _money_pb2.Money
    rows: _containers.RepeatedCompositeFieldContainer[PlanSku]
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, plan_id: _Optional[str] = ..., name: _Optional[str] = ..., currency: _Optional[str] = ..., base_price: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[PlanSku, _Mapping]]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreatePlanResponse(_message.Message):
    __slots__ = ("plan", "revision")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    revision: int
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetPlanRequest(_message.Message):
    __slots__ = ("plan_id", "at")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, plan_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetPlanResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ...) -> None: ...

class LookupPlansRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class PlanMatch(_message.Message):
    __slots__ = ("name", "plans", "nearest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    name: str
    plans: _containers.RepeatedCompositeFieldContainer[Plan]
    nearest: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., plans: _Optional[_Iterable[_Union[Plan, _Mapping]]] = ..., nearest: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupPlansResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[PlanMatch]
    def __init__(self, matches: _Optional[_Iterable[_Union[PlanMatch, _Mapping]]] = ...) -> None: ...

class ListPlansRequest(_message.Message):
    __slots__ = ("search", "page_size", "page_token")
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    search: str
    page_size: int
    page_token: str
    def __init__(self, search: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPlansResponse(_message.Message):
    __slots__ = ("plans", "next_page_token")
    PLANS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    plans: _containers.RepeatedCompositeFieldContainer[Plan]
    next_page_token: str
    def __init__(self, plans: _Optional[_Iterable[_Union[Plan, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PlanRow(_message.Message):
    __slots__ = ("row", "effective_at", "revision")
    ROW_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    row: PlanSku
    effective_at: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, row: _Optional[_Union[PlanSku, _Mapping]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListPlanRowsRequest(_message.Message):
    __slots__ = ("plan_id", "sku", "page_size", "page_token")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    sku: str
    page_size: int
    page_token: str
    def __init__(self, plan_id: _Optional[str] = ..., sku: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPlanRowsResponse(_message.Message):
    __slots__ = ("rows", "next_page_token")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[PlanRow]
    next_page_token: str
    def __init__(self, rows: _Optional[_Iterable[_Union[PlanRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetPlanSkuRequest(_message.Message):
    __slots__ = ("plan_id", "row", "effective_at", "request_id")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    row: PlanSku
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, plan_id: _Optional[str] = ..., row: _Optional[_Union[PlanSku, _Mapping]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetPlanSkuResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class AssignPlanRequest(_message.Message):
    __slots__ = ("org_id", "plan_id", "effective_at", "notes", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    plan_id: str
    effective_at: _timestamp_pb2.Timestamp
    notes: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., notes: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class AssignPlanResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("org_id", "plan_id", "effective_at", "notes", "revision")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    plan_id: str
    effective_at: _timestamp_pb2.Timestamp
    notes: str
    revision: int
    def __init__(self, org_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., notes: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class ListAssignmentsRequest(_message.Message):
    __slots__ = ("org_id", "plan_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    plan_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAssignmentsResponse(_message.Message):
    __slots__ = ("assignments", "next_page_token")
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    next_page_token: str
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Override(_message.Message):
    __slots__ = ("sku", "included_qty", "overage_price", "tiers")
    SKU_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_QTY_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    sku: str
    included_qty: _decimal_pb2.Decimal
    overage_price: _decimal_pb2.Decimal
    tiers: Tiers
    def __init__(self, sku: _Optional[str] = ..., included_qty: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., overage_price: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., tiers: _Optional[_Union[Tiers, _Mapping]] = ...) -> None: ...

class SetEntitlementRequest(_message.Message):
    __slots__ = ("org_id", "billing_account_id", "plan_id", "overrides", "effective_at", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    billing_account_id: str
    plan_id: str
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetEntitlementResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class GetEffectiveEntitlementsRequest(_message.Message):
    __slots__ = ("org_id", "at")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, org_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EffectiveEntitlement(_message.Message):
    __slots__ = ("sku", "charge_model", "included_qty", "included_qty_source", "overage_price", "overage_price_source", "tiers", "tiers_source", "used_qty")
    SKU_FIELD_NUMBER: _ClassVar[int]
    CHARGE_MODEL_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_QTY_FIELD_NUMBER: _ClassVar[int]
    INCLUDED_QTY_SOURCE_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    OVERAGE_PRICE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    TIERS_SOURCE_FIELD_NUMBER: _ClassVar[int]
    USED_QTY_FIELD_NUMBER: _ClassVar[int]
    sku: str
    charge_model: ChargeModel
    included_qty: _decimal_pb2.Decimal
    included_qty_source: ValueSource
    overage_price: _decimal_pb2.Decimal
    overage_price_source: ValueSource
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    tiers_source: ValueSource
    used_qty: _decimal_pb2.Decimal
    def __init__(self, sku: _Optional[str] = ..., charge_model: _Optional[_Union[ChargeModel, str]] = ..., included_qty: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., included_qty_source: _Optional[_Union[ValueSource, str]] = ..., overage_price: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., overage_price_source: _Optional[_Union[ValueSource, str]] = ..., tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ..., tiers_source: _Optional[_Union[ValueSource, str]] = ..., used_qty: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ...) -> None: ...

class GetEffectiveEntitlementsResponse(_message.Message):
    __slots__ = ("plan_id", "billing_account_id", "currency", "entitlements", "revision")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    billing_account_id: str
    currency: str
    entitlements: _containers.RepeatedCompositeFieldContainer[EffectiveEntitlement]
    revision: int
    def __init__(self, plan_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., currency: _Optional[str] = ..., entitlements: _Optional[_Iterable[_Union[EffectiveEntitlement, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class SetEngineModeRequest(_message.Message):
    __slots__ = ("org_id", "mode", "override_reason", "request_id", "all_orgs")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_ORGS_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    mode: EngineMode
    override_reason: str
    request_id: str
    all_orgs: bool
    def __init__(self, org_id: _Optional[str] = ..., mode: _Optional[_Union[EngineMode, str]] = ..., override_reason: _Optional[str] = ..., request_id: _Optional[str] = ..., all_orgs: _Optional[bool] = ...) -> None: ...

class SetEngineModeResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class EngineModeSet(_message.Message):
    __slots__ = ("org_id", "mode", "override_reason", "revision", "set_at")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_REASON_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    mode: EngineMode
    override_reason: str
    revision: int
    set_at: _timestamp_pb2.Timestamp
    def __init__(self, org_id: _Optional[str] = ..., mode: _Optional[_Union[EngineMode, str]] = ..., override_reason: _Optional[str] = ..., revision: _Optional[int] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListEngineModesRequest(_message.Message):
    __slots__ = ("org_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEngineModesResponse(_message.Message):
    __slots__ = ("modes", "next_page_token")
    MODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    modes: _containers.RepeatedCompositeFieldContainer[EngineModeSet]
    next_page_token: str
    def __init__(self, modes: _Optional[_Iterable[_Union[EngineModeSet, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListChargesRequest(_message.Message):
    __slots__ = ("org_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class Charge(_message.Message):
    __slots__ = ("charge_id", "event_id", "org_id", "project_id", "billing_account_id", "sku", "quantity", "quantity_before", "amount", "event_time", "period", "mode", "lane", "batch_seq", "entry_seq", "catalog_revision", "orgs_revision", "billed_period")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_BEFORE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    ENTRY_SEQ_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REVISION_FIELD_NUMBER: _ClassVar[int]
    ORGS_REVISION_FIELD_NUMBER: _ClassVar[int]
    BILLED_PERIOD_FIELD_NUMBER: _ClassVar[int]
    charge_id: str
    event_id: str
    org_id: str
    project_id: str
    billing_account_id: str
    sku: str
    quantity: _decimal_pb2.Decimal
    quantity_before: _decimal_pb2.Decimal
    amount: _money_pb2.Money
    event_time: _timestamp_pb2.Timestamp
    period: str
    mode: EngineMode
    lane: int
    batch_seq: int
    entry_seq: int
    catalog_revision: int
    orgs_revision: int
    billed_period: str
    def __init__(self, charge_id: _Optional[str] = ..., event_id: _Optional[str] = ..., org_id: _Optional[str] = ..., project_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., sku: _Optional[str] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., quantity_before: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., period: _Optional[str] = ..., mode: _Optional[_Union[EngineMode, str]] = ..., lane: _Optional[int] = ..., batch_seq: _Optional[int] = ..., entry_seq: _Optional[int] = ..., catalog_revision: _Optional[int] = ..., orgs_revision: _Optional[int] = ..., billed_period: _Optional[str] = ...) -> None: ...

class ListChargesResponse(_message.Message):
    __slots__ = ("charges", "next_page_token")
    CHARGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    charges: _containers.RepeatedCompositeFieldContainer[Charge]
    next_page_token: str
    def __init__(self, charges: _Optional[_Iterable[_Union[Charge, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

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

class PreviewAssignmentRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PreviewAssignmentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EstimateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EstimateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EstimateStreamRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EstimateStreamResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PublishCatalogRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PublishCatalogResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunParityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunParityResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetParityRunRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetParityRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleaseHeldChargesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleaseHeldChargesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetBudgetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetBudgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AuthorizeSpendRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AuthorizeSpendResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetTaxRateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetTaxRateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
