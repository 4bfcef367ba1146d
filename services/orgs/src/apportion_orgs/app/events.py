"""What events carry of organisations, mappings and invoices; audit rows and answers say the same of them."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES
from apportion_common.fields import text_of
from apportion_common.protos import money_to_proto, scaled_to_decimal_proto, us_to_timestamp

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.invoices import InvoiceHead
from apportion_orgs.domain.mappings import BillingMapping
from apportion_orgs.domain.organizations import Org

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


def org_created(org: Org, owner_user_id: UUID | None, owner_email: str) -> pb.OrgCreated:
    """Return the event of a new organisation, with who is to be its first Owner."""
    return pb.OrgCreated(org=org_to_message(org), owner_user_id=text_of(owner_user_id), owner_email=owner_email)


def org_to_message(org: Org) -> pb.Org:
    """Return an organisation."""
    return pb.Org(
        org_id=str(org.org_id),
        legal_name=org.legal_name,
        slug=org.slug,
        billing_email=org.billing_email,
        parent_org_id=text_of(org.parent_org_id),
        visibility=VISIBILITIES[org.visibility],
        default_timezone=org.default_timezone,
        tax_id=org.tax_id,
    )


def mapping_to_message(mapping: BillingMapping) -> pb.BillingMapping:
    """Return a mapping, the event of a new one too; a percent only of a split."""
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


def invoice_head_to_message(head: InvoiceHead) -> pb.Invoice:
    """Return an invoice without what is on it, the event of a final one too.

    An invoice may have more lines than an event may hold: GetInvoice returns them.
    """
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
