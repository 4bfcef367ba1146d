"""Between the contract's messages and the use cases' values, where several RPCs need it."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.decimals import PERCENT_PLACES, QUANTITY_PLACES
from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid
from apportion_common.protos import money_to_proto, scaled_to_decimal_proto, timestamp_to_us, us_to_timestamp
from google.protobuf.message import Message

from apportion_ledger import errors
from apportion_ledger.app.ports import Partner, PartnerOfRecord, Scope, StoredLine
from apportion_ledger.domain.attribution import MatchKind, SubjectKind

LINE_KINDS: Final = {
    "usage": pb.LINE_KIND_USAGE,
    "rerate": pb.LINE_KIND_RERATE,
    "base": pb.LINE_KIND_BASE,
    "minimum": pb.LINE_KIND_MINIMUM,
    "adjustment": pb.LINE_KIND_ADJUSTMENT,
    "reversal": pb.LINE_KIND_REVERSAL,
}
SUBJECT_KINDS: Final = {
    pb.SUBJECT_TYPE_ORG: SubjectKind.ORG,
    pb.SUBJECT_TYPE_BILLING_ACCOUNT: SubjectKind.ACCOUNT,
}
SUBJECT_TYPES: Final = {kind: value for value, kind in SUBJECT_KINDS.items()}
MATCH_KINDS: Final = {
    pb.MATCH_KIND_SKU: MatchKind.SKU,
    pb.MATCH_KIND_SKU_TYPE: MatchKind.SKU_TYPE,
    pb.MATCH_KIND_DEFAULT: MatchKind.DEFAULT,
}
SETTLEMENT_KINDS: Final = {
    "real_time": pb.SETTLEMENT_KIND_REAL_TIME,
    "sweep": pb.SETTLEMENT_KIND_SWEEP,
}
SETTLEMENT_STATES: Final = {
    "pending": pb.SETTLEMENT_STATE_PENDING,
    "paid": pb.SETTLEMENT_STATE_PAID,
    "void": pb.SETTLEMENT_STATE_VOID,
}


def id_of(text: str, field: str) -> UUID:
    """The id in a request's field. InvalidArgument ID_MALFORMED."""
    try:
        return parse_uuid(text)
    except ApportionError as error:
        error.field = field
        raise


def optional_id(text: str, field: str) -> UUID | None:
    """As `id_of`; None for an empty field."""
    return id_of(text, field) if text else None


def optional_us(message: Message, field: str) -> int | None:
    """The instant in a field that may be absent, in microseconds since 1970 UTC."""
    return timestamp_to_us(getattr(message, field), field) if message.HasField(field) else None


def place_of(token: str) -> UUID | None:
    """The id that a page token carries. InvalidArgument PAGE_TOKEN_MALFORMED."""
    if not token:
        return None
    try:
        return parse_uuid(token)
    except ApportionError:
        raise errors.page_token_malformed() from None


def text_of(value: UUID | None) -> str:
    """An id as text, empty for none."""
    return "" if value is None else str(value)


def scope_of(scope: pb.DigestScope) -> Scope:
    """The lines that a digest covers."""
    return Scope(
        optional_id(scope.org_id, "scope.org_id"),
        optional_id(scope.billing_account_id, "scope.billing_account_id"),
        scope.period or None,
    )


def partner_message(partner: Partner) -> pb.Partner:
    """A partner as the contract has it."""
    return pb.Partner(partner_id=str(partner.partner_id), name=partner.name, payout_currency=partner.payout_currency)


def por_message(por: PartnerOfRecord) -> pb.PartnerOfRecord:
    """An assignment as the contract has it."""
    return pb.PartnerOfRecord(
        por_id=str(por.por_id),
        subject_type=SUBJECT_TYPES[por.subject_kind],
        subject_id=str(por.subject_id),
        partner_id=str(por.partner_id),
        start_at=us_to_timestamp(por.start_at_us),
        end_at=None if por.end_at_us is None else us_to_timestamp(por.end_at_us),
    )


def line_message(line: StoredLine) -> pb.LedgerLine:
    """A line as the contract has it."""
    currency = line.currency
    return pb.LedgerLine(
        entry_id=str(line.entry_id),
        charge_id=str(line.charge_id),
        event_id=str(line.event_id),
        kind=LINE_KINDS[line.kind],
        org_id=str(line.org_id),
        project_id=text_of(line.project_id),
        billing_account_id=str(line.billing_account_id),
        sku=line.sku,
        quantity=scaled_to_decimal_proto(line.quantity, QUANTITY_PLACES),
        amount_gross=money_to_proto(currency, line.gross),
        partner_id=text_of(line.partner_id),
        partner_pct=scaled_to_decimal_proto(line.pct, PERCENT_PLACES),
        partner_amount=money_to_proto(currency, line.share),
        net=money_to_proto(currency, line.net),
        event_time=us_to_timestamp(line.event_time_us),
        posted_at=us_to_timestamp(line.posted_at_us),
        real_time_paid=money_to_proto(currency, line.real_time_paid) if line.real_time_paid else None,
        lane=line.lane,
        batch_seq=line.batch_seq,
        entry_seq=line.entry_seq,
        partner_from_account=line.partner_from_account,
    )
