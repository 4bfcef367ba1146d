"""What could be in the way of orgs' revisions, asked of the rows that stood before the plan."""

from __future__ import annotations

from typing import Final

from apportion_migrate.preflight import Check, invalid_rows
from apportion_migrate.resolve import KEPT, Fix

DEPTH_MAX: Final = 32
"""Levels below a root (spec 05)."""

IMPLIED: Final = f"""
    WITH RECURSIVE up (descendant, ancestor, depth, next) AS (
        SELECT o.org_id, p.org_id, 1, p.parent_org_id
        FROM organization AS o JOIN organization AS p ON p.org_id = o.parent_org_id
        UNION ALL
        SELECT up.descendant, p.org_id, up.depth + 1, p.parent_org_id
        FROM up JOIN organization AS p ON p.org_id = up.next WHERE up.depth <= {DEPTH_MAX}
    ), endless AS (
        SELECT descendant FROM up WHERE depth > {DEPTH_MAX}
    )
"""
"""`up`: what the parent pointers imply above each organisation; `endless`: where they are too deep or circle."""

SELF_ROW: Final = """(
    s.depth = 0 AND s.ancestor_org_id = s.descendant_org_id
    AND EXISTS (SELECT FROM organization AS o WHERE o.org_id = s.descendant_org_id)
)"""
"""A row of the closure, `s`, that an organisation has for itself; data migrations add those that lack."""

# What no root reaches lies on a cycle or below one; only there is every path walked to its end.
ON_CYCLES: Final = """
    WITH RECURSIVE down (org_id) AS (
        SELECT org_id FROM organization AS o
        WHERE NOT EXISTS (SELECT FROM organization AS p WHERE p.org_id = o.parent_org_id)
        UNION ALL
        SELECT o.org_id FROM down JOIN organization AS o ON o.parent_org_id = down.org_id
    ), unreached AS (
        SELECT org_id, parent_org_id FROM organization EXCEPT
        SELECT o.org_id, o.parent_org_id FROM down JOIN organization AS o ON o.org_id = down.org_id
    ), walk (start, place) AS (
        SELECT org_id, org_id FROM unreached
        UNION ALL
        SELECT walk.start, u.parent_org_id FROM walk JOIN unreached AS u ON u.org_id = walk.place
    ) CYCLE start, place SET looped USING path, on_cycles AS (
        SELECT start, min(place::text) AS lowest FROM walk
        GROUP BY start HAVING bool_or(looped AND place = start)
    )
"""
"""`on_cycles`: the organisations from which the parent pointers lead back, each with the smallest id of its cycle."""

CHECKS: Final = (
    Check(
        name="orphaned_parents",
        asks="Does an organisation name a parent that is not there?",
        sql="""
            SELECT 'parent ' || parent_org_id AS key, array_agg(org_id::text ORDER BY org_id) AS ids, count(*) AS rows
            FROM organization AS o
            WHERE parent_org_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM organization AS p WHERE p.org_id = o.parent_org_id)
            GROUP BY parent_org_id
        """,
        suggestion="Make the organisation a root of its own.",
        resolve="orphaned-parents",
        tables=("organization",),
        guards=("fk_organization_parent_org_id",),
    ),
    Check(
        name="hierarchy_cycles",
        asks="Do parent pointers lead back to where they began?",
        sql=f"""
            {ON_CYCLES}
            SELECT 'cycle through ' || lowest AS key, array_agg(start::text ORDER BY start) AS ids, count(*) AS rows
            FROM on_cycles GROUP BY lowest
        """,
        suggestion="Cut each cycle at its smallest id, which becomes a root; move it where it belongs afterwards.",
        resolve="hierarchy-cycles",
        tables=("organization",),
        guards=("ck_organization_not_its_parent",),
    ),
    Check(
        name="hierarchy_depth",
        asks=f"Does an organisation lie more than {DEPTH_MAX} levels below its root?",
        sql=f"""
            WITH RECURSIVE down (root, org_id, depth) AS (
                SELECT org_id, org_id, 0 FROM organization AS o
                WHERE NOT EXISTS (SELECT FROM organization AS p WHERE p.org_id = o.parent_org_id)
                UNION ALL
                SELECT down.root, o.org_id, down.depth + 1
                FROM down JOIN organization AS o ON o.parent_org_id = down.org_id
            )
            SELECT 'root ' || root AS key, array_agg(org_id::text ORDER BY depth, org_id) AS ids, count(*) AS rows
            FROM down WHERE depth > {DEPTH_MAX} GROUP BY root
        """,
        suggestion="Move them up by hand.",
        resolve=None,
        tables=("organization",),
        guards=("ck_org_hierarchy_depth",),
    ),
    Check(
        name="closure_drift",
        asks="Does the closure say otherwise than the parent pointers? (Rows of organisations themselves may lack.)",
        sql=f"""
            {IMPLIED}
            SELECT 'above org ' || coalesce(i.descendant, h.descendant_org_id) AS key,
                array_agg(coalesce(i.ancestor, h.ancestor_org_id)::text) AS ids, count(*) AS rows
            FROM (SELECT * FROM up WHERE descendant NOT IN (SELECT descendant FROM endless)) AS i
                FULL JOIN (
                    SELECT * FROM org_hierarchy AS s
                    WHERE descendant_org_id NOT IN (SELECT descendant FROM endless) AND NOT {SELF_ROW}
                ) AS h ON h.descendant_org_id = i.descendant AND h.ancestor_org_id = i.ancestor AND h.depth = i.depth
            WHERE i.descendant IS NULL OR h.descendant_org_id IS NULL
            GROUP BY 1
        """,
        suggestion="The parent pointers are the truth: write the closure of these organisations anew.",
        resolve="closure-drift",
        tables=("organization", "org_hierarchy"),
        guards=(
            "ck_org_hierarchy_self",
            "fk_org_hierarchy_ancestor_org_id",
            "fk_org_hierarchy_descendant_org_id",
        ),
    ),
    Check(
        name="duplicate_closure_rows",
        asks="Is a row of the closure there twice?",
        sql="""
            SELECT 'above org ' || descendant_org_id AS key, array_agg(ancestor_org_id::text) AS ids,
                sum(times)::bigint AS rows
            FROM (
                SELECT descendant_org_id, ancestor_org_id, count(*) AS times
                FROM org_hierarchy GROUP BY 1, 2 HAVING count(*) > 1
            ) AS repeated GROUP BY 1
        """,
        suggestion="Write the closure of these organisations anew.",
        resolve="closure-drift",
        tables=("org_hierarchy",),
        guards=("pk_org_hierarchy", "uq_org_hierarchy_descendant_org_id_depth"),
    ),
    Check(
        name="duplicate_slugs",
        asks="Have two organisations the same slug?",
        sql="""
            SELECT org_slug AS key, array_agg(org_id::text ORDER BY org_id) AS ids, count(*) AS rows
            FROM organization GROUP BY org_slug HAVING count(*) > 1
        """,
        suggestion="Keep the first and add the beginning of its id to the others.",
        resolve="duplicate-slugs",
        tables=("organization",),
        guards=("uq_organization_org_slug",),
    ),
    invalid_rows(
        "organization",
        name="organization_values",
        row_id="org_id",
        shown="org_slug || ', ' || visibility",
        valid="org_slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' AND visibility IN ('private', 'partners', 'public')",
        asks="Has an organisation a malformed slug or an unknown visibility?",
        suggestion="Spell it a-z, 0-9 and hyphens; set the visibility to private, partners or public.",
        guards=("ck_organization_org_slug", "ck_organization_visibility"),
    ),
    Check(
        name="orphaned_accounts",
        asks="Is a billing account owned by an organisation that is not there?",
        sql="""
            SELECT 'owner ' || owner_org_id AS key,
                array_agg(billing_account_id::text ORDER BY billing_account_id) AS ids, count(*) AS rows
            FROM billing_account AS a
            WHERE NOT EXISTS (SELECT FROM organization AS o WHERE o.org_id = a.owner_org_id)
            GROUP BY owner_org_id
        """,
        suggestion="Give the account an owner by hand: somebody has to pay for what is mapped to it.",
        resolve=None,
        tables=("billing_account", "organization"),
        guards=("fk_billing_account_owner_org_id",),
    ),
    Check(
        name="account_numbers",
        asks="Have two billing accounts the same number?",
        sql="""
            SELECT 'number ' || account_no AS key,
                array_agg(billing_account_id::text ORDER BY billing_account_id) AS ids, count(*) AS rows
            FROM billing_account GROUP BY account_no HAVING count(*) > 1
        """,
        suggestion="Invoices began with it: decide by hand who keeps the number.",
        resolve=None,
        tables=("billing_account",),
        guards=("uq_billing_account_account_no",),
    ),
    invalid_rows(
        "billing_account",
        name="account_values",
        row_id="billing_account_id",
        shown="currency || ', ' || status",
        valid="currency ~ '^[A-Z]{3}$' AND status IN ('active', 'closed')",
        asks="Has a billing account no currency of three capitals, or an unknown status?",
        suggestion="Correct the currency, and set the status to active or closed.",
        guards=("ck_billing_account_currency", "ck_billing_account_status"),
    ),
    Check(
        name="orphaned_mappings",
        asks="Does a mapping name an organisation or a billing account that is not there?",
        sql="""
            SELECT CASE WHEN o.org_id IS NULL THEN 'org ' || m.org_id ELSE 'account ' || m.billing_account_id END
                    AS key,
                array_agg(m.mapping_id::text ORDER BY m.mapping_id) AS ids, count(*) AS rows
            FROM org_billing_mapping AS m LEFT JOIN organization AS o ON o.org_id = m.org_id
                LEFT JOIN billing_account AS a ON a.billing_account_id = m.billing_account_id
            WHERE o.org_id IS NULL OR a.billing_account_id IS NULL GROUP BY 1
        """,
        suggestion="Delete the mapping: nothing can be billed by it.",
        resolve="orphaned-mappings",
        tables=("org_billing_mapping", "organization", "billing_account"),
        guards=("fk_org_billing_mapping_org_id", "fk_org_billing_mapping_billing_account_id"),
    ),
    Check(
        name="duplicate_mappings",
        asks="Has an organisation two mappings from one instant on?",
        sql="""
            SELECT 'org ' || org_id || ' from ' || effective_at AS key,
                array_agg(mapping_id::text ORDER BY declared_order, mapping_id) AS ids, count(*) AS rows
            FROM org_billing_mapping GROUP BY org_id, effective_at HAVING count(*) > 1
        """,
        suggestion="Keep the one that was declared last.",
        resolve="duplicate-mappings",
        tables=("org_billing_mapping",),
        guards=("uq_org_billing_mapping_org_id_effective_at",),
    ),
    Check(
        name="mapping_order",
        asks="Have two mappings of a billing account the same place in its order?",
        sql="""
            SELECT 'account ' || billing_account_id || ', place ' || declared_order AS key,
                array_agg(mapping_id::text ORDER BY mapping_id) AS ids, count(*) AS rows
            FROM org_billing_mapping GROUP BY billing_account_id, declared_order HAVING count(*) > 1
        """,
        suggestion="Number them by hand: the order decides who gets the odd cent.",
        resolve=None,
        tables=("org_billing_mapping",),
        guards=("uq_org_billing_mapping_billing_account_id_declared_order",),
    ),
    invalid_rows(
        "org_billing_mapping",
        name="percentages_out_of_range",
        row_id="mapping_id",
        shown="percent::text",
        valid="percent >= 0 AND percent <= 100",
        asks="Is the percentage of a mapping below 0, above 100 or no number?",
        suggestion="Set it to the bound that it is beyond (no number: 0), or to what was agreed.",
        resolve="percentages-out-of-range",
        guards=("ck_org_billing_mapping_percent",),
    ),
    invalid_rows(
        "org_billing_mapping",
        name="mapping_allocations",
        row_id="mapping_id",
        shown="allocation || coalesce(' of ' || percent || ' %', ' without a percentage')",
        valid="allocation IN ('absorb', 'chargeback', 'split') AND (allocation = 'split') = (percent IS NOT NULL)",
        asks="Is an allocation unknown, or split without a percentage, or not split and has one?",
        suggestion="Take the percentage away where nothing is split; agree on one by hand where it lacks.",
        resolve="mapping-allocations",
        guards=("ck_org_billing_mapping_allocation", "ck_org_billing_mapping_split"),
    ),
)

FIXES: Final = (
    Fix(
        name="orphaned-parents",
        checks=("orphaned_parents",),
        table="organization",
        says="Makes roots of organisations whose parent is not there.",
        sql="""
            SELECT ctid, org_id::text, '{"parent_org_id": null}'::jsonb FROM organization AS o
            WHERE parent_org_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM organization AS p WHERE p.org_id = o.parent_org_id)
        """,
    ),
    Fix(
        name="hierarchy-cycles",
        checks=("hierarchy_cycles",),
        table="organization",
        says="Cuts each cycle at its smallest id, which becomes a root.",
        sql=f"""
            {ON_CYCLES}
            SELECT o.ctid, o.org_id::text, '{{"parent_org_id": null}}'::jsonb
            FROM organization AS o JOIN on_cycles AS c ON c.start = o.org_id AND c.lowest = o.org_id::text
        """,
    ),
    Fix(
        name="closure-drift",
        checks=("closure_drift", "duplicate_closure_rows"),
        table="org_hierarchy",
        needs=("organization",),
        says="Writes the closure as the parent pointers imply it; rows of organisations themselves are left alone.",
        sql=f"""
            {IMPLIED}, stored AS (
                SELECT ctid AS place, *, row_number() OVER (
                    PARTITION BY ancestor_org_id, descendant_org_id, depth ORDER BY ctid
                ) AS copy FROM org_hierarchy
                WHERE descendant_org_id NOT IN (SELECT descendant FROM endless)
            )
            SELECT s.place, s.descendant_org_id || '/' || s.ancestor_org_id, NULL::jsonb
            FROM stored AS s LEFT JOIN up AS i
                ON i.descendant = s.descendant_org_id AND i.ancestor = s.ancestor_org_id AND i.depth = s.depth
            WHERE s.copy > 1 OR (i.descendant IS NULL AND NOT {SELF_ROW})
            UNION ALL
            SELECT NULL::tid, i.descendant || '/' || i.ancestor, jsonb_build_object(
                'ancestor_org_id', i.ancestor, 'descendant_org_id', i.descendant, 'depth', i.depth
            )
            FROM up AS i LEFT JOIN stored AS s
                ON i.descendant = s.descendant_org_id AND i.ancestor = s.ancestor_org_id AND i.depth = s.depth
            WHERE s.place IS NULL AND i.descendant NOT IN (SELECT descendant FROM endless)
        """,
    ),
    Fix(
        name="duplicate-slugs",
        checks=("duplicate_slugs",),
        table="organization",
        says="Adds the end of its id to the slug of every organisation but the first (or --keep) of a slug.",
        sql=f"""
            SELECT ctid, org_id::text,
                jsonb_build_object('org_slug', left(org_slug, 50) || '-' || right(org_id::text, 12))
            FROM (
                SELECT ctid, org_id, org_slug, row_number() OVER (
                    PARTITION BY org_slug ORDER BY (org_id::text {KEPT}) DESC, org_id
                ) AS place FROM organization
            ) AS placed WHERE place > 1
        """,
    ),
    Fix(
        name="orphaned-mappings",
        checks=("orphaned_mappings",),
        table="org_billing_mapping",
        needs=("organization", "billing_account"),
        says="Deletes mappings of organisations or billing accounts that are not there.",
        sql="""
            SELECT m.ctid, m.mapping_id::text, NULL::jsonb FROM org_billing_mapping AS m
            WHERE NOT EXISTS (SELECT FROM organization AS o WHERE o.org_id = m.org_id)
                OR NOT EXISTS (SELECT FROM billing_account AS a WHERE a.billing_account_id = m.billing_account_id)
        """,
    ),
    Fix(
        name="duplicate-mappings",
        checks=("duplicate_mappings",),
        table="org_billing_mapping",
        says="Keeps the mapping that was declared last (or --keep) of those from one instant on, deletes the others.",
        sql=f"""
            SELECT ctid, mapping_id::text, NULL::jsonb FROM (
                SELECT ctid, mapping_id, row_number() OVER (
                    PARTITION BY org_id, effective_at
                    ORDER BY (mapping_id::text {KEPT}) DESC, declared_order DESC, mapping_id DESC
                ) AS place FROM org_billing_mapping
            ) AS placed WHERE place > 1
        """,
    ),
    Fix(
        name="percentages-out-of-range",
        checks=("percentages_out_of_range",),
        table="org_billing_mapping",
        says="Sets percentages to the bound that they are beyond: 0 or 100; what is no number to 0.",
        sql="""
            SELECT ctid, mapping_id::text,
                jsonb_build_object('percent', CASE WHEN percent > 100 AND percent <> 'NaN' THEN 100 ELSE 0 END)
            FROM org_billing_mapping WHERE NOT (percent >= 0 AND percent <= 100)
        """,
    ),
    Fix(
        name="mapping-allocations",
        checks=("mapping_allocations",),
        table="org_billing_mapping",
        says="Takes the percentage away where nothing is split.",
        sql="""
            SELECT ctid, mapping_id::text, '{"percent": null}'::jsonb FROM org_billing_mapping
            WHERE allocation IN ('absorb', 'chargeback') AND percent IS NOT NULL
        """,
    ),
)
