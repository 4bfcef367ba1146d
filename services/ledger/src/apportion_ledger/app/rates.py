"""Commission rates of tiers."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from apportion_common.db.head import next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.decimals import PERCENT_PLACES, format_scaled
from apportion_common.ids import uuid7
from google.protobuf.message import Message

from apportion_ledger import errors
from apportion_ledger.domain.attribution import MatchKind, match_fault
from apportion_ledger.domain.split import FULL_PCT
from apportion_ledger.store.terms import TermsStore

Answer = TypeVar("Answer", bound=Message)


class RateSet(NamedTuple):
    """What comes of setting a rate: the revision, and the tier where no partner has it at any time."""

    revision: int
    tier_without_partner: str


class Rates:
    """Adds rates."""

    def __init__(self, database: Database, terms: TermsStore) -> None:
        self._database = database
        self._terms = terms

    async def set(
        self,
        mutation: Mutation[RateSet, Answer],
        tier: str,
        kind: MatchKind,
        value: str,
        pct: int,
        effective_at_us: int,
    ) -> Answer:
        """Add the rate (`pct` scaled by 4 places) that a tier has from an instant on; the result is the revision and
        the tier where no partner has it.

        Raises InvalidArgument PCT_OUT_OF_RANGE, MATCH_VALUE_WRONG.
        """

        async def work(tx: Transaction) -> RateSet:
            if not 0 <= pct <= FULL_PCT:
                raise errors.pct_out_of_range()
            if fault := match_fault(kind, value):
                raise errors.match_value_wrong(fault)
            revision = await next_revision(tx)
            rate_id = uuid7(tx.clock.now_us() * 1_000)
            await self._terms.add_rate(tx, rate_id, tier, kind, value, pct, effective_at_us, revision)
            await tx.audit(
                "commission_rate.set",
                f"commission_rate/{rate_id}",
                after={
                    "tier": tier,
                    "match_kind": kind.value,
                    "match_value": value,
                    "pct": format_scaled(pct, PERCENT_PLACES),
                    "effective_at_us": effective_at_us,
                },
            )
            return RateSet(revision, "" if await self._terms.has_partner(tx.connection, tier) else tier)

        return await run_mutation(self._database, mutation, work)
