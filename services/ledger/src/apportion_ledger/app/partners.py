"""Partners and their tiers."""

from __future__ import annotations

from typing import NamedTuple, TypeVar
from uuid import UUID

from apportion_common.db.head import next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from apportion_common.money import minor_decimals
from google.protobuf.message import Message

from apportion_ledger import errors
from apportion_ledger.domain.partners import Partner
from apportion_ledger.store.terms import TermsStore

Answer = TypeVar("Answer", bound=Message)


class PartnerCreated(NamedTuple):
    """What comes of adding a partner: it, the revision, and the tier where no rate is set for it."""

    partner: Partner
    revision: int
    tier_without_rate: str


class TierSet(NamedTuple):
    """What comes of setting a tier: the revision, and the tier where no rate is set for it."""

    revision: int
    tier_without_rate: str


class Partners:
    """Adds partners and tiers."""

    def __init__(self, database: Database, terms: TermsStore) -> None:
        self._database = database
        self._terms = terms

    async def create(
        self,
        mutation: Mutation[PartnerCreated, Answer],
        partner_id: UUID | None,
        name: str,
        payout_currency: str,
        tier: str,
        effective_at_us: int,
    ) -> Answer:
        """Add a partner with its first tier; the result is the partner, the revision, and the tier where no
        rate is set for it.

        Raises InvalidArgument CURRENCY_UNKNOWN, AlreadyExists PARTNER_EXISTS.
        """

        async def work(tx: Transaction) -> PartnerCreated:
            minor_decimals(payout_currency)
            partner = Partner(partner_id or uuid7(tx.clock.now_us() * 1_000), name, payout_currency)
            revision = await next_revision(tx)
            if not await self._terms.add_partner(tx, partner, revision):
                raise errors.partner_exists(partner.partner_id)
            await self._terms.add_tier(tx, partner.partner_id, tier, effective_at_us, revision)
            await tx.audit(
                "partner.create",
                f"partner/{partner.partner_id}",
                after={
                    "name": name,
                    "payout_currency": payout_currency,
                    "tier": tier,
                    "effective_at_us": effective_at_us,
                },
            )
            return PartnerCreated(partner, revision, await self._unrated(tx, tier))

        return await run_mutation(self._database, mutation, work)

    async def set_tier(
        self, mutation: Mutation[TierSet, Answer], partner_id: UUID, tier: str, effective_at_us: int
    ) -> Answer:
        """Add the tier that a partner has from an instant on; the result is the revision, and the tier where no rate is
        set for it.

        Raises NotFound PARTNER_NOT_FOUND.
        """

        async def work(tx: Transaction) -> TierSet:
            revision = await next_revision(tx)
            if await self._terms.partner(tx.connection, partner_id) is None:
                raise errors.partner_not_found(partner_id)
            await self._terms.add_tier(tx, partner_id, tier, effective_at_us, revision)
            await tx.audit(
                "partner_tier.set", f"partner/{partner_id}", after={"tier": tier, "effective_at_us": effective_at_us}
            )
            return TierSet(revision, await self._unrated(tx, tier))

        return await run_mutation(self._database, mutation, work)

    async def _unrated(self, tx: Transaction, tier: str) -> str:
        """Return the tier where no rate is set for it, else nothing."""
        return "" if await self._terms.has_rate(tx.connection, tier) else tier
