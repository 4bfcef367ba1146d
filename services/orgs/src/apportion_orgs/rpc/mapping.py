"""What requests say, as the use cases take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid, parse_uuid_bytes, uuid7
from apportion_common.protos import timestamp_to_us

from apportion_orgs.app.mappings import NewMapping
from apportion_orgs.app.messages import ALLOCATIONS, VISIBILITIES
from apportion_orgs.app.organizations import DEFAULT_CURRENCY, NewOrg
from apportion_orgs.app.ports import AccountRecord
from apportion_orgs.domain.allocation import check_percent

_VISIBILITY_OF: Final = {number: name for name, number in VISIBILITIES.items()}
_ALLOCATION_OF: Final = {number: allocation for allocation, number in ALLOCATIONS.items()}


def id_of(text: str, field: str) -> UUID:
    """The id in a field. Raises InvalidArgument ID_MALFORMED."""
    try:
        return parse_uuid(text)
    except ApportionError as error:
        error.field = field
        raise


def optional_id_of(text: str, field: str) -> UUID | None:
    """The id in a field that may be empty. Raises InvalidArgument ID_MALFORMED."""
    return id_of(text, field) if text else None


def new_org(request: pb.CreateOrgRequest) -> NewOrg:
    """The organisation to make; not said: private, in UTC, in AUD."""
    return NewOrg(
        org_id=optional_id_of(request.org_id, "org_id"),
        legal_name=request.legal_name,
        slug=request.slug,
        billing_email=request.billing_email,
        default_timezone=request.default_timezone,
        tax_id=request.tax_id,
        visibility=_VISIBILITY_OF.get(request.visibility, "private"),
        parent_org_id=optional_id_of(request.parent_org_id, "parent_org_id"),
        currency=request.currency or DEFAULT_CURRENCY,
        owner_user_id=optional_id_of(request.owner_user_id, "owner_user_id"),
        owner_email=request.owner_email,
    )


def new_account(request: pb.CreateBillingAccountRequest) -> AccountRecord:
    """The account to add, under the id chosen or a new one."""
    return AccountRecord(
        optional_id_of(request.billing_account_id, "billing_account_id") or uuid7(),
        id_of(request.owner_org_id, "owner_org_id"),
        request.name,
        request.currency,
    )


def new_mapping(request: pb.MapOrgRequest) -> NewMapping:
    """The mapping to add. Raises as `check_percent` does, naming the field."""
    allocation = _ALLOCATION_OF[request.allocation]
    try:
        percent = check_percent(allocation, request.percent.value if request.HasField("percent") else None)
    except ApportionError as error:
        error.field = "percent"
        raise
    return NewMapping(
        id_of(request.org_id, "org_id"),
        id_of(request.billing_account_id, "billing_account_id"),
        allocation,
        percent,
        timestamp_to_us(request.effective_at, "effective_at"),
    )


def needs_of(items: Sequence[pb.OrgInstant]) -> list[tuple[str, int]]:
    """The ids, checked, and instants (in microseconds) to resolve, in the order asked."""
    return [(_checked(item.org_id), timestamp_to_us(item.at, "items.at")) for item in items]


def _checked(org_id: str) -> str:
    parse_uuid_bytes(org_id)
    return org_id
