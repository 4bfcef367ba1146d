"""Which plan an organisation has, what is overridden for it, and what that comes to (spec 03)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.decimals import PRICE_PLACES, QUANTITY_PLACES, format_scaled
from apportion_common.periods import is_period_start, period_of
from apportion_common.protos import uuid_text
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing import errors
from apportion_pricing.app.account_resolver import AccountResolver
from apportion_pricing.app.catalog_cache import CatalogCache
from apportion_pricing.domain.accounts import BillingAccount
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.segments import needs_of, segment_at
from apportion_pricing.domain.terms import AssignmentRow, EntitlementRow, Override, PlanSkuRow, SubjectKind
from apportion_pricing.domain.terms_index import RateTerms, in_force
from apportion_pricing.domain.tiers import tiers_not_graduated
from apportion_pricing.domain.validation import check_effective_at
from apportion_pricing.store.entitlements import EntitlementStore
from apportion_pricing.store.plans import PlanStore
from apportion_pricing.store.positions import PositionStore

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class EffectiveSku:
    """What an organisation gets of a SKU, and how much of it is used up in the period."""

    sku: str
    terms: RateTerms
    used: int


@dataclass(frozen=True, slots=True)
class EffectiveEntitlements:
    """What an organisation gets at an instant; without a plan or an account those are None."""

    plan_id: bytes | None
    account: BillingAccount | None
    currency: str
    skus: Sequence[EffectiveSku]
    revision: int


class Entitlements:
    """What may be done with assignments and overrides."""

    def __init__(
        self,
        database: Database,
        plans: PlanStore,
        store: EntitlementStore,
        positions: PositionStore,
        catalog: CatalogCache,
        accounts: AccountResolver,
    ) -> None:
        """Work on the service's database, with what orgs says of billing accounts."""
        self._database = database
        self._plans = plans
        self._store = store
        self._positions = positions
        self._catalog = catalog
        self._accounts = accounts

    async def assign(self, mutation: Mutation[int, Answer], row: AssignmentRow, notes: str) -> Answer:
        """Assign a plan to an organisation from a period's start on; the outcome is the revision.

        Orgs is asked for the currency before the transaction begins. Raises NotFound PLAN_NOT_FOUND, Unavailable
        ORGS_UNAVAILABLE, FailedPrecondition EFFECTIVE_AT_NOT_PERIOD_START, CURRENCY_MISMATCH.
        """
        billing_currency = await self._currency_at(row.org_id, row.effective_at_us)

        async def work(tx: Transaction) -> int:
            if not is_period_start(row.effective_at_us):
                raise errors.not_period_start("An assignment")
            revision = await next_revision(tx)
            plan = await self._plans.find(tx.connection, row.plan_id or b"")
            if plan is None:
                raise errors.plan_not_found()
            if billing_currency is not None and billing_currency != plan.currency:
                raise errors.currency_mismatch(plan.currency, billing_currency)
            before = in_force(await self._store.assignments(tx.connection, row.org_id), row.effective_at_us)
            after = replace(row, revision=revision)
            await self._store.add_assignment(tx, after, notes, current_actor(tx.service).subject)
            await tx.audit(
                "plan.assign",
                f"org_business_model/{uuid_text(row.org_id)}",
                org_id=UUID(bytes=row.org_id),
                before=_assignment_json(before) if before is not None else None,
                after=_assignment_json(after) | {"notes": notes},
            )
            return revision

        return await run_mutation(self._database, mutation, work)

    async def set(self, mutation: Mutation[int, Answer], row: EntitlementRow) -> Answer:
        """Put a row in the place of the subject's earlier one; the outcome is the revision.

        Raises NotFound PLAN_NOT_FOUND, InvalidArgument UNKNOWN_SKU, TIERS_NOT_GRADUATED, FailedPrecondition
        EFFECTIVE_AT_NOT_PERIOD_START for more than a change of prices within a period.
        """

        async def work(tx: Transaction) -> int:
            revision = await next_revision(tx)
            plan_id = row.plan_id or b""
            if await self._plans.find(tx.connection, plan_id) is None:
                raise errors.plan_not_found()
            rows_of_plan = await self._plans.rows_by_sku(tx.connection, plan_id)
            _check_overrides(row.overrides, rows_of_plan)
            earlier = await self._store.entitlements(tx.connection, row.subject_kind, row.subject_id)
            before = in_force(earlier, row.effective_at_us)
            if not is_period_start(row.effective_at_us):
                await self._check_within_period(tx.connection, before, row, rows_of_plan)
            after = replace(row, revision=revision)
            await self._store.add_entitlement(tx, after, current_actor(tx.service).subject)
            await tx.audit(
                "entitlement.set",
                f"org_entitlement/{row.subject_kind}/{uuid_text(row.subject_id)}",
                org_id=UUID(bytes=row.subject_id) if row.subject_kind is SubjectKind.ORG else None,
                before=_entitlement_json(before) if before is not None else None,
                after=_entitlement_json(after),
            )
            return revision

        return await run_mutation(self._database, mutation, work)

    async def effective(self, org_id: bytes, at_us: int) -> EffectiveEntitlements:
        """Return what an organisation gets at an instant, value by value, with the sources.

        Raises NotFound ORG_NOT_FOUND, Unavailable ORGS_UNAVAILABLE, OutOfRange TIME_OUT_OF_RANGE.
        """
        period = period_of(at_us)
        async with self._database.read() as connection:
            catalog = await self._catalog.current(connection)
            view = await self._accounts.confirm(needs_of(catalog, org_id, at_us))
            interval = view.find(org_id, at_us)
            assert interval is not None
            if not interval.org_known:
                raise errors.org_not_found()
            fixed_at_us = catalog.index.structure_instant(org_id, period.start_us)
            plan_id = None if fixed_at_us is None else catalog.index.plan_of(org_id, max(at_us, fixed_at_us))
            if plan_id is None or catalog.index.plan_of(org_id, at_us) is None:
                return EffectiveEntitlements(None, interval.account, "", (), catalog.revision)
            used = await self._positions.used(connection, org_id, period.key)
        names = sorted({row.sku for row in catalog.rows.plan_skus if row.plan_id == plan_id})
        resolved = [(sku, segment_at(catalog, view, org_id, sku, at_us).terms) for sku in names]
        skus = [EffectiveSku(sku, terms, used.get(sku, 0)) for sku, terms in resolved if terms is not None]
        currency = next(plan.currency for plan in catalog.rows.plans if plan.plan_id == plan_id)
        return EffectiveEntitlements(plan_id, interval.account, currency, skus, catalog.revision)

    async def _currency_at(self, org_id: bytes, at_us: int) -> str | None:
        """Return the currency that an organisation is billed in at an instant, None while it is mapped to no account.

        An organisation that orgs does not know yet has none either.
        """
        view = await self._accounts.confirm([(org_id, at_us)])
        interval = view.find(org_id, at_us)
        assert interval is not None
        return interval.account.currency if interval.account is not None else None

    async def _check_within_period(
        self,
        connection: AsyncConnection,
        before: EntitlementRow | None,
        after: EntitlementRow,
        rows_of_plan: Mapping[str, Sequence[PlanSkuRow]],
    ) -> None:
        """Let only prices change: of the plan that the row is for, and of the one that the earlier row was for."""
        plans = {after.plan_id: rows_of_plan}
        if before is not None and before.plan_id is not None and before.plan_id not in plans:
            plans[before.plan_id] = await self._plans.rows_by_sku(connection, before.plan_id)
        for plan_id, rows in plans.items():
            old = before.overrides if before is not None and before.plan_id == plan_id else {}
            new = after.overrides if after.plan_id == plan_id else {}
            for sku in sorted(old.keys() | new.keys()):
                row = in_force(rows.get(sku, ()), after.effective_at_us)
                if row is not None:
                    values = row.values
                    check_effective_at(
                        after.effective_at_us, values.overridden(old.get(sku)), values.overridden(new.get(sku))
                    )


def _check_overrides(overrides: Mapping[str, Override], rows_of_plan: Mapping[str, Sequence[PlanSkuRow]]) -> None:
    """Raise for SKUs that the plan never has, and for tiers of those whose charge model has none."""
    for index, (sku, override) in enumerate(overrides.items()):
        rows = rows_of_plan.get(sku)
        if not rows:
            raise errors.unknown_sku(sku, f"overrides[{index}].sku")
        if override.tiers is not None and not any(MODELS[row.charge_model].tiered for row in rows):
            with errors.within_field(f"overrides[{index}]"):
                raise tiers_not_graduated(sku)


def _assignment_json(row: AssignmentRow) -> dict[str, object]:
    return {
        "plan_id": uuid_text(row.plan_id) if row.plan_id is not None else None,
        "effective_at_us": row.effective_at_us,
        "revision": row.revision,
    }


def _entitlement_json(row: EntitlementRow) -> dict[str, object]:
    return {
        "plan_id": uuid_text(row.plan_id) if row.plan_id is not None else None,
        "overrides": {sku: _override_json(override) for sku, override in row.overrides.items()},
        "effective_at_us": row.effective_at_us,
        "revision": row.revision,
    }


def _override_json(override: Override) -> dict[str, object]:
    return {
        "included_qty": None if override.included is None else format_scaled(override.included, QUANTITY_PLACES),
        "overage_price": None
        if override.overage_price is None
        else format_scaled(override.overage_price, PRICE_PLACES),
        "tiers": None if override.tiers is None else override.tiers.to_json(),
    }
