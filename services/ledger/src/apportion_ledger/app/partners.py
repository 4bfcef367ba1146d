"""Partners and their tiers."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.ids import uuid7
from apportion_common.money import minor_decimals

from apportion_ledger import errors
from apportion_ledger.app.ports import Partner, TermsStore


class Partners:
    """Writes partners and tiers inside a caller's transaction."""

    def __init__(self, terms: TermsStore) -> None:
        self._terms = terms

    async def create(
        self,
        tx: Transaction,
        partner_id: UUID | None,
        name: str,
        payout_currency: str,
        tier: str,
        effective_at_us: int,
    ) -> tuple[Partner, int]:
        """Add a partner with its first tier; it and the revision.

        Raises InvalidArgument CURRENCY_UNKNOWN, AlreadyExists PARTNER_EXISTS.
        """
        minor_decimals(payout_currency)
        partner = Partner(partner_id or uuid7(tx.clock.now_us() * 1_000), name, payout_currency)
        revision = await next_revision(tx)
        if not await self._terms.add_partner(tx, partner, revision):
            raise errors.partner_exists(partner.partner_id)
        await self._terms.add_tier(tx, partner.partner_id, tier, effective_at_us, revision)
        await tx.audit(
            "partner.create",
            f"partner/{partner.partner_id}",
            after={"name": name, "payout_currency": payout_currency, "tier": tier, "effective_at_us": effective_at_us},
        )
        return partner, revision

    async def set_tier(self, tx: Transaction, partner_id: UUID, tier: str, effective_at_us: int) -> int:
        """Give a partner a tier from an instant on; the revision. Raises NotFound PARTNER_NOT_FOUND."""
        revision = await next_revision(tx)
        if await self._terms.partner(tx.connection, partner_id) is None:
            raise errors.partner_not_found(partner_id)
        await self._terms.add_tier(tx, partner_id, tier, effective_at_us, revision)
        await tx.audit(
            "partner_tier.set", f"partner/{partner_id}", after={"tier": tier, "effective_at_us": effective_at_us}
        )
        return revision
