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

class Visibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VISIBILITY_UNSPECIFIED: _ClassVar[Visibility]
    VISIBILITY_PRIVATE: _ClassVar[Visibility]
    VISIBILITY_PARTNERS: _ClassVar[Visibility]
    VISIBILITY_PUBLIC: _ClassVar[Visibility]

class Allocation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALLOCATION_UNSPECIFIED: _ClassVar[Allocation]
    ALLOCATION_ABSORB: _ClassVar[Allocation]
    ALLOCATION_CHARGEBACK: _ClassVar[Allocation]
    ALLOCATION_SPLIT: _ClassVar[Allocation]

class InvoiceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INVOICE_STATE_UNSPECIFIED: _ClassVar[InvoiceState]
    INVOICE_STATE_DRAFT: _ClassVar[InvoiceState]
    INVOICE_STATE_FINAL: _ClassVar[InvoiceState]
    INVOICE_STATE_PAID: _ClassVar[InvoiceState]
    INVOICE_STATE_VOID: _ClassVar[InvoiceState]

class LineKindName(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINE_KIND_NAME_UNSPECIFIED: _ClassVar[LineKindName]
    LINE_KIND_NAME_USAGE: _ClassVar[LineKindName]
    LINE_KIND_NAME_RERATE: _ClassVar[LineKindName]
    LINE_KIND_NAME_BASE: _ClassVar[LineKindName]
    LINE_KIND_NAME_MINIMUM: _ClassVar[LineKindName]
    LINE_KIND_NAME_ADJUSTMENT: _ClassVar[LineKindName]
    LINE_KIND_NAME_REVERSAL: _ClassVar[LineKindName]
VISIBILITY_UNSPECIFIED: Visibility
VISIBILITY_PRIVATE: Visibility
VISIBILITY_PARTNERS: Visibility
VISIBILITY_PUBLIC: Visibility
ALLOCATION_UNSPECIFIED: Allocation
ALLOCATION_ABSORB: Allocation
ALLOCATION_CHARGEBACK: Allocation
ALLOCATION_SPLIT: Allocation
INVOICE_STATE_UNSPECIFIED: InvoiceState
INVOICE_STATE_DRAFT: InvoiceState
INVOICE_STATE_FINAL: InvoiceState
INVOICE_STATE_PAID: InvoiceState
INVOICE_STATE_VOID: InvoiceState
LINE_KIND_NAME_UNSPECIFIED: LineKindName
LINE_KIND_NAME_USAGE: LineKindName
LINE_KIND_NAME_RERATE: LineKindName
LINE_KIND_NAME_BASE: LineKindName
LINE_KIND_NAME_MINIMUM: LineKindName
LINE_KIND_NAME_ADJUSTMENT: LineKindName
LINE_KIND_NAME_REVERSAL: LineKindName

class Org(_message.Message):
    __slots__ = ("org_id", "legal_name", "slug", "billing_email", "parent_org_id", "visibility", "default_timezone", "tax_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    LEGAL_NAME_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    BILLING_EMAIL_FIELD_NUMBER: _ClassVar[int]
    PARENT_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    TAX_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    legal_name: str
    slug: str
    billing_email: str
    parent_org_id: str
    visibility: Visibility
    default_timezone: str
    tax_id: str
    def __init__(self, org_id: _Optional[str] = ..., legal_name: _Optional[str] = ..., slug: _Optional[str] = ..., billing_email: _Optional[str] = ..., parent_org_id: _Optional[str] = ..., visibility: _Optional[_Union[Visibility, str]] = ..., default_timezone: _Optional[str] = ..., tax_id: _Optional[str] = ...) -> None: ...

class CreateOrgRequest(_message.Message):
    __slots__ = ("org_id", "legal_name", "slug", "billing_email", "parent_org_id", "visibility", "default_timezone", "tax_id", "currency", "request_id", "owner_user_id", "owner_email")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    LEGAL_NAME_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    BILLING_EMAIL_FIELD_NUMBER: _ClassVar[int]
    PARENT_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    TAX_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_USER_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    legal_name: str
    slug: str
    billing_email: str
    parent_org_id: str
    visibility: Visibility
    default_timezone: str
    tax_id: str
    currency: str
    request_id: str
    owner_user_id: str
    owner_email: str
    def __init__(self, org_id: _Optional[str] = ..., legal_name: _Optional[str] = ..., slug: _Optional[str] = ..., billing_email: _Optional[str] = ..., parent_org_id: _Optional[str] = ..., visibility: _Optional[_Union[Visibility, str]] = ..., default_timezone: _Optional[str] = ..., tax_id: _Optional[str] = ..., currency: _Optional[str] = ..., request_id: _Optional[str] = ..., owner_user_id: _Optional[str] = ..., owner_email: _Optional[str] = ...) -> None: ...

class OrgCreated(_message.Message):
    __slots__ = ("org", "owner_user_id", "owner_email")
    ORG_FIELD_NUMBER: _ClassVar[int]
    OWNER_USER_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    org: Org
    owner_user_id: str
    owner_email: str
    def __init__(self, org: _Optional[_Union[Org, _Mapping]] = ..., owner_user_id: _Optional[str] = ..., owner_email: _Optional[str] = ...) -> None: ...

class CreateOrgResponse(_message.Message):
    __slots__ = ("org", "revision")
    ORG_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    org: Org
    revision: int
    def __init__(self, org: _Optional[_Union[Org, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetOrgRequest(_message.Message):
    __slots__ = ("org_id",)
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    def __init__(self, org_id: _Optional[str] = ...) -> None: ...

class GetOrgResponse(_message.Message):
    __slots__ = ("org",)
    ORG_FIELD_NUMBER: _ClassVar[int]
    org: Org
    def __init__(self, org: _Optional[_Union[Org, _Mapping]] = ...) -> None: ...

class LookupOrgsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class OrgName(_message.Message):
    __slots__ = ("org_id", "slug", "legal_name")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    LEGAL_NAME_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    slug: str
    legal_name: str
    def __init__(self, org_id: _Optional[str] = ..., slug: _Optional[str] = ..., legal_name: _Optional[str] = ...) -> None: ...

class OrgMatch(_message.Message):
    __slots__ = ("name", "org", "nearest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORG_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    name: str
    org: OrgName
    nearest: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., org: _Optional[_Union[OrgName, _Mapping]] = ..., nearest: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupOrgsResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[OrgMatch]
    def __init__(self, matches: _Optional[_Iterable[_Union[OrgMatch, _Mapping]]] = ...) -> None: ...

class ListOrgsRequest(_message.Message):
    __slots__ = ("parent_org_id", "slug_prefix", "search", "page_size", "page_token")
    PARENT_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SLUG_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent_org_id: str
    slug_prefix: str
    search: str
    page_size: int
    page_token: str
    def __init__(self, parent_org_id: _Optional[str] = ..., slug_prefix: _Optional[str] = ..., search: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOrgsResponse(_message.Message):
    __slots__ = ("orgs", "next_page_token")
    ORGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    orgs: _containers.RepeatedCompositeFieldContainer[Org]
    next_page_token: str
    def __init__(self, orgs: _Optional[_Iterable[_Union[Org, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AddChildRequest(_message.Message):
    __slots__ = ("parent_org_id", "child_org_id", "request_id")
    PARENT_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CHILD_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    parent_org_id: str
    child_org_id: str
    request_id: str
    def __init__(self, parent_org_id: _Optional[str] = ..., child_org_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class AddChildResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class OrgAtDepth(_message.Message):
    __slots__ = ("org", "depth")
    ORG_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    org: Org
    depth: int
    def __init__(self, org: _Optional[_Union[Org, _Mapping]] = ..., depth: _Optional[int] = ...) -> None: ...

class ListDescendantsRequest(_message.Message):
    __slots__ = ("org_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDescendantsResponse(_message.Message):
    __slots__ = ("orgs", "next_page_token")
    ORGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    orgs: _containers.RepeatedCompositeFieldContainer[OrgAtDepth]
    next_page_token: str
    def __init__(self, orgs: _Optional[_Iterable[_Union[OrgAtDepth, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListAncestorsRequest(_message.Message):
    __slots__ = ("org_id",)
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    def __init__(self, org_id: _Optional[str] = ...) -> None: ...

class ListAncestorsResponse(_message.Message):
    __slots__ = ("orgs",)
    ORGS_FIELD_NUMBER: _ClassVar[int]
    orgs: _containers.RepeatedCompositeFieldContainer[OrgAtDepth]
    def __init__(self, orgs: _Optional[_Iterable[_Union[OrgAtDepth, _Mapping]]] = ...) -> None: ...

class GetTreeRequest(_message.Message):
    __slots__ = ("root_org_id",)
    ROOT_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    root_org_id: str
    def __init__(self, root_org_id: _Optional[str] = ...) -> None: ...

class GetTreeResponse(_message.Message):
    __slots__ = ("orgs",)
    ORGS_FIELD_NUMBER: _ClassVar[int]
    orgs: _containers.RepeatedCompositeFieldContainer[OrgAtDepth]
    def __init__(self, orgs: _Optional[_Iterable[_Union[OrgAtDepth, _Mapping]]] = ...) -> None: ...

class CheckHierarchyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckHierarchyResponse(_message.Message):
    __slots__ = ("holds", "examples")
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    holds: bool
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, holds: _Optional[bool] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class BillingAccount(_message.Message):
    __slots__ = ("billing_account_id", "owner_org_id", "name", "currency", "is_default")
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    billing_account_id: str
    owner_org_id: str
    name: str
    currency: str
    is_default: bool
    def __init__(self, billing_account_id: _Optional[str] = ..., owner_org_id: _Optional[str] = ..., name: _Optional[str] = ..., currency: _Optional[str] = ..., is_default: _Optional[bool] = ...) -> None: ...

class CreateBillingAccountRequest(_message.Message):
    __slots__ = ("billing_account_id", "owner_org_id", "name", "currency", "request_id")
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    billing_account_id: str
    owner_org_id: str
    name: str
    currency: str
    request_id: str
    def __init__(self, billing_account_id: _Optional[str] = ..., owner_org_id: _Optional[str] = ..., name: _Optional[str] = ..., currency: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateBillingAccountResponse(_message.Message):
    __slots__ = ("billing_account", "revision")
    BILLING_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    billing_account: BillingAccount
    revision: int
    def __init__(self, billing_account: _Optional[_Union[BillingAccount, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetBillingAccountRequest(_message.Message):
    __slots__ = ("billing_account_id",)
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    billing_account_id: str
    def __init__(self, billing_account_id: _Optional[str] = ...) -> None: ...

class GetBillingAccountResponse(_message.Message):
    __slots__ = ("billing_account",)
    BILLING_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    billing_account: BillingAccount
    def __init__(self, billing_account: _Optional[_Union[BillingAccount, _Mapping]] = ...) -> None: ...

class LookupBillingAccountsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class BillingAccountMatch(_message.Message):
    __slots__ = ("name", "accounts", "nearest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    name: str
    accounts: _containers.RepeatedCompositeFieldContainer[BillingAccount]
    nearest: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., accounts: _Optional[_Iterable[_Union[BillingAccount, _Mapping]]] = ..., nearest: _Optional[_Iterable[str]] = ...) -> None: ...

class LookupBillingAccountsResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[BillingAccountMatch]
    def __init__(self, matches: _Optional[_Iterable[_Union[BillingAccountMatch, _Mapping]]] = ...) -> None: ...

class ListBillingAccountsRequest(_message.Message):
    __slots__ = ("owner_org_id", "search", "page_size", "page_token")
    OWNER_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    owner_org_id: str
    search: str
    page_size: int
    page_token: str
    def __init__(self, owner_org_id: _Optional[str] = ..., search: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBillingAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[BillingAccount]
    next_page_token: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[BillingAccount, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class BillingMapping(_message.Message):
    __slots__ = ("mapping_id", "org_id", "billing_account_id", "allocation", "percent", "effective_at")
    MAPPING_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    mapping_id: str
    org_id: str
    billing_account_id: str
    allocation: Allocation
    percent: _decimal_pb2.Decimal
    effective_at: _timestamp_pb2.Timestamp
    def __init__(self, mapping_id: _Optional[str] = ..., org_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., allocation: _Optional[_Union[Allocation, str]] = ..., percent: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MapOrgRequest(_message.Message):
    __slots__ = ("org_id", "billing_account_id", "allocation", "percent", "effective_at", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    billing_account_id: str
    allocation: Allocation
    percent: _decimal_pb2.Decimal
    effective_at: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., allocation: _Optional[_Union[Allocation, str]] = ..., percent: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class MapOrgResponse(_message.Message):
    __slots__ = ("mapping", "revision")
    MAPPING_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    mapping: BillingMapping
    revision: int
    def __init__(self, mapping: _Optional[_Union[BillingMapping, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListMappingsRequest(_message.Message):
    __slots__ = ("org_id", "billing_account_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    billing_account_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMappingsResponse(_message.Message):
    __slots__ = ("mappings", "next_page_token")
    MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    mappings: _containers.RepeatedCompositeFieldContainer[BillingMapping]
    next_page_token: str
    def __init__(self, mappings: _Optional[_Iterable[_Union[BillingMapping, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class OrgInstant(_message.Message):
    __slots__ = ("org_id", "at")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, org_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResolveBillingAccountsRequest(_message.Message):
    __slots__ = ("items", "as_of_revision")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_REVISION_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[OrgInstant]
    as_of_revision: int
    def __init__(self, items: _Optional[_Iterable[_Union[OrgInstant, _Mapping]]] = ..., as_of_revision: _Optional[int] = ...) -> None: ...

class ResolvedBillingAccount(_message.Message):
    __slots__ = ("org_id", "org_known", "mapped", "billing_account_id", "mapping_id", "currency", "valid_from", "valid_until")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_KNOWN_FIELD_NUMBER: _ClassVar[int]
    MAPPED_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MAPPING_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    org_known: bool
    mapped: bool
    billing_account_id: str
    mapping_id: str
    currency: str
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, org_id: _Optional[str] = ..., org_known: _Optional[bool] = ..., mapped: _Optional[bool] = ..., billing_account_id: _Optional[str] = ..., mapping_id: _Optional[str] = ..., currency: _Optional[str] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResolveBillingAccountsResponse(_message.Message):
    __slots__ = ("revision", "results")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    results: _containers.RepeatedCompositeFieldContainer[ResolvedBillingAccount]
    def __init__(self, revision: _Optional[int] = ..., results: _Optional[_Iterable[_Union[ResolvedBillingAccount, _Mapping]]] = ...) -> None: ...

class InvoiceOrgPart(_message.Message):
    __slots__ = ("org_id", "ledger_total", "part", "allocation", "percent", "owner_pays", "org_pays", "period", "late")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    LEDGER_TOTAL_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_PAYS_FIELD_NUMBER: _ClassVar[int]
    ORG_PAYS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    ledger_total: _decimal_pb2.Decimal
    part: _money_pb2.Money
    allocation: Allocation
    percent: _decimal_pb2.Decimal
    owner_pays: _money_pb2.Money
    org_pays: _money_pb2.Money
    period: str
    late: bool
    def __init__(self, org_id: _Optional[str] = ..., ledger_total: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., part: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., allocation: _Optional[_Union[Allocation, str]] = ..., percent: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., owner_pays: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., org_pays: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., period: _Optional[str] = ..., late: _Optional[bool] = ...) -> None: ...

class InvoiceDocument(_message.Message):
    __slots__ = ("document_id", "org_id", "payable", "total", "number", "credit_note", "copy")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAYABLE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CREDIT_NOTE_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    org_id: str
    payable: bool
    total: _money_pb2.Money
    number: str
    credit_note: bool
    copy: bool
    def __init__(self, document_id: _Optional[str] = ..., org_id: _Optional[str] = ..., payable: _Optional[bool] = ..., total: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., number: _Optional[str] = ..., credit_note: _Optional[bool] = ..., copy: _Optional[bool] = ...) -> None: ...

class InvoiceLine(_message.Message):
    __slots__ = ("org_id", "sku", "project_id", "kind", "quantity", "gross", "partner_id", "partner_amount", "partner_from_account", "line_count", "amount", "period", "late")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    GROSS_FIELD_NUMBER: _ClassVar[int]
    PARTNER_ID_FIELD_NUMBER: _ClassVar[int]
    PARTNER_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PARTNER_FROM_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    sku: str
    project_id: str
    kind: LineKindName
    quantity: _decimal_pb2.Decimal
    gross: _decimal_pb2.Decimal
    partner_id: str
    partner_amount: _decimal_pb2.Decimal
    partner_from_account: bool
    line_count: int
    amount: _money_pb2.Money
    period: str
    late: bool
    def __init__(self, org_id: _Optional[str] = ..., sku: _Optional[str] = ..., project_id: _Optional[str] = ..., kind: _Optional[_Union[LineKindName, str]] = ..., quantity: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., gross: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., partner_id: _Optional[str] = ..., partner_amount: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., partner_from_account: _Optional[bool] = ..., line_count: _Optional[int] = ..., amount: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., period: _Optional[str] = ..., late: _Optional[bool] = ...) -> None: ...

class Invoice(_message.Message):
    __slots__ = ("invoice_id", "billing_account_id", "period", "state", "number", "currency", "ledger_total", "total", "rounding_difference", "watermark", "parts", "documents", "lines", "created_at", "finalized_at", "part_count", "document_count", "line_count")
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LEDGER_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROUNDING_DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINALIZED_AT_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    billing_account_id: str
    period: str
    state: InvoiceState
    number: str
    currency: str
    ledger_total: _decimal_pb2.Decimal
    total: _money_pb2.Money
    rounding_difference: _decimal_pb2.Decimal
    watermark: int
    parts: _containers.RepeatedCompositeFieldContainer[InvoiceOrgPart]
    documents: _containers.RepeatedCompositeFieldContainer[InvoiceDocument]
    lines: _containers.RepeatedCompositeFieldContainer[InvoiceLine]
    created_at: _timestamp_pb2.Timestamp
    finalized_at: _timestamp_pb2.Timestamp
    part_count: int
    document_count: int
    line_count: int
    def __init__(self, invoice_id: _Optional[str] = ..., billing_account_id: _Optional[str] = ..., period: _Optional[str] = ..., state: _Optional[_Union[InvoiceState, str]] = ..., number: _Optional[str] = ..., currency: _Optional[str] = ..., ledger_total: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., total: _Optional[_Union[_money_pb2.Money, _Mapping]] = ..., rounding_difference: _Optional[_Union[_decimal_pb2.Decimal, _Mapping]] = ..., watermark: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[InvoiceOrgPart, _Mapping]]] = ..., documents: _Optional[_Iterable[_Union[InvoiceDocument, _Mapping]]] = ..., lines: _Optional[_Iterable[_Union[InvoiceLine, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finalized_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., part_count: _Optional[int] = ..., document_count: _Optional[int] = ..., line_count: _Optional[int] = ...) -> None: ...

class GenerateInvoiceRequest(_message.Message):
    __slots__ = ("billing_account_id", "period", "request_id")
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    billing_account_id: str
    period: str
    request_id: str
    def __init__(self, billing_account_id: _Optional[str] = ..., period: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GenerateInvoiceResponse(_message.Message):
    __slots__ = ("invoice",)
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    invoice: Invoice
    def __init__(self, invoice: _Optional[_Union[Invoice, _Mapping]] = ...) -> None: ...

class FinalizeInvoiceRequest(_message.Message):
    __slots__ = ("invoice_id", "request_id")
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    request_id: str
    def __init__(self, invoice_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class FinalizeInvoiceResponse(_message.Message):
    __slots__ = ("invoice",)
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    invoice: Invoice
    def __init__(self, invoice: _Optional[_Union[Invoice, _Mapping]] = ...) -> None: ...

class ReopenPeriodRequest(_message.Message):
    __slots__ = ("period", "org_ids", "reason", "request_id")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    ORG_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    period: str
    org_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    request_id: str
    def __init__(self, period: _Optional[str] = ..., org_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PeriodReopening(_message.Message):
    __slots__ = ("org_id", "number")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    number: int
    def __init__(self, org_id: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class ReopenPeriodResponse(_message.Message):
    __slots__ = ("reopenings",)
    REOPENINGS_FIELD_NUMBER: _ClassVar[int]
    reopenings: _containers.RepeatedCompositeFieldContainer[PeriodReopening]
    def __init__(self, reopenings: _Optional[_Iterable[_Union[PeriodReopening, _Mapping]]] = ...) -> None: ...

class GetInvoiceRequest(_message.Message):
    __slots__ = ("invoice_id",)
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    def __init__(self, invoice_id: _Optional[str] = ...) -> None: ...

class GetInvoiceResponse(_message.Message):
    __slots__ = ("invoice",)
    INVOICE_FIELD_NUMBER: _ClassVar[int]
    invoice: Invoice
    def __init__(self, invoice: _Optional[_Union[Invoice, _Mapping]] = ...) -> None: ...

class ListInvoicesRequest(_message.Message):
    __slots__ = ("billing_account_id", "period", "page_size", "page_token")
    BILLING_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    billing_account_id: str
    period: str
    page_size: int
    page_token: str
    def __init__(self, billing_account_id: _Optional[str] = ..., period: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInvoicesResponse(_message.Message):
    __slots__ = ("invoices", "next_page_token")
    INVOICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    invoices: _containers.RepeatedCompositeFieldContainer[Invoice]
    next_page_token: str
    def __init__(self, invoices: _Optional[_Iterable[_Union[Invoice, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListInvoicePartsRequest(_message.Message):
    __slots__ = ("invoice_id", "page_size", "page_token")
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    page_size: int
    page_token: str
    def __init__(self, invoice_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInvoicePartsResponse(_message.Message):
    __slots__ = ("parts", "next_page_token")
    PARTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[InvoiceOrgPart]
    next_page_token: str
    def __init__(self, parts: _Optional[_Iterable[_Union[InvoiceOrgPart, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListInvoiceDocumentsRequest(_message.Message):
    __slots__ = ("invoice_id", "page_size", "page_token")
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    page_size: int
    page_token: str
    def __init__(self, invoice_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInvoiceDocumentsResponse(_message.Message):
    __slots__ = ("documents", "next_page_token")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[InvoiceDocument]
    next_page_token: str
    def __init__(self, documents: _Optional[_Iterable[_Union[InvoiceDocument, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListInvoiceLinesRequest(_message.Message):
    __slots__ = ("invoice_id", "page_size", "page_token")
    INVOICE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    invoice_id: str
    page_size: int
    page_token: str
    def __init__(self, invoice_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInvoiceLinesResponse(_message.Message):
    __slots__ = ("lines", "next_page_token")
    LINES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[InvoiceLine]
    next_page_token: str
    def __init__(self, lines: _Optional[_Iterable[_Union[InvoiceLine, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

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

class MoveOrgRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MoveOrgResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateCostCenterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateCostCenterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateProjectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateProjectResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GrantGroupRoleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GrantGroupRoleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeGroupRoleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeGroupRoleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckAccessRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckAccessResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartAssistRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartAssistResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EndAssistRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EndAssistResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VoidInvoiceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VoidInvoiceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MarkInvoicePaidRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MarkInvoicePaidResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportInvoiceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportInvoiceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
