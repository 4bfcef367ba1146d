"""Between the contract's messages and the use cases' values."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES, QUANTITY_PLACES
from apportion_common.fields import id_of, optional_id, optional_us, text_of
from apportion_common.periods import parse_period, period_of
from apportion_common.protos import (
    money_from_proto,
    money_sum_to_proto,
    money_to_proto,
    scaled_to_decimal_proto,
    timestamp_to_us,
    to_scaled,
    us_to_timestamp,
)

from apportion_ledger.app.digests import Difference, DifferenceKind, LedgerDigest
from apportion_ledger.app.statements import CurrencyStatement
from apportion_ledger.domain.attribution import MatchKind, PorSubject
from apportion_ledger.domain.charges import Charge, ChargeGroup
from apportion_ledger.domain.invariants import InvariantOutcome
from apportion_ledger.domain.kinds import USAGE
from apportion_ledger.domain.lines import DigestScope, GrossSum, HeldLines, LineQuery, LineSum, StoredLine, SummaryQuery
from apportion_ledger.domain.partners import Partner, PartnerOfRecord
from apportion_ledger.domain.settlements import Settlement
from apportion_ledger.domain.statements import TrialRow
from apportion_ledger.domain.sweeps import SweepOutcome

LINE_KINDS: Final = {
    "usage": pb.LINE_KIND_USAGE,
    "rerate": pb.LINE_KIND_RERATE,
    "base": pb.LINE_KIND_BASE,
    "minimum": pb.LINE_KIND_MINIMUM,
    "adjustment": pb.LINE_KIND_ADJUSTMENT,
    "reversal": pb.LINE_KIND_REVERSAL,
}
SUBJECT_KINDS: Final = {
    pb.SUBJECT_TYPE_ORG: PorSubject.ORG,
    pb.SUBJECT_TYPE_BILLING_ACCOUNT: PorSubject.ACCOUNT,
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
SETTLEMENT_KIND_NAMES: Final = {value: name for name, value in SETTLEMENT_KINDS.items()}
SETTLEMENT_STATES: Final = {
    "pending": pb.SETTLEMENT_STATE_PENDING,
    "paid": pb.SETTLEMENT_STATE_PAID,
    "void": pb.SETTLEMENT_STATE_VOID,
}
DIFFERENCE_KINDS: Final = {
    DifferenceKind.MISSING: pb.DIFFERENCE_KIND_MISSING,
    DifferenceKind.EXTRA: pb.DIFFERENCE_KIND_EXTRA,
    DifferenceKind.DIFFERENT: pb.DIFFERENCE_KIND_DIFFERENT,
}


def line_query_from_message(wanted: pb.LineFilter) -> LineQuery:
    """Return which lines a filter selects."""
    return LineQuery(
        optional_id(wanted.org_id, "filter.org_id"),
        optional_id(wanted.project_id, "filter.project_id"),
        wanted.sku or None,
        optional_id(wanted.partner_id, "filter.partner_id"),
        optional_id(wanted.billing_account_id, "filter.billing_account_id"),
        optional_id(wanted.event_id, "filter.event_id"),
        optional_us(wanted, "from"),
        optional_us(wanted, "until"),
    )


def charge_from_message(charge: pb.ChargeToAppend, field: str) -> Charge:
    """Return the charge in a request's field. OutOfRange TIME_OUT_OF_RANGE beside the reasons of its parts."""
    currency, gross = money_from_proto(charge.amount, f"{field}.amount")
    event_time_us = timestamp_to_us(charge.event_time, f"{field}.event_time")
    project_id = optional_id(charge.project_id, f"{field}.project_id")
    charge_id = id_of(charge.charge_id, f"{field}.charge_id").bytes
    event_id = id_of(charge.event_id, f"{field}.event_id").bytes
    group = ChargeGroup(
        USAGE,
        id_of(charge.org_id, f"{field}.org_id").bytes,
        b"" if project_id is None else project_id.bytes,
        id_of(charge.billing_account_id, f"{field}.billing_account_id").bytes,
        id_of(charge.mapping_id, f"{field}.mapping_id").bytes,
        charge.sku,
        charge.sku_type,
        currency,
        period_of(event_time_us).key,
    )
    quantity = to_scaled(charge.quantity, QUANTITY_PLACES, f"{field}.quantity")
    return Charge(charge_id, event_id, event_id, group, quantity, gross, event_time_us, None)


def summary_query_from_message(request: pb.SummarizeLinesRequest) -> SummaryQuery:
    """Return which of an account's lines a request sums."""
    return SummaryQuery(
        id_of(request.billing_account_id, "billing_account_id"),
        request.watermark,
        parse_period(request.period),
        tuple(HeldLines(held.through_period, held.watermark) for held in request.held),
    )


def scope_from_message(scope: pb.DigestScope) -> DigestScope:
    """Return the lines that a digest covers."""
    return DigestScope(
        optional_id(scope.org_id, "scope.org_id"),
        optional_id(scope.billing_account_id, "scope.billing_account_id"),
        scope.period or None,
    )


def partner_to_message(partner: Partner) -> pb.Partner:
    """Return a partner as the contract has it."""
    return pb.Partner(partner_id=str(partner.partner_id), name=partner.name, payout_currency=partner.payout_currency)


def partner_of_record_to_message(por: PartnerOfRecord) -> pb.PartnerOfRecord:
    """Return an assignment as the contract has it."""
    return pb.PartnerOfRecord(
        por_id=str(por.por_id),
        subject_type=SUBJECT_TYPES[por.subject_kind],
        subject_id=str(por.subject_id),
        partner_id=str(por.partner_id),
        start_at=us_to_timestamp(por.start_at_us),
        end_at=None if por.end_at_us is None else us_to_timestamp(por.end_at_us),
    )


def line_to_message(line: StoredLine) -> pb.LedgerLine:
    """Return a line as the contract has it."""
    currency = line.currency
    return pb.LedgerLine(
        entry_id=str(line.entry_id),
        charge_id=str(line.charge_id),
        event_id=text_of(line.event_id),
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
        period=line.period,
        billed_period=line.billed_period,
        late=bool(line.billed_period),
    )


def line_sum_to_message(line_sum: LineSum) -> pb.LineSum:
    """Return a sum of lines as the contract has it."""
    return pb.LineSum(
        org_id=str(line_sum.org_id),
        project_id=text_of(line_sum.project_id),
        sku=line_sum.sku,
        kind=LINE_KINDS[line_sum.kind],
        currency=line_sum.currency,
        partner_id=text_of(line_sum.partner_id),
        partner_from_account=line_sum.partner_from_account,
        line_count=line_sum.line_count,
        quantity=scaled_to_decimal_proto(line_sum.quantity, QUANTITY_PLACES),
        gross=scaled_to_decimal_proto(line_sum.gross, AMOUNT_PLACES),
        partner_amount=scaled_to_decimal_proto(line_sum.share, AMOUNT_PLACES),
        mapping_id=str(line_sum.mapping_id),
        period=line_sum.period,
        billed_period=line_sum.billed_period or "",
    )


def digest_to_message(digest: LedgerDigest) -> pb.GetDigestResponse:
    """Return a scope's digests as the contract has them."""
    return pb.GetDigestResponse(
        digest=digest.digest.hex(),
        line_count=digest.line_count,
        coarse_digest=digest.coarse_digest.hex(),
        gross=[_gross_sum_to_message(row) for row in digest.gross],
    )


def _gross_sum_to_message(row: GrossSum) -> pb.GrossOfKey:
    return pb.GrossOfKey(
        org_id=str(row.org_id),
        sku=row.sku,
        period=row.period,
        currency=row.currency,
        line_count=row.line_count,
        quantity=scaled_to_decimal_proto(row.quantity, QUANTITY_PLACES),
        gross=scaled_to_decimal_proto(row.gross, AMOUNT_PLACES),
    )


def difference_to_message(difference: Difference) -> pb.LineDifference:
    """Return a differing line as the contract has it."""
    return pb.LineDifference(
        charge_id=str(UUID(bytes=difference.charge_id)),
        kind=DIFFERENCE_KINDS[difference.kind],
        line=None if difference.line is None else line_to_message(difference.line),
    )


def invariant_to_message(outcome: InvariantOutcome) -> pb.InvariantResult:
    """Return the outcome of an invariant as the contract has it."""
    return pb.InvariantResult(
        name=outcome.name,
        holds=outcome.violation_count == 0,
        violation_count=outcome.violation_count,
        examples=outcome.examples,
    )


def sweep_to_message(outcome: SweepOutcome) -> pb.SweepResult:
    """Return what a sweep did for a partner and currency as the contract has it."""
    return pb.SweepResult(
        partner_id=str(outcome.partner_id),
        currency=outcome.currency,
        balance=money_sum_to_proto(outcome.currency, outcome.balance),
        paid=money_to_proto(outcome.currency, outcome.paid),
        settlement_id=text_of(outcome.settlement_id),
        carried_reason=outcome.carried_reason,
        exact_balance=scaled_to_decimal_proto(outcome.balance, AMOUNT_PLACES),
    )


def settlement_to_message(settlement: Settlement) -> pb.Settlement:
    """Return a payout as the contract has it."""
    return pb.Settlement(
        settlement_id=str(settlement.settlement_id),
        partner_id=str(settlement.partner_id),
        kind=SETTLEMENT_KINDS[settlement.kind],
        amount=money_to_proto(settlement.currency, settlement.amount),
        week=settlement.week or "",
        state=SETTLEMENT_STATES[settlement.state],
        created_at=us_to_timestamp(settlement.created_at_us),
        entry_id=text_of(settlement.entry_id),
    )


def currency_statement_to_message(statement: CurrencyStatement) -> pb.StatementOfCurrency:
    """Return a statement's currency as the contract has it."""
    totals = statement.totals
    currency = totals.currency
    return pb.StatementOfCurrency(
        currency=currency,
        opening=money_sum_to_proto(currency, totals.opening),
        earned=money_sum_to_proto(currency, totals.earned),
        clawed_back=money_sum_to_proto(currency, totals.clawed_back),
        paid_real_time=money_sum_to_proto(currency, totals.paid_real_time),
        paid_sweep=money_sum_to_proto(currency, totals.paid_sweep),
        closing=money_sum_to_proto(currency, statement.closing),
        line_count=totals.line_count,
        real_time_count=totals.real_time_count,
        payable=statement.payable,
        exact=pb.StatementSums(
            opening=scaled_to_decimal_proto(totals.opening, AMOUNT_PLACES),
            earned=scaled_to_decimal_proto(totals.earned, AMOUNT_PLACES),
            clawed_back=scaled_to_decimal_proto(totals.clawed_back, AMOUNT_PLACES),
            paid_real_time=scaled_to_decimal_proto(totals.paid_real_time, AMOUNT_PLACES),
            paid_sweep=scaled_to_decimal_proto(totals.paid_sweep, AMOUNT_PLACES),
            closing=scaled_to_decimal_proto(statement.closing, AMOUNT_PLACES),
        ),
    )


def trial_row_to_message(row: TrialRow) -> pb.TrialBalanceRow:
    """Return a row of the trial balance as the contract has it."""
    return pb.TrialBalanceRow(
        account=row.account,
        currency=row.currency,
        debit=scaled_to_decimal_proto(row.debit, AMOUNT_PLACES),
        credit=scaled_to_decimal_proto(row.credit, AMOUNT_PLACES),
    )
