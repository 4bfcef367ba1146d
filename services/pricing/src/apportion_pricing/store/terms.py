"""Reads terms for the rater's memory, all of them or what newer revisions added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apportion_common.decimals import PRICE, QUANTITY, to_scaled
from apportion_common.instants import us_of_datetime
from sqlalchemy import Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.engine_mode import EngineMode, EngineModeRow
from apportion_pricing.domain.terms import (
    AssignmentRow,
    EntitlementRow,
    PlanRow,
    PlanSkuRow,
    SkuRow,
    SubjectKind,
    TermsRows,
    parse_override,
)
from apportion_pricing.domain.tiers import parse_tiers
from apportion_pricing.store import tables


@dataclass(frozen=True, slots=True)
class LoadedTerms:
    """Rows of the revisions in (after, up to]."""

    rows: TermsRows
    modes: Sequence[EngineModeRow]


class TermsStore:
    """The tables of terms as rows of the domain."""

    async def load(self, connection: AsyncConnection, after: int, up_to: int) -> LoadedTerms:
        """Return every row of a revision in (after, up_to]; `after` -1 for all from the beginning.

        Rows of a plan whose charge model cannot be rated are left out: their SKUs are not in the plan.
        """

        async def rows(table: Table) -> list[Row[Any]]:
            revision = table.c.revision
            statement = select(table).where(revision > after, revision <= up_to).order_by(revision)
            return list(await connection.execute(statement))

        return LoadedTerms(
            TermsRows(
                skus=[SkuRow(row.sku, row.type, row.revision) for row in await rows(tables.product_sku)],
                plans=[PlanRow(row.plan_id.bytes, row.currency, row.revision) for row in await rows(tables.plan)],
                plan_skus=[plan_sku_row(row) for row in await rows(tables.plan_sku) if row.charge_model in MODELS],
                assignments=[assignment_row(row) for row in await rows(tables.org_business_model)],
                entitlements=[entitlement_row(row) for row in await rows(tables.org_entitlement)],
            ),
            [engine_mode_row(row) for row in await rows(tables.engine_mode)],
        )


def plan_sku_row(row: Row[Any]) -> PlanSkuRow:
    """Return the domain's row of a plan_sku row."""
    return PlanSkuRow(
        row.plan_id.bytes,
        row.sku,
        row.charge_model,
        to_scaled(row.included_qty, QUANTITY),
        to_scaled(row.overage_price, PRICE),
        parse_tiers(row.tiers),
        us_of_datetime(row.effective_at),
        row.revision,
    )


def assignment_row(row: Row[Any]) -> AssignmentRow:
    """Return the domain's row of an org_business_model row."""
    return AssignmentRow(row.org_id.bytes, row.plan_id.bytes, us_of_datetime(row.effective_at), row.revision)


def entitlement_row(row: Row[Any]) -> EntitlementRow:
    """Return the domain's row of an org_entitlement row."""
    return EntitlementRow(
        SubjectKind(row.subject_type),
        row.subject_id.bytes,
        row.plan_id.bytes,
        {sku: parse_override(values) for sku, values in row.overrides.items()},
        us_of_datetime(row.effective_at),
        row.revision,
    )


def engine_mode_row(row: Row[Any]) -> EngineModeRow:
    """Return the mode of an engine_mode row."""
    org_id: UUID | None = row.org_id
    return EngineModeRow(org_id.bytes if org_id is not None else None, EngineMode(row.mode), row.revision)
