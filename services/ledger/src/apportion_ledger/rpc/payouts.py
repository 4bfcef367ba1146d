"""RPCs of sweeps, payouts and statements."""

from __future__ import annotations

from typing import Any, Final

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.decimals import AMOUNT_PLACES
from apportion_common.protos import money_to_proto, scaled_to_decimal_proto, us_to_timestamp

from apportion_ledger.app.ports import Settlement, SweepOutcome
from apportion_ledger.app.settlements import Settlements
from apportion_ledger.app.statements import CurrencyStatement, Statements
from apportion_ledger.app.sweep import Sweeps
from apportion_ledger.rpc.convert import (
    SETTLEMENT_KINDS,
    SETTLEMENT_STATES,
    id_of,
    optional_id,
    partner_message,
    place_of,
    text_of,
)

Context = grpc.aio.ServicerContext[Any, Any]

_KIND_NAMES: Final = {value: name for name, value in SETTLEMENT_KINDS.items()}


class PayoutRpcs(LedgerServiceServicer):
    """Payouts."""

    database: Database
    sweeps: Sweeps
    settlements: Settlements
    statements: Statements

    async def RunSweep(self, request: pb.RunSweepRequest, context: Context) -> pb.RunSweepResponse:
        """Sweep a closed week; again it pays nothing more. FAILED_PRECONDITION WEEK_NOT_CLOSED."""

        async def sweep(tx: Transaction) -> pb.RunSweepResponse:
            outcomes = await self.sweeps.run(tx, request.week)
            return pb.RunSweepResponse(results=[_sweep_message(outcome) for outcome in outcomes])

        return await run_mutation(self.database, "RunSweep", request, pb.RunSweepResponse, sweep)

    async def ListSettlements(self, request: pb.ListSettlementsRequest, context: Context) -> pb.ListSettlementsResponse:
        """A page of payouts by id. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        found, place = await self.settlements.page(
            optional_id(request.partner_id, "partner_id"),
            _KIND_NAMES.get(request.kind),
            request.page_size,
            place_of(request.page_token),
        )
        return pb.ListSettlementsResponse(
            settlements=[_settlement_message(settlement) for settlement in found], next_page_token=text_of(place)
        )

    async def GetPartnerStatement(
        self, request: pb.GetPartnerStatementRequest, context: Context
    ) -> pb.GetPartnerStatementResponse:
        """A partner's statement of a month or of all time. NOT_FOUND PARTNER_NOT_FOUND."""
        statement = await self.statements.of_partner(id_of(request.partner_id, "partner_id"), request.period)
        return pb.GetPartnerStatementResponse(
            partner=partner_message(statement.partner),
            currencies=[_currency_message(currency) for currency in statement.currencies],
        )

    async def GetTrialBalance(self, request: pb.GetTrialBalanceRequest, context: Context) -> pb.GetTrialBalanceResponse:
        """All postings per account and currency."""
        rows, balanced = await self.statements.trial_balance()
        return pb.GetTrialBalanceResponse(
            rows=[
                pb.TrialBalanceRow(
                    account=row.account,
                    currency=row.currency,
                    debit=scaled_to_decimal_proto(row.debit, AMOUNT_PLACES),
                    credit=scaled_to_decimal_proto(row.credit, AMOUNT_PLACES),
                )
                for row in rows
            ],
            balanced=balanced,
        )


def _sweep_message(outcome: SweepOutcome) -> pb.SweepResult:
    return pb.SweepResult(
        partner_id=str(outcome.partner_id),
        currency=outcome.currency,
        balance=money_to_proto(outcome.currency, outcome.balance),
        paid=money_to_proto(outcome.currency, outcome.paid),
        settlement_id=text_of(outcome.settlement_id),
        carried_reason=outcome.carried_reason,
    )


def _settlement_message(settlement: Settlement) -> pb.Settlement:
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


def _currency_message(statement: CurrencyStatement) -> pb.StatementOfCurrency:
    totals = statement.totals
    currency = totals.currency
    return pb.StatementOfCurrency(
        currency=currency,
        opening=money_to_proto(currency, totals.opening),
        earned=money_to_proto(currency, totals.earned),
        clawed_back=money_to_proto(currency, totals.clawed_back),
        paid_real_time=money_to_proto(currency, totals.paid_real_time),
        paid_sweep=money_to_proto(currency, totals.paid_sweep),
        closing=money_to_proto(currency, statement.closing),
        line_count=totals.line_count,
        real_time_count=totals.real_time_count,
        payable=statement.payable,
    )
