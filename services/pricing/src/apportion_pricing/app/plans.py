"""Plans and their versioned rows (spec 03, "Data" and "Rating")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT_PLACES, PRICE_PLACES, QUANTITY_PLACES, format_scaled
from apportion_common.money import minor_decimals
from apportion_common.protos import uuid_text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing import errors
from apportion_pricing.app.ports import CatalogStore, PlanRecord
from apportion_pricing.domain.periods import is_period_start
from apportion_pricing.domain.rating import ChargeModel
from apportion_pricing.domain.terms import PlanSkuRow, SkuTerms
from apportion_pricing.domain.terms_book import in_force
from apportion_pricing.domain.tiers import Tiers
from apportion_pricing.domain.validation import check_effective_at


@dataclass(frozen=True, slots=True)
class PlanRowCommand:
    """A plan's row as a caller wants it."""

    sku: str
    charge_model: ChargeModel
    included: int
    overage_price: int
    tiers: Tiers

    def row(self, plan_id: bytes, effective_at_us: int, revision: int) -> PlanSkuRow:
        """The version of a plan's row that the command makes."""
        return PlanSkuRow(
            plan_id,
            self.sku,
            self.charge_model,
            self.included,
            self.overage_price,
            self.tiers,
            effective_at_us,
            revision,
        )


class PlanUseCases:
    """What may be done with plans."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store

    async def create_plan(
        self, tx: Transaction, plan: PlanRecord, rows: Sequence[PlanRowCommand], effective_at_us: int
    ) -> int:
        """Add a plan with its first rows, from a period's start on; gives the revision.

        Raises InvalidArgument CURRENCY_UNKNOWN, UNKNOWN_SKU, SKU_REPEATED, TIERS_NOT_GRADUATED, FailedPrecondition
        EFFECTIVE_AT_NOT_PERIOD_START, AlreadyExists PLAN_EXISTS.
        """
        minor_decimals(plan.currency)
        if not is_period_start(effective_at_us):
            raise errors.not_period_start("A plan")
        await self._check_rows(tx.connection, rows)
        revision, by = await next_revision(tx), current_actor(tx.service).subject
        if not await self._store.add_plan(tx, plan, revision, by):
            raise errors.plan_exists(plan.name)
        versions = [row.row(plan.plan_id, effective_at_us, revision) for row in rows]
        await self._store.add_plan_rows(tx, versions, by)
        after = {
            "name": plan.name,
            "currency": plan.currency,
            "base_price": format_scaled(plan.base_price, AMOUNT_PLACES),
            "rows": {row.sku: row_json(row) for row in versions},
            "effective_at_us": effective_at_us,
            "revision": revision,
        }
        await tx.audit("plan.create", f"plan/{uuid_text(plan.plan_id)}", after=after)
        return revision

    async def get_plan(
        self, connection: AsyncConnection, plan_id: bytes, at_us: int
    ) -> tuple[PlanRecord, list[PlanSkuRow]]:
        """A plan and its rows in force at an instant, by SKU. Raises NotFound PLAN_NOT_FOUND."""
        plan = await self._store.plan(connection, plan_id)
        if plan is None:
            raise errors.plan_not_found()
        versions: dict[str, list[PlanSkuRow]] = {}
        for row in await self._store.plan_rows(connection, plan_id):
            versions.setdefault(row.sku, []).append(row)
        found = [in_force(rows, at_us) for _, rows in sorted(versions.items())]
        return plan, [row for row in found if row is not None]

    async def set_plan_sku(self, tx: Transaction, plan_id: bytes, row: PlanRowCommand, effective_at_us: int) -> int:
        """Add a version of a plan's row; gives the revision.

        Raises NotFound PLAN_NOT_FOUND, InvalidArgument UNKNOWN_SKU, TIERS_NOT_GRADUATED, FailedPrecondition
        EFFECTIVE_AT_NOT_PERIOD_START for more than a change of prices within a period.
        """
        revision = await next_revision(tx)
        if await self._store.plan(tx.connection, plan_id) is None:
            raise errors.plan_not_found()
        await self._check_rows(tx.connection, [row])
        before = in_force(await self._store.plan_rows(tx.connection, plan_id, row.sku), effective_at_us)
        version = row.row(plan_id, effective_at_us, revision)
        check_effective_at(effective_at_us, terms_of(before) if before is not None else None, terms_of(version))
        await self._store.add_plan_rows(tx, [version], current_actor(tx.service).subject)
        await tx.audit(
            "plan_sku.set",
            f"plan_sku/{uuid_text(plan_id)}/{row.sku}",
            before=row_json(before) if before is not None else None,
            after=row_json(version),
        )
        return revision

    async def _check_rows(self, connection: AsyncConnection, rows: Sequence[PlanRowCommand]) -> None:
        """Refuse unknown and repeated SKUs, and tiers on rows that are charged per unit."""
        seen: set[str] = set()
        known = await self._store.known_skus(connection, [row.sku for row in rows])
        for index, row in enumerate(rows):
            field = f"rows[{index}].sku"
            if row.sku not in known:
                raise errors.unknown_sku(row.sku, field)
            if row.sku in seen:
                raise errors.sku_repeated(row.sku, field)
            if row.charge_model is ChargeModel.PER_UNIT and row.tiers.thresholds:
                raise errors.per_unit_has_no_tiers(row.sku, f"rows[{index}].tiers")
            seen.add(row.sku)


def terms_of(row: PlanSkuRow) -> SkuTerms:
    """The values of a plan's row."""
    return SkuTerms(row.charge_model, row.included, row.overage_price, row.tiers)


def row_json(row: PlanSkuRow) -> dict[str, object]:
    """A plan's row as an audit entry shows it."""
    return {
        "charge_model": row.charge_model.value,
        "included_qty": format_scaled(row.included, QUANTITY_PLACES),
        "overage_price": format_scaled(row.overage_price, PRICE_PLACES),
        "tiers": row.tiers.to_json(),
        "effective_at_us": row.effective_at_us,
        "revision": row.revision,
    }
