"""What could be in the way of pricing's revisions, asked of the rows that stood before the plan."""

from __future__ import annotations

from typing import Final

from apportion_migrate.preflight import Check, invalid_rows
from apportion_migrate.resolve import KEPT, Fix

STEPS: Final = "jsonb_array_elements(CASE jsonb_typeof(s.tiers) WHEN 'array' THEN s.tiers ELSE '[]' END)"
"""The steps of tiers, none where they are no array."""
NUMBER: Final = "'^[0-9]{1,18}([.][0-9]{1,12})?$'"
MALFORMED: Final = f"""
    jsonb_typeof(s.tiers) <> 'array' OR jsonb_array_length(
        CASE jsonb_typeof(s.tiers) WHEN 'array' THEN s.tiers ELSE '[]' END
    ) > 50 OR EXISTS (
        SELECT FROM {STEPS} AS step WHERE CASE
            WHEN jsonb_typeof(step) <> 'object' THEN true
            WHEN step - 'threshold' - 'price' <> '{{}}' THEN true
            ELSE coalesce(step ->> 'threshold', '') !~ {NUMBER} OR coalesce(step ->> 'price', '') !~ {NUMBER}
        END
    )
"""

CHECKS: Final = (
    Check(
        name="unsorted_tiers",
        asks="Do the thresholds of a plan's tiers not rise from each to the next, from above zero?",
        sql=f"""
            SELECT 'plan ' || s.plan_id AS key, array_agg(s.sku ORDER BY s.sku) AS ids, count(*) AS rows
            FROM plan_sku AS s WHERE NOT ({MALFORMED}) AND EXISTS (
                SELECT FROM (
                    SELECT threshold, lag(threshold, 1, 0::numeric) OVER (ORDER BY place) AS before
                    FROM (
                        SELECT place,
                            CASE WHEN step ->> 'threshold' ~ {NUMBER} THEN (step ->> 'threshold')::numeric END
                                AS threshold
                        FROM {STEPS} WITH ORDINALITY AS steps (step, place)
                    ) AS numbered
                ) AS pairs WHERE threshold <= before
            ) GROUP BY s.plan_id
        """,
        suggestion="Sort the steps and drop those said twice; two prices at one threshold are settled by hand.",
        resolve="unsorted-tiers",
        tables=("plan_sku",),
        guards=(),
    ),
    Check(
        name="malformed_tiers",
        asks="Are a plan's tiers no list of at most 50 steps, each of a threshold and a price in decimals?",
        sql=f"""
            SELECT 'plan ' || s.plan_id AS key, array_agg(s.sku ORDER BY s.sku) AS ids, count(*) AS rows
            FROM plan_sku AS s WHERE {MALFORMED} GROUP BY s.plan_id
        """,
        suggestion="Write the tiers anew by hand.",
        resolve=None,
        tables=("plan_sku",),
        guards=("ck_plan_sku_tiers",),
    ),
    Check(
        name="charge_models",
        asks="Is a row with tiers charged per unit, or is its charge model unknown?",
        sql="""
            SELECT charge_model AS key, array_agg(plan_id || '/' || sku ORDER BY plan_id, sku) AS ids, count(*) AS rows
            FROM plan_sku WHERE (charge_model = 'per_unit' AND tiers <> '[]'::jsonb) OR charge_model NOT IN (
                'per_unit', 'graduated', 'volume', 'package', 'percentage', 'flat', 'day_pass'
            ) GROUP BY charge_model
        """,
        suggestion="A row with tiers is graduated; what is unknown is settled by hand.",
        resolve="charge-models",
        tables=("plan_sku",),
        guards=("ck_plan_sku_charge_model",),
    ),
    Check(
        name="duplicate_plan_rows",
        asks="Has a plan two rows for one SKU?",
        sql="""
            SELECT 'plan ' || plan_id || ', ' || sku AS key, array_agg(overage_price::text) AS ids, count(*) AS rows
            FROM plan_sku GROUP BY plan_id, sku HAVING count(*) > 1
        """,
        suggestion="Delete what is said twice in the same words; two prices for one thing are settled by hand.",
        resolve="duplicate-plan-rows",
        tables=("plan_sku",),
        guards=("pk_plan_sku",),
    ),
    Check(
        name="orphaned_plan_rows",
        asks="Does a plan's row name a plan or a SKU that is not there?",
        sql="""
            SELECT CASE WHEN p.plan_id IS NULL THEN 'plan ' || s.plan_id ELSE 'SKU ' || s.sku END AS key,
                array_agg(s.plan_id || '/' || s.sku ORDER BY s.plan_id, s.sku) AS ids, count(*) AS rows
            FROM plan_sku AS s LEFT JOIN plan AS p ON p.plan_id = s.plan_id
                LEFT JOIN product_sku AS k ON k.sku = s.sku
            WHERE p.plan_id IS NULL OR k.sku IS NULL GROUP BY 1
        """,
        suggestion="Add the plan or the SKU, or delete the row: nothing was charged by it.",
        resolve="orphaned-plan-rows",
        tables=("plan_sku", "plan", "product_sku"),
        guards=("fk_plan_sku_plan_id", "fk_plan_sku_sku"),
    ),
    Check(
        name="duplicate_plan_names",
        asks="Have two plans the same name?",
        sql="""
            SELECT name AS key, array_agg(plan_id::text ORDER BY plan_id) AS ids, count(*) AS rows
            FROM plan GROUP BY name HAVING count(*) > 1
        """,
        suggestion="Keep the first name and add the beginning of its id to the others.",
        resolve="duplicate-plan-names",
        tables=("plan",),
        guards=("uq_plan_name",),
    ),
    invalid_rows(
        "plan_sku",
        name="plan_row_prices",
        row_id="plan_id || '/' || sku",
        shown="'plan ' || plan_id",
        valid="included_qty >= 0 AND included_qty < 'NaN' AND overage_price >= 0 AND overage_price < 'NaN'",
        asks="Is an included quantity or a price of a plan negative or no number?",
        suggestion="Correct it by hand.",
        guards=("ck_plan_sku_included_qty", "ck_plan_sku_overage_price"),
    ),
    invalid_rows(
        "plan",
        name="plan_values",
        row_id="plan_id",
        shown="name",
        valid="currency ~ '^[A-Z]{3}$' AND base_price >= 0 AND base_price < 'NaN'",
        asks="Has a plan no currency of three capitals, or a base price that is negative or no number?",
        suggestion="Correct it by hand.",
        guards=("ck_plan_currency", "ck_plan_base_price"),
    ),
    invalid_rows(
        "product_sku",
        name="sku_values",
        row_id="sku",
        shown="type",
        valid="type IN ('hosting', 'object', 'validation', 'action', 'analytics')"
        " AND (cost IS NULL OR (cost >= 0 AND cost < 'NaN')) AND (retail IS NULL OR (retail >= 0 AND retail < 'NaN'))",
        asks="Has a SKU an unknown type, or a cost or a price that is negative or no number?",
        suggestion="Correct it by hand.",
        guards=("ck_product_sku_type", "ck_product_sku_cost", "ck_product_sku_retail"),
    ),
)

FIXES: Final = (
    Fix(
        name="unsorted-tiers",
        checks=("unsorted_tiers",),
        table="plan_sku",
        says="Sorts tiers by their thresholds and drops steps said twice, where no threshold has two prices.",
        sql=f"""
            SELECT s.ctid, s.plan_id || '/' || s.sku, jsonb_build_object('tiers', sorted.tiers)
            FROM plan_sku AS s CROSS JOIN LATERAL (
                SELECT jsonb_agg(step ORDER BY threshold) AS tiers, min(threshold) AS lowest, count(*) AS steps,
                    count(DISTINCT threshold) AS thresholds
                FROM (
                    SELECT DISTINCT step, CASE
                        WHEN step ->> 'threshold' ~ {NUMBER} THEN (step ->> 'threshold')::numeric
                    END AS threshold FROM {STEPS} AS step
                ) AS told
            ) AS sorted
            WHERE NOT ({MALFORMED}) AND sorted.steps = sorted.thresholds AND sorted.lowest > 0
                AND sorted.tiers <> s.tiers
        """,
    ),
    Fix(
        name="charge-models",
        checks=("charge_models",),
        table="plan_sku",
        says="Sets rows with tiers that are charged per unit to graduated.",
        sql="""
            SELECT ctid, plan_id || '/' || sku, '{"charge_model": "graduated"}'::jsonb FROM plan_sku
            WHERE charge_model = 'per_unit' AND tiers <> '[]'::jsonb
        """,
    ),
    Fix(
        name="duplicate-plan-rows",
        checks=("duplicate_plan_rows",),
        table="plan_sku",
        says="Deletes rows of plans that repeat another word for word.",
        sql="""
            SELECT ctid, plan_id || '/' || sku, NULL::jsonb FROM (
                SELECT ctid, plan_id, sku, row_number() OVER (
                    PARTITION BY plan_id, sku, included_qty, overage_price, tiers, charge_model ORDER BY ctid
                ) AS place FROM plan_sku
            ) AS placed WHERE place > 1
        """,
    ),
    Fix(
        name="orphaned-plan-rows",
        checks=("orphaned_plan_rows",),
        table="plan_sku",
        needs=("plan", "product_sku"),
        says="Deletes rows of plans or SKUs that are not there.",
        sql="""
            SELECT s.ctid, s.plan_id || '/' || s.sku, NULL::jsonb FROM plan_sku AS s
            WHERE NOT EXISTS (SELECT FROM plan AS p WHERE p.plan_id = s.plan_id)
                OR NOT EXISTS (SELECT FROM product_sku AS k WHERE k.sku = s.sku)
        """,
    ),
    Fix(
        name="duplicate-plan-names",
        checks=("duplicate_plan_names",),
        table="plan",
        says="Adds the end of its id to the name of every plan but the first (or --keep) of a name.",
        sql=f"""
            SELECT ctid, plan_id::text, jsonb_build_object('name', name || ' ' || right(plan_id::text, 8)) FROM (
                SELECT ctid, plan_id, name, row_number() OVER (
                    PARTITION BY name ORDER BY (plan_id::text {KEPT}) DESC, plan_id
                ) AS place FROM plan
            ) AS placed WHERE place > 1
        """,
    ),
)
