"""The service's resources as messages: what RPCs answer and what facts carry."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES, QUANTITY_PLACES
from apportion_common.protos import money_to_proto, scaled_to_decimal_proto, us_to_timestamp

from apportion_orgs.app.ports import (
    AccountRecord,
    InvoiceDocument,
    InvoiceHead,
    InvoiceLine,
    InvoicePart,
    InvoiceRecord,
    MappingRecord,
    OrgAt,
    OrgRecord,
    ResolvedAccount,
)
from apportion_orgs.domain.allocation import Allocation

VISIBILITIES: Final = {
    "private": pb.VISIBILITY_PRIVATE,
    "partners": pb.VISIBILITY_PARTNERS,
    "public": pb.VISIBILITY_PUBLIC,
}
ALLOCATIONS: Final = {
    Allocation.ABSORB: pb.ALLOCATION_ABSORB,
    Allocation.CHARGEBACK: pb.ALLOCATION_CHARGEBACK,
    Allocation.SPLIT: pb.ALLOCATION_SPLIT,
}
INVOICE_STATES: Final = {
    "draft": pb.INVOICE_STATE_DRAFT,
    "final": pb.INVOICE_STATE_FINAL,
    "paid": pb.INVOICE_STATE_PAID,
    "void": pb.INVOICE_STATE_VOID,
}
LINE_KINDS: Final = {
    "usage": pb.LINE_KIND_NAME_USAGE,
    "rerate": pb.LINE_KIND_NAME_RERATE,
    "base": pb.LINE_KIND_NAME_BASE,
    "minimum": pb.LINE_KIND_NAME_MINIMUM,
    "adjustment": pb.LINE_KIND_NAME_ADJUSTMENT,
    "reversal": pb.LINE_KIND_NAME_REVERSAL,
}


def org_message(org: OrgRecord) -> pb.Org:
    """An organisation."""
    return pb.Org(
        org_id=str(org.org_id),
        legal_name=org.legal_name,
        slug=org.slug,
        billing_email=org.billing_email,
        parent_org_id=_text(org.parent_org_id),
        visibility=VISIBILITIES[org.visibility],
        default_timezone=org.default_timezone,
        tax_id=org.tax_id,
    )


def org_created_message(org: OrgRecord, owner_user_id: UUID | None, owner_email: str) -> pb.OrgCreated:
    """The announcement of a new organisation, with who is to be its first Owner."""
    owner = "" if owner_user_id is None else str(owner_user_id)
    return pb.OrgCreated(org=org_message(org), owner_user_id=owner, owner_email=owner_email)


def org_at_message(found: OrgAt) -> pb.OrgAtDepth:
    """An organisation and its distance."""
    return pb.OrgAtDepth(org=org_message(found.org), depth=found.depth)


def account_message(account: AccountRecord) -> pb.BillingAccount:
    """A billing account."""
    return pb.BillingAccount(
        billing_account_id=str(account.account_id),
        owner_org_id=str(account.owner_org_id),
        name=account.name,
        currency=account.currency,
    )


def mapping_message(mapping: MappingRecord) -> pb.BillingMapping:
    """A mapping; a percent only of a split."""
    message = pb.BillingMapping(
        mapping_id=str(mapping.mapping_id),
        org_id=str(mapping.org_id),
        billing_account_id=str(mapping.account_id),
        allocation=ALLOCATIONS[mapping.allocation],
        effective_at=us_to_timestamp(mapping.effective_at_us),
    )
    if mapping.percent is not None:
        message.percent.CopyFrom(scaled_to_decimal_proto(mapping.percent, PERCENT_PLACES))
    return message


def resolved_message(org_id: str, found: ResolvedAccount) -> pb.ResolvedBillingAccount:
    """The answer for one item of ResolveBillingAccounts."""
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


def invoice_head_message(head: InvoiceHead) -> pb.Invoice:
    """An invoice without what is on it."""
    message = pb.Invoice(
        invoice_id=str(head.invoice_id),
        billing_account_id=str(head.account_id),
        period=head.period,
        state=INVOICE_STATES[head.state],
        number=head.number,
        currency=head.currency,
        ledger_total=scaled_to_decimal_proto(head.ledger_total, AMOUNT_PLACES),
        total=money_to_proto(head.currency, head.total),
        rounding_difference=scaled_to_decimal_proto(head.rounding_difference, AMOUNT_PLACES),
        watermark=head.watermark,
    )
    message.created_at.FromDatetime(head.created_at)
    if head.finalized_at is not None:
        message.finalized_at.FromDatetime(head.finalized_at)
    return message


def invoice_message(invoice: InvoiceRecord) -> pb.Invoice:
    """An invoice with its parts, documents and lines."""
    message = invoice_head_message(invoice.head)
    currency = invoice.head.currency
    message.parts.extend(_part_message(part, currency) for part in invoice.parts)
    message.documents.extend(_document_message(document, currency) for document in invoice.documents)
    message.lines.extend(_line_message(line, currency) for line in invoice.lines)
    return message


def _part_message(part: InvoicePart, currency: str) -> pb.InvoiceOrgPart:
    message = pb.InvoiceOrgPart(
        org_id=str(part.org_id),
        ledger_total=scaled_to_decimal_proto(part.ledger_total, AMOUNT_PLACES),
        part=money_to_proto(currency, part.part),
        allocation=ALLOCATIONS[part.allocation],
        owner_pays=money_to_proto(currency, part.owner_pays),
        org_pays=money_to_proto(currency, part.org_pays),
    )
    if part.percent is not None:
        message.percent.CopyFrom(scaled_to_decimal_proto(part.percent, PERCENT_PLACES))
    return message


def _document_message(document: InvoiceDocument, currency: str) -> pb.InvoiceDocument:
    return pb.InvoiceDocument(
        document_id=str(document.document_id),
        org_id=str(document.org_id),
        payable=document.payable,
        total=money_to_proto(currency, document.total),
        number=document.number,
    )


def _line_message(line: InvoiceLine, currency: str) -> pb.InvoiceLine:
    return pb.InvoiceLine(
        org_id=str(line.org_id),
        sku=line.sku,
        project_id=_text(line.project_id),
        kind=LINE_KINDS[line.kind],
        quantity=scaled_to_decimal_proto(line.quantity, QUANTITY_PLACES),
        gross=scaled_to_decimal_proto(line.gross, AMOUNT_PLACES),
        partner_id=_text(line.partner_id),
        partner_amount=scaled_to_decimal_proto(line.partner_amount, AMOUNT_PLACES),
        partner_from_account=line.partner_from_account,
        line_count=line.line_count,
        amount=money_to_proto(currency, line.amount),
    )


def _text(value: UUID | None) -> str:
    return "" if value is None else str(value)
