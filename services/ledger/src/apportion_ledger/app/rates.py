"""Commission rates of tiers."""

from __future__ import annotations

from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import PERCENT_PLACES, format_scaled
from apportion_common.ids import uuid7

from apportion_ledger import errors
from apportion_ledger.app.ports import TermsStore
from apportion_ledger.domain.attribution import MatchKind
from apportion_ledger.domain.split import FULL_PCT


class Rates:
    """Writes rates inside a caller's transaction."""

    def __init__(self, terms: TermsStore) -> None:
        self._terms = terms

    async def set_rate(
        self, tx: Transaction, tier: str, kind: MatchKind, value: str, pct: int, effective_at_us: int
    ) -> int:
        """Give a tier a rate (`pct` scaled by 4 places) from an instant on; the revision.

        Raises InvalidArgument PCT_OUT_OF_RANGE, MATCH_VALUE_WRONG.
        """
        if not 0 <= pct <= FULL_PCT:
            raise errors.pct_out_of_range()
        if (kind is MatchKind.DEFAULT) != (value == ""):
            raise errors.match_value_wrong()
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
        return revision
