"""Between the contract's messages and the use cases' values."""

from __future__ import annotations

from typing import Final

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES, QUANTITY_PLACES
from apportion_common.errors import ApportionError
from apportion_common.fields import id_of, optional_id, text_of
from apportion_common.ids import parse_uuid_bytes, uuid7
from apportion_common.protos import money_to_proto, scaled_to_decimal_proto, timestamp_to_us, us_to_timestamp

from apportion_orgs.app.events import ALLOCATIONS, VISIBILITIES, invoice_head_to_message, org_to_message
from apportion_orgs.app.mappings import NewMapping
from apportion_orgs.app.organizations import DEFAULT_CURRENCY, NewOrg
from apportion_orgs.domain.allocation import check_percent
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoices import Invoice, InvoiceDocument, InvoiceLine, InvoicePart
from apportion_orgs.domain.mappings import ResolvedAccount
from apportion_orgs.domain.organizations import OrgAtDepth

LINE_KINDS: Final = {
    "usage": pb.LINE_KIND_NAME_USAGE,
    "rerate": pb.LINE_KIND_NAME_RERATE,
    "base": pb.LINE_KIND_NAME_BASE,
    "minimum": pb.LINE_KIND_NAME_MINIMUM,
    "adjustment": pb.LINE_KIND_NAME_ADJUSTMENT,
    "reversal": pb.LINE_KIND_NAME_REVERSAL,
}
_VISIBILITY_OF: Final = {number: name for name, number in VISIBILITIES.items()}
_ALLOCATION_OF: Final = {number: allocation for allocation, number in ALLOCATIONS.items()}


def new_org_from_message(request: pb.CreateOrgRequest) -> NewOrg:
    """Return the organisation to create; by default private, in UTC, in AUD."""
    return NewOrg(
        org_id=optional_id(request.org_id, "org_id"),
        legal_name=request.legal_name,
        slug=request.slug,
        billing_email=request.billing_email,
        default_timezone=request.default_timezone,
        tax_id=request.tax_id,
        visibility=_VISIBILITY_OF.get(request.visibility, "private"),
        parent_org_id=optional_id(request.parent_org_id, "parent_org_id"),
        currency=request.currency or DEFAULT_CURRENCY,
        owner_user_id=optional_id(request.owner_user_id, "owner_user_id"),
        owner_email=request.owner_email,
    )


def account_from_message(request: pb.CreateBillingAccountRequest) -> BillingAccount:
    """Return the account to add, under the id chosen or a new one."""
    return BillingAccount(
        optional_id(request.billing_account_id, "billing_account_id") or uuid7(),
        id_of(request.owner_org_id, "owner_org_id"),
        request.name,
        request.currency,
    )


def new_mapping_from_message(request: pb.MapOrgRequest) -> NewMapping:
    """Return the mapping to add. Raises as `check_percent` does, naming the field."""
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


def needs_from_message(request: pb.ResolveBillingAccountsRequest) -> list[tuple[str, int]]:
    """Return the ids, checked, and instants (in microseconds) to resolve, in the order of the request."""
    return [(_checked(item.org_id), timestamp_to_us(item.at, "items.at")) for item in request.items]


def org_at_depth_to_message(found: OrgAtDepth) -> pb.OrgAtDepth:
    """Return an organisation and its distance."""
    return pb.OrgAtDepth(org=org_to_message(found.org), depth=found.depth)


def account_to_message(account: BillingAccount) -> pb.BillingAccount:
    """Return a billing account."""
    return pb.BillingAccount(
        billing_account_id=str(account.account_id),
        owner_org_id=str(account.owner_org_id),
        name=account.name,
        currency=account.currency,
        is_default=account.is_default,
    )


def resolved_to_message(org_id: str, found: ResolvedAccount) -> pb.ResolvedBillingAccount:
    """Return the answer for one item of ResolveBillingAccounts."""
    message = pb.ResolvedBillingAccount(
        org_id=org_id,
        org_known=found.org_known,
        mapped=found.mapping_id is not None,
        billing_account_id=found.account_id or "",
        mapping_id=found.mapping_id or "",
        currency=found.currency or "",
    )
    if found.valid_from_us is not None:
        message.valid_from.CopyFrom(us_to_timestamp(found.valid_from_us))
    if found.valid_until_us is not None:
        message.valid_until.CopyFrom(us_to_timestamp(found.valid_until_us))
    return message


def invoice_to_message(invoice: Invoice) -> pb.Invoice:
    """Return an invoice with its first parts, documents and lines, and how many it has."""
    message = invoice_head_to_message(invoice.head)
    currency = invoice.head.currency
    message.parts.extend(part_to_message(part, currency) for part in invoice.parts)
    message.documents.extend(document_to_message(document, currency) for document in invoice.documents)
    message.lines.extend(invoice_line_to_message(line, currency) for line in invoice.lines)
    message.part_count = invoice.part_count
    message.document_count = invoice.document_count
    message.line_count = invoice.line_count
    return message


def part_to_message(part: InvoicePart, currency: str) -> pb.InvoiceOrgPart:
    """Return a part of an invoice in a currency."""
    message = pb.InvoiceOrgPart(
        org_id=str(part.org_id),
        ledger_total=scaled_to_decimal_proto(part.ledger_total, AMOUNT_PLACES),
        part=money_to_proto(currency, part.part),
        allocation=ALLOCATIONS[part.allocation],
        owner_pays=money_to_proto(currency, part.owner_pays),
        org_pays=money_to_proto(currency, part.org_pays),
        period=part.period,
        late=part.late,
    )
    if part.percent is not None:
        message.percent.CopyFrom(scaled_to_decimal_proto(part.percent, PERCENT_PLACES))
    return message


def document_to_message(document: InvoiceDocument, currency: str) -> pb.InvoiceDocument:
    """Return a document of an invoice in a currency."""
    return pb.InvoiceDocument(
        document_id=str(document.document_id),
        org_id=str(document.org_id),
        payable=document.is_payable,
        total=money_to_proto(currency, document.total),
        number=document.number,
        credit_note=document.is_credit_note,
        copy=document.is_copy,
    )


def invoice_line_to_message(line: InvoiceLine, currency: str) -> pb.InvoiceLine:
    """Return a line of an invoice in a currency."""
    return pb.InvoiceLine(
        org_id=str(line.org_id),
        sku=line.sku,
        project_id=text_of(line.project_id),
        kind=LINE_KINDS[line.kind],
        quantity=scaled_to_decimal_proto(line.quantity, QUANTITY_PLACES),
        gross=scaled_to_decimal_proto(line.gross, AMOUNT_PLACES),
        partner_id=text_of(line.partner_id),
        partner_amount=scaled_to_decimal_proto(line.partner_amount, AMOUNT_PLACES),
        partner_from_account=line.partner_from_account,
        line_count=line.line_count,
        amount=money_to_proto(currency, line.amount),
        period=line.period,
        late=line.late,
    )


def _checked(org_id: str) -> str:
    parse_uuid_bytes(org_id)
    return org_id
