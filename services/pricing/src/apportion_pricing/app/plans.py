"""Plans and their versioned rows (spec 03, "Data" and "Rating")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.decimals import AMOUNT_PLACES, PRICE_PLACES, QUANTITY_PLACES, format_scaled
from apportion_common.money import minor_decimals
from apportion_common.periods import is_period_start
from apportion_common.protos import uuid_text
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing import errors
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.records import PlanRecord
from apportion_pricing.domain.terms import PlanSkuRow, SkuTerms
from apportion_pricing.domain.terms_index import in_force
from apportion_pricing.domain.validation import check_effective_at
from apportion_pricing.store.plans import PlanStore
from apportion_pricing.store.skus import SkuStore

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan's row as a caller wants it."""

    sku: str
    values: SkuTerms

    def version(self, plan_id: bytes, effective_at_us: int, revision: int) -> PlanSkuRow:
        """Return the version of a plan's row that the row makes."""
        values = self.values
        return PlanSkuRow(
            plan_id,
            self.sku,
            values.charge_model,
            values.included,
            values.overage_price,
            values.tiers,
            effective_at_us,
            revision,
        )


class Plans:
    """What may be done with plans."""

    def __init__(self, database: Database, plans: PlanStore, skus: SkuStore) -> None:
        """Work on the service's database."""
        self._database = database
        self._plans = plans
        self._skus = skus

    async def create(
        self, mutation: Mutation[int, Answer], plan: PlanRecord, rows: Sequence[PlanRow], effective_at_us: int
    ) -> Answer:
        """Add a plan with its first rows, from a period's start on; the outcome is the revision.

        Raises InvalidArgument CURRENCY_UNKNOWN, UNKNOWN_SKU, SKU_REPEATED, TIERS_NOT_GRADUATED, FailedPrecondition
        EFFECTIVE_AT_NOT_PERIOD_START, AlreadyExists PLAN_EXISTS.
        """

        async def work(tx: Transaction) -> int:
            minor_decimals(plan.currency)
            if not is_period_start(effective_at_us):
                raise errors.not_period_start("A plan")
            await self._check_rows(tx.connection, rows, [f"rows[{index}]" for index in range(len(rows))])
            revision, by = await next_revision(tx), current_actor(tx.service).subject
            if not await self._plans.add(tx, plan, revision, by):
                raise errors.plan_exists(plan.name)
            versions = [row.version(plan.plan_id, effective_at_us, revision) for row in rows]
            await self._plans.add_rows(tx, versions, by)
            after = {
                "name": plan.name,
                "currency": plan.currency,
                "base_price": format_scaled(plan.base_price, AMOUNT_PLACES),
                "rows": {row.sku: _row_json(row) for row in versions},
                "effective_at_us": effective_at_us,
                "revision": revision,
            }
            await tx.audit("plan.create", f"plan/{uuid_text(plan.plan_id)}", after=after)
            return revision

        return await run_mutation(self._database, mutation, work)

    async def get(self, plan_id: bytes, at_us: int) -> tuple[PlanRecord, list[PlanSkuRow]]:
        """Return a plan and its rows in force at an instant, by SKU. Raises NotFound PLAN_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            plan = await self._plans.find(connection, plan_id)
            if plan is None:
                raise errors.plan_not_found()
            versions = await self._plans.rows_by_sku(connection, plan_id)
        found = [in_force(rows, at_us) for _, rows in sorted(versions.items())]
        return plan, [row for row in found if row is not None]

    async def set_row(
        self, mutation: Mutation[int, Answer], plan_id: bytes, row: PlanRow, effective_at_us: int
    ) -> Answer:
        """Add a version of a plan's row; the outcome is the revision.

        Raises NotFound PLAN_NOT_FOUND, InvalidArgument UNKNOWN_SKU, TIERS_NOT_GRADUATED, FailedPrecondition
        EFFECTIVE_AT_NOT_PERIOD_START for more than a change of prices within a period.
        """

        async def work(tx: Transaction) -> int:
            revision = await next_revision(tx)
            if await self._plans.find(tx.connection, plan_id) is None:
                raise errors.plan_not_found()
            await self._check_rows(tx.connection, [row], ["row"])
            before = in_force(await self._plans.rows(tx.connection, plan_id, row.sku), effective_at_us)
            version = row.version(plan_id, effective_at_us, revision)
            check_effective_at(effective_at_us, before.values if before is not None else None, version.values)
            await self._plans.add_rows(tx, [version], current_actor(tx.service).subject)
            await tx.audit(
                "plan_sku.set",
                f"plan_sku/{uuid_text(plan_id)}/{row.sku}",
                before=_row_json(before) if before is not None else None,
                after=_row_json(version),
            )
            return revision

        return await run_mutation(self._database, mutation, work)

    async def _check_rows(self, connection: AsyncConnection, rows: Sequence[PlanRow], fields: Sequence[str]) -> None:
        """Raise for unknown and repeated SKUs, and for values that a row's charge model cannot have."""
        seen: set[str] = set()
        known = await self._skus.known(connection, [row.sku for row in rows])
        for row, field in zip(rows, fields, strict=True):
            if row.sku not in known:
                raise errors.unknown_sku(row.sku, f"{field}.sku")
            if row.sku in seen:
                raise errors.sku_repeated(row.sku, f"{field}.sku")
            with errors.within_field(field):
                MODELS[row.values.charge_model].validate(row.sku, row.values)
            seen.add(row.sku)


def _row_json(row: PlanSkuRow) -> dict[str, object]:
    """Return a plan's row as an audit entry shows it."""
    return {
        "charge_model": row.charge_model,
        "included_qty": format_scaled(row.included, QUANTITY_PLACES),
        "overage_price": format_scaled(row.overage_price, PRICE_PLACES),
        "tiers": row.tiers.to_json(),
        "effective_at_us": row.effective_at_us,
        "revision": row.revision,
    }
