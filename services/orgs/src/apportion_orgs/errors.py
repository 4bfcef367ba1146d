"""Every error that orgs raises, with its stable reason."""

from __future__ import annotations

from apportion_common.decimals import AMOUNT_PLACES
from apportion_common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unavailable,
)

from apportion_orgs.limits import INVOICE_AMOUNT_MAX, INVOICE_LINES_MAX, TREE_LEVELS_MAX, TREE_ORGS_MAX


def org_not_found(field: str = "org_id") -> NotFound:
    """Return the error for an id, in that field, that no organisation has."""
    return NotFound("ORG_NOT_FOUND", "There is no such organisation.", field=field)


def org_exists() -> AlreadyExists:
    """Return the error for a chosen id that belongs to an organisation of other content."""
    return AlreadyExists("ORG_EXISTS", "An organisation of other content has this id.", field="org_id")


def org_slug_taken() -> AlreadyExists:
    """Return the error for a slug that belongs to another organisation."""
    return AlreadyExists("ORG_SLUG_TAKEN", "Another organisation has this slug.", field="slug")


def timezone_unknown() -> InvalidArgument:
    """Return the error for a time zone that is no IANA name."""
    return InvalidArgument(
        "TIMEZONE_UNKNOWN", "The time zone is not a name of the IANA database.", field="default_timezone"
    )


def hierarchy_cycle() -> FailedPrecondition:
    """Return the error for an organisation that would be its own ancestor."""
    return FailedPrecondition(
        "HIERARCHY_CYCLE", "An organisation is not put under itself or one of its descendants.", field="child_org_id"
    )


def not_a_root() -> FailedPrecondition:
    """Return the error for a child that has a parent already."""
    return FailedPrecondition(
        "NOT_A_ROOT", "The organisation has a parent already; only a root is added as a child.", field="child_org_id"
    )


def depth_exceeded() -> FailedPrecondition:
    """Return the error for a tree that would be too deep."""
    return FailedPrecondition("DEPTH_EXCEEDED", f"The tree would be more than {TREE_LEVELS_MAX} levels deep.")


def hierarchy_busy() -> Unavailable:
    """Return the error for trees that changed under the writer again and again."""
    return Unavailable("HIERARCHY_BUSY", "The tree is being moved; send the same call again.", retry_after_s=1)


def tree_too_large() -> FailedPrecondition:
    """Return the error for a tree of more organisations than one answer may have."""
    return FailedPrecondition(
        "TREE_TOO_LARGE", f"The tree has more than {TREE_ORGS_MAX} organisations; list its descendants by pages."
    )


def billing_account_not_found() -> NotFound:
    """Return the error for an id that no billing account has."""
    return NotFound("BILLING_ACCOUNT_NOT_FOUND", "There is no such billing account.", field="billing_account_id")


def billing_account_exists() -> AlreadyExists:
    """Return the error for a chosen id that belongs to an account of other content."""
    return AlreadyExists(
        "BILLING_ACCOUNT_EXISTS", "A billing account of other content has this id.", field="billing_account_id"
    )


def mapping_exists() -> AlreadyExists:
    """Return the error for a mapping from an instant from which the organisation has one."""
    return AlreadyExists(
        "MAPPING_EXISTS", "The organisation has a mapping from this instant already.", field="effective_at"
    )


def allocation_not_period_start() -> FailedPrecondition:
    """Return the error for a mapping that changes an account's allocation in the middle of a period."""
    return FailedPrecondition(
        "ALLOCATION_NOT_PERIOD_START",
        "Within one billing account the allocation of an org changes only at the start of a period.",
        field="effective_at",
    )


def percent_unexpected(allocation: str) -> InvalidArgument:
    """Return the error for a percent of an allocation that has none."""
    return InvalidArgument("ALLOCATION_PERCENT_UNEXPECTED", f"The allocation {allocation} has no percent.")


def percent_missing() -> InvalidArgument:
    """Return the error for a split without a percent."""
    return InvalidArgument("ALLOCATION_PERCENT_MISSING", "A split names the owner's percent.")


def percent_out_of_range() -> OutOfRange:
    """Return the error for a percent that is none of a whole."""
    return OutOfRange("PERCENT_OUT_OF_RANGE", "A percentage lies between 0 and 100.")


def revision_unknown(newest: int) -> OutOfRange:
    """Return the error for a revision that has not been written yet."""
    return OutOfRange(
        "REVISION_UNKNOWN", "There is no such revision yet.", field="as_of_revision", newest_revision=str(newest)
    )


def invoice_not_found() -> NotFound:
    """Return the error for an id that no invoice has."""
    return NotFound("INVOICE_NOT_FOUND", "There is no such invoice.", field="invoice_id")


def invoice_not_draft(state: str) -> FailedPrecondition:
    """Return the error for an invoice that has its number already."""
    return FailedPrecondition("INVOICE_NOT_DRAFT", f"The invoice is {state}; only a draft is finalised.", state=state)


def period_open(period: str) -> FailedPrecondition:
    """Return the error for a period of which lines may still come."""
    return FailedPrecondition("PERIOD_OPEN", f"The period {period} is open for orgs of the account; close it first.")


def period_invoiced(period: str, last: str) -> FailedPrecondition:
    """Return the error for a period that is invoiced, as is a later one, which its later lines go on."""
    return FailedPrecondition(
        "PERIOD_INVOICED",
        f"The period {period} is invoiced, and the account up to {last}; lines that came later go on the invoice of"
        " that period or the next.",
        field="period",
        invoiced_period=last,
    )


def period_reopening(period: str) -> FailedPrecondition:
    """Return the error for a period whose reopening the ledger does not have yet."""
    return FailedPrecondition(
        "PERIOD_OPEN",
        f"The period {period} was reopened for orgs of the account, which has not reached the ledger yet. Where it"
        " never does, reopen it again; then close it.",
    )


def period_final(period: str, number: str) -> FailedPrecondition:
    """Return the error of reopening a period of which an invoice, by its number, is final."""
    return FailedPrecondition(
        "PERIOD_FINAL",
        f"The invoice {number} of {period} is final. Usage that comes late is requeued into an open period.",
        period=period,
        number=number,
    )


def nothing_to_invoice(period: str) -> FailedPrecondition:
    """Return the error for a period with no line, or of which no line has come since it was invoiced."""
    return FailedPrecondition(
        "NOTHING_TO_INVOICE", f"The account has no line for an invoice of {period} that is on none yet."
    )


def earlier_period_open_lines(period: str, earlier: str) -> FailedPrecondition:
    """Return the error for a period before which an earlier one with lines has to be invoiced."""
    return FailedPrecondition(
        "EARLIER_PERIOD_OPEN_LINES",
        f"The account has lines of {earlier} that are on no final invoice: finalise that of {earlier} before {period}.",
        field="period",
        earlier_period=earlier,
    )


def currency_mismatch(currency: str) -> FailedPrecondition:
    """Return the error for lines in another currency than their account's."""
    return FailedPrecondition("CURRENCY_MISMATCH", f"The account is in {currency}; some of its lines are not.")


def mapping_missing() -> FailedPrecondition:
    """Return the error for lines under a mapping that does not put their org on the account."""
    return FailedPrecondition(
        "MAPPING_MISSING", "The ledger has lines under a mapping that does not put their org on the account."
    )


def invoice_too_large() -> FailedPrecondition:
    """Return the error for an invoice of more subtotals than one may have."""
    return FailedPrecondition("INVOICE_TOO_LARGE", f"The invoice would have more than {INVOICE_LINES_MAX} lines.")


def invoice_amount_out_of_range(currency: str) -> OutOfRange:
    """Return the error for an invoice with an amount that no Money holds."""
    units = INVOICE_AMOUNT_MAX // 10**AMOUNT_PLACES
    return OutOfRange(
        "AMOUNT_OUT_OF_RANGE",
        f"An amount of the invoice is beyond {units:,} {currency}: bill its organisations through several accounts.",
    )


def invoice_busy() -> Unavailable:
    """Return the error for an account whose invoices or mappings changed meanwhile, again and again."""
    return Unavailable(
        "INVOICE_BUSY", "Other invoices of the account are being written; send the same call again.", retry_after_s=1
    )


def ledger_answer_unusable(what: str) -> Unavailable:
    """Return the error for an answer of the ledger that its contract does not allow."""
    return Unavailable("LEDGER_ANSWER_UNUSABLE", f"The ledger's answer cannot be used: {what}.")
