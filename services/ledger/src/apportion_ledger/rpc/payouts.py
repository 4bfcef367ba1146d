"""RPCs of sweeps, payouts and statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of, optional_id

from apportion_ledger.app.settlements import Settlements
from apportion_ledger.app.statements import Statements
from apportion_ledger.app.sweeps import Sweeps
from apportion_ledger.domain.sweeps import SweepOutcome
from apportion_ledger.rpc.messages import (
    SETTLEMENT_KIND_NAMES,
    currency_statement_to_message,
    partner_to_message,
    settlement_to_message,
    sweep_to_message,
    trial_row_to_message,
)

Context = grpc.aio.ServicerContext[Any, Any]


class PayoutRpcs(LedgerServiceServicer):
    """Payouts."""

    _sweeps: Sweeps
    _settlements: Settlements
    _statements: Statements

    async def RunSweep(self, request: pb.RunSweepRequest, context: Context) -> pb.RunSweepResponse:
        """Sweep a closed week; again it pays nothing more. FAILED_PRECONDITION WEEK_NOT_CLOSED."""
        return await self._sweeps.run(mutation(request, _swept), request.week)

    async def ListSettlements(self, request: pb.ListSettlementsRequest, context: Context) -> pb.ListSettlementsResponse:
        """Return a page of payouts by id. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        found, next_token = await self._settlements.page(
            optional_id(request.partner_id, "partner_id"),
            SETTLEMENT_KIND_NAMES.get(request.kind),
            request.page_size,
            request.page_token,
        )
        return pb.ListSettlementsResponse(
            settlements=[settlement_to_message(settlement) for settlement in found], next_page_token=next_token
        )

    async def GetPartnerStatement(
        self, request: pb.GetPartnerStatementRequest, context: Context
    ) -> pb.GetPartnerStatementResponse:
        """Return a partner's statement of a month or of all time. NOT_FOUND PARTNER_NOT_FOUND."""
        statement = await self._statements.of_partner(id_of(request.partner_id, "partner_id"), request.period)
        return pb.GetPartnerStatementResponse(
            partner=partner_to_message(statement.partner),
            currencies=[currency_statement_to_message(currency) for currency in statement.currencies],
        )

    async def GetTrialBalance(self, request: pb.GetTrialBalanceRequest, context: Context) -> pb.GetTrialBalanceResponse:
        """Return all postings per account and currency."""
        rows, balanced = await self._statements.trial_balance()
        return pb.GetTrialBalanceResponse(rows=[trial_row_to_message(row) for row in rows], balanced=balanced)


def _swept(outcomes: Sequence[SweepOutcome]) -> pb.RunSweepResponse:
    return pb.RunSweepResponse(results=[sweep_to_message(outcome) for outcome in outcomes])
