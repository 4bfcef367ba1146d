"""LedgerService: proto in, use case, proto out. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.db.unit_of_work import Database

from apportion_ledger.app.append_charges import AppendCharges
from apportion_ledger.app.check import LedgerCheck
from apportion_ledger.app.digest import Digests
from apportion_ledger.app.lines import Lines
from apportion_ledger.app.partners import Partners
from apportion_ledger.app.partners_of_record import PartnersOfRecord
from apportion_ledger.app.ports import AuditTrail
from apportion_ledger.app.rates import Rates
from apportion_ledger.app.settlements import Settlements
from apportion_ledger.app.statements import Statements
from apportion_ledger.app.sweep import Sweeps
from apportion_ledger.app.watermarks import Watermarks
from apportion_ledger.rpc.digests import DigestRpcs
from apportion_ledger.rpc.lines import LineRpcs
from apportion_ledger.rpc.payouts import PayoutRpcs
from apportion_ledger.rpc.terms import TermsRpcs

Context = grpc.aio.ServicerContext[Any, Any]


class LedgerServicer(TermsRpcs, LineRpcs, PayoutRpcs, DigestRpcs):
    """The RPCs of the ledger that are built."""

    def __init__(
        self,
        *,
        database: Database,
        partners: Partners,
        rates: Rates,
        partners_of_record: PartnersOfRecord,
        lines: Lines,
        append_charges: AppendCharges,
        watermarks: Watermarks,
        sweeps: Sweeps,
        settlements: Settlements,
        statements: Statements,
        digests: Digests,
        check: LedgerCheck,
        audit: AuditTrail,
    ) -> None:
        """Answer by these use cases."""
        self.database = database
        self.partners = partners
        self.rates = rates
        self.partners_of_record = partners_of_record
        self.lines = lines
        self.append_charges = append_charges
        self.watermarks = watermarks
        self.sweeps = sweeps
        self.settlements = settlements
        self.statements = statements
        self.digests = digests
        self.check = check
        self.audit = audit

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        """A page of audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self.audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
