"""The rejections of the ledger, each with its reason in one place."""

from __future__ import annotations

from uuid import UUID

from apportion_common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)


def partner_exists(partner_id: UUID) -> AlreadyExists:
    """Reject an id for a new partner that is taken."""
    return AlreadyExists("PARTNER_EXISTS", f"There is a partner {partner_id} already.", field="partner_id")


def partner_not_found(partner_id: UUID) -> NotFound:
    """Reject an id that no partner has."""
    return NotFound("PARTNER_NOT_FOUND", f"There is no partner {partner_id}.", field="partner_id")


def por_not_found(por_id: UUID) -> NotFound:
    """Reject an id that no assignment has."""
    return NotFound("PARTNER_OF_RECORD_NOT_FOUND", f"There is no partner of record {por_id}.", field="por_id")


def por_overlap() -> FailedPrecondition:
    """Reject an assignment that shares an instant with another one of its subject (spec 02, partner_of_record)."""
    return FailedPrecondition(
        "PARTNER_OF_RECORD_OVERLAP", "The subject has another partner of record within this interval.", field="start_at"
    )


def por_ended() -> FailedPrecondition:
    """Reject a second end of an assignment: an end is not moved."""
    return FailedPrecondition("PARTNER_OF_RECORD_ENDED", "This assignment has an end already.", field="por_id")


def interval_empty() -> InvalidArgument:
    """Reject an interval that holds no instant."""
    return InvalidArgument("INTERVAL_EMPTY", "The end of the interval lies after its start.", field="end_at")


def subject_missing() -> InvalidArgument:
    """Reject a query that names no subject."""
    return InvalidArgument("SUBJECT_MISSING", "Name an organisation, a billing account or both.")


def match_value_wrong(why: str) -> InvalidArgument:
    """Reject a rate with a value that nothing can match."""
    return InvalidArgument(
        "MATCH_VALUE_WRONG",
        f"A rate of a SKU or SKU type names it; the default names none: {why}.",
        field="match_value",
    )


def pct_out_of_range() -> InvalidArgument:
    """Reject a percentage below 0 or above 100."""
    return InvalidArgument("PCT_OUT_OF_RANGE", "A rate lies between 0 and 100 percent.", field="pct")


def week_not_closed(week: str) -> FailedPrecondition:
    """Reject a week that is not over by the database's clock."""
    return FailedPrecondition("WEEK_NOT_CLOSED", f"The week {week} is not over yet.", field="week")


def watermark_busy() -> Unavailable:
    """Reject a call for which transactions in progress did not end in time."""
    return Unavailable("WATERMARK_BUSY", "Transactions in progress did not end in time; try again.", retry_after_s=1)


def charges_contended() -> Unavailable:
    """Reject charges that other transactions kept writing."""
    return Unavailable("CHARGES_CONTENDED", "The same charges are being written elsewhere; try again.", retry_after_s=1)


def too_many_lines(limit: int) -> ResourceExhausted:
    """Reject a report over more than it can hold."""
    return ResourceExhausted("TOO_MANY_LINES", f"One answer covers at most {limit} rows; narrow the scope.")


def scope_missing() -> InvalidArgument:
    """Reject a comparison whose first message does not name the scope."""
    return InvalidArgument("SCOPE_MISSING", "The first message of the stream names the scope.", field="scope")
