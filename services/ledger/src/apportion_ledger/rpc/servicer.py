"""LedgerService, joined of its subjects. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from apportion_common.clock import Clock
from apportion_common.db.audit_query import AuditTrail

from apportion_ledger.app.charges import Charges
from apportion_ledger.app.digests import Digests
from apportion_ledger.app.invariants import Invariants
from apportion_ledger.app.lines import Lines
from apportion_ledger.app.partners import Partners
from apportion_ledger.app.partners_of_record import PartnersOfRecord
from apportion_ledger.app.rates import Rates
from apportion_ledger.app.settlements import Settlements
from apportion_ledger.app.statements import Statements
from apportion_ledger.app.sweeps import Sweeps
from apportion_ledger.app.term_lists import TermLists
from apportion_ledger.app.watermarks import Watermarks
from apportion_ledger.rpc.audit import AuditRpcs
from apportion_ledger.rpc.digests import DigestRpcs
from apportion_ledger.rpc.lines import LineRpcs
from apportion_ledger.rpc.payouts import PayoutRpcs
from apportion_ledger.rpc.term_lists import TermListRpcs
from apportion_ledger.rpc.terms import TermsRpcs


class LedgerServicer(TermsRpcs, TermListRpcs, LineRpcs, PayoutRpcs, DigestRpcs, AuditRpcs):
    """The RPCs of the ledger that are built."""

    def __init__(
        self,
        *,
        clock: Clock,
        term_lists: TermLists,
        partners: Partners,
        rates: Rates,
        partners_of_record: PartnersOfRecord,
        lines: Lines,
        charges: Charges,
        watermarks: Watermarks,
        sweeps: Sweeps,
        settlements: Settlements,
        statements: Statements,
        digests: Digests,
        invariants: Invariants,
        audit: AuditTrail,
    ) -> None:
        """Answer by these use cases."""
        self._clock = clock
        self._term_lists = term_lists
        self._partners = partners
        self._rates = rates
        self._partners_of_record = partners_of_record
        self._lines = lines
        self._charges = charges
        self._watermarks = watermarks
        self._sweeps = sweeps
        self._settlements = settlements
        self._statements = statements
        self._digests = digests
        self._invariants = invariants
        self._audit = audit
