"""Existing plans say what new ones say: a tier and notes, where they had none."""

from __future__ import annotations

from typing import Final

from apportion_migrate.data import CHUNK_ROWS, ChunkResult, Key, in_page, next_page
from sqlalchemy import Connection, text

TIER: Final = "standard"

COUNT: Final = text("SELECT count(*) FROM plan WHERE tier IS NULL OR notes IS NULL")
CHUNK: Final = text(
    f"""
    WITH page AS MATERIALIZED (
        SELECT plan_id, tier, notes FROM plan WHERE {in_page("plan_id")}
    ), changed AS (
        UPDATE plan AS p SET tier = coalesce(p.tier, :tier), notes = coalesce(p.notes, '')
        FROM page
        WHERE p.plan_id = page.plan_id AND (p.tier IS NULL OR p.notes IS NULL)
        RETURNING p.plan_id, page.tier AS tier_before, page.notes AS notes_before, p.tier, p.notes
    ), audited AS (
        INSERT INTO audit_entry (audit_id, actor, action, resource, before, after)
        SELECT gen_random_uuid(), 'migration:plan_defaults', 'plan.backfill', 'plan/' || plan_id,
            jsonb_build_object('tier', tier_before, 'notes', notes_before),
            jsonb_build_object('tier', tier, 'notes', notes)
        FROM changed
    )
    SELECT count(*) FROM changed
    """
)


class PlanDefaults:
    """Fills `plan.tier` and `plan.notes`."""

    name = "plan_defaults"
    service = "pricing"
    after_revision = "20250920_03_business_model_entitlements"
    chunk_rows = CHUNK_ROWS

    def count(self, connection: Connection) -> int:
        """Plans without a tier or without notes."""
        return int(connection.execute(COUNT).scalar_one())

    def chunk(self, connection: Connection, after_key: Key | None) -> ChunkResult:
        """Fill the next plans, each with its audit entry."""
        page = next_page(connection, "plan", "plan_id", after_key, self.chunk_rows)
        if page is None:
            return ChunkResult(None, 0)
        return ChunkResult(page["last"], connection.execute(CHUNK, page | {"tier": TIER}).scalar_one())


MIGRATION: Final = PlanDefaults()
