"""What could be in the way of ledger's revisions, asked of the rows that stood before the plan."""

from __future__ import annotations

from typing import Final

from apportion_migrate.preflight import Check, invalid_rows
from apportion_migrate.resolve import KEPT, Fix

CHECKS: Final = (
    Check(
        name="overlapping_por",
        asks="Has a subject two partners of record at one instant?",
        # A running maximum of the ends starts a new group where a start lies at or after all ends so far.
        sql="""
            WITH sound AS (
                SELECT por_id, subject_type, subject_id, start_at, coalesce(end_at, 'infinity') AS end_at
                FROM partner_of_record WHERE end_at IS NULL OR end_at > start_at
            ), placed AS (
                SELECT *, max(end_at) OVER (
                    PARTITION BY subject_type, subject_id ORDER BY start_at, por_id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS ended FROM sound
            ), islands AS (
                SELECT *, count(*) FILTER (WHERE ended IS NULL OR start_at >= ended) OVER (
                    PARTITION BY subject_type, subject_id ORDER BY start_at, por_id
                ) AS island FROM placed
            )
            SELECT subject_type || ' ' || subject_id || ' from ' || min(start_at) AS key,
                array_agg(por_id::text ORDER BY start_at, por_id) AS ids, count(*) AS rows
            FROM islands GROUP BY subject_type, subject_id, island HAVING count(*) > 1
        """,
        suggestion="Let each interval end where the next one starts; of two with the same start the last stays.",
        resolve="overlapping-por",
        tables=("partner_of_record",),
        guards=("ex_partner_of_record_overlap",),
    ),
    invalid_rows(
        "partner_of_record",
        name="empty_intervals",
        row_id="por_id",
        shown="subject_type || ' ' || subject_id",
        valid="end_at > start_at",
        asks="Does a partner of record end before it starts, or at once?",
        suggestion="It never held: delete it.",
        resolve="empty-intervals",
        guards=("ck_partner_of_record_interval",),
    ),
    Check(
        name="orphaned_por",
        asks="Does a partner of record name a partner who is not there?",
        sql="""
            SELECT 'partner ' || partner_id AS key, array_agg(por_id::text ORDER BY por_id) AS ids, count(*) AS rows
            FROM partner_of_record AS r WHERE NOT EXISTS (SELECT FROM partner AS p WHERE p.partner_id = r.partner_id)
            GROUP BY partner_id
        """,
        suggestion="Add the partner again, or delete the assignment: nobody was paid for it.",
        resolve="orphaned-por",
        tables=("partner_of_record", "partner"),
        guards=("fk_partner_of_record_partner_id",),
    ),
    invalid_rows(
        "partner_of_record",
        name="por_values",
        row_id="por_id",
        shown="subject_type || ', ' || status",
        valid="subject_type IN ('org', 'billing_account') AND status IN ('active', 'expired', 'disputed')",
        asks="Has a partner of record an unknown kind of subject, or an unknown status?",
        suggestion="Set the subject to org or billing_account and the status to active, expired or disputed.",
        guards=("ck_partner_of_record_subject_type", "ck_partner_of_record_status"),
    ),
    invalid_rows(
        "commission_rate",
        name="rates_out_of_range",
        row_id="rate_id",
        shown="pct::text",
        valid="pct >= 0 AND pct <= 100",
        asks="Is a commission rate below 0 %, above 100 % or no number?",
        suggestion="Set it to the bound that it is beyond (no number: 0), or to what was agreed.",
        resolve="rates-out-of-range",
        guards=("ck_commission_rate_pct",),
    ),
    invalid_rows(
        "commission_rate",
        name="rate_matches",
        row_id="rate_id",
        shown="match_kind || ' ' || match_value",
        valid="match_kind IN ('sku', 'sku_type', 'default') AND (match_kind = 'default') = (match_value = '')",
        asks="Does a commission rate match by an unknown kind, or a default name a value, or another kind name none?",
        suggestion="Correct match_kind and match_value by hand: only a default has an empty value.",
        guards=("ck_commission_rate_match_kind", "ck_commission_rate_match_value"),
    ),
    invalid_rows(
        "partner",
        name="partner_values",
        row_id="partner_id",
        shown="payout_currency || ', ' || status",
        valid="payout_currency ~ '^[A-Z]{3}$' AND status IN ('active', 'held', 'closed')",
        asks="Has a partner no currency of three capitals, or an unknown status?",
        suggestion="Correct the currency, and set the status to active, held or closed.",
        guards=("ck_partner_payout_currency", "ck_partner_status"),
    ),
)

FIXES: Final = (
    Fix(
        name="overlapping-por",
        checks=("overlapping_por",),
        table="partner_of_record",
        says="Ends each interval where the next one of its subject starts; of two with one start the last stays.",
        sql=f"""
            SELECT ctid, por_id::text, CASE WHEN next > start_at THEN jsonb_build_object('end_at', next) END FROM (
                SELECT ctid, por_id, start_at, end_at, lead(start_at) OVER (
                    PARTITION BY subject_type, subject_id
                    ORDER BY start_at, (por_id::text {KEPT}), (status = 'active'), por_id
                ) AS next FROM partner_of_record WHERE end_at IS NULL OR end_at > start_at
            ) AS placed WHERE next < coalesce(end_at, 'infinity')
        """,
    ),
    Fix(
        name="empty-intervals",
        checks=("empty_intervals",),
        table="partner_of_record",
        says="Deletes assignments that end before they start, or at once.",
        sql="SELECT ctid, por_id::text, NULL::jsonb FROM partner_of_record WHERE end_at <= start_at",
    ),
    Fix(
        name="orphaned-por",
        checks=("orphaned_por",),
        table="partner_of_record",
        needs=("partner",),
        says="Deletes assignments to partners who are not there.",
        sql="""
            SELECT r.ctid, r.por_id::text, NULL::jsonb FROM partner_of_record AS r
            WHERE NOT EXISTS (SELECT FROM partner AS p WHERE p.partner_id = r.partner_id)
        """,
    ),
    Fix(
        name="rates-out-of-range",
        checks=("rates_out_of_range",),
        table="commission_rate",
        says="Sets rates to the bound that they are beyond: 0 or 100; what is no number to 0.",
        sql="""
            SELECT ctid, rate_id::text,
                jsonb_build_object('pct', CASE WHEN pct > 100 AND pct <> 'NaN' THEN 100 ELSE 0 END)
            FROM commission_rate WHERE NOT (pct >= 0 AND pct <= 100)
        """,
    ),
)
