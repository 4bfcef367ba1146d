"""What could be in the way of metering's revisions, asked of the rows that stood before the plan."""

from __future__ import annotations

from typing import Final

from apportion_migrate.preflight import Check, invalid_rows
from apportion_migrate.resolve import Fix

CHECKS: Final = (
    Check(
        name="duplicate_request_ids",
        asks="Did an organisation send two events under one request id?",
        sql="""
            SELECT 'org ' || org_id || ', request ' || request_id AS key,
                array_agg(event_id::text ORDER BY event_time, event_id) AS ids, count(*) AS rows
            FROM metering_event GROUP BY org_id, request_id HAVING count(*) > 1
        """,
        suggestion="Keep the first; delete what repeats it, and give what differs from it a request id of its own.",
        resolve="duplicate-request-ids",
        tables=("metering_event",),
        guards=("pk_metering_event_key",),
    ),
    invalid_rows(
        "metering_event",
        name="quantities",
        row_id="event_id",
        shown="'org ' || org_id || ', sku ' || sku",
        valid="quantity <> 'NaN'::numeric",
        asks="Is the quantity of an event no number?",
        suggestion="Correct or delete the event by hand.",
        guards=("ck_metering_event_quantity_finite",),
    ),
)

FIXES: Final = (
    Fix(
        name="duplicate-request-ids",
        checks=("duplicate_request_ids",),
        table="metering_event",
        says="Deletes what repeats an event word for word, and gives what differs from the first an id of its own.",
        sql="""
            SELECT ctid, event_id::text, CASE
                WHEN twin = 1 THEN jsonb_build_object('request_id', request_id || ':' || right(event_id::text, 12))
            END FROM (
                SELECT ctid, event_id, request_id,
                    row_number() OVER (PARTITION BY org_id, request_id ORDER BY event_time, event_id) AS place,
                    row_number() OVER (
                        PARTITION BY org_id, request_id, project_id, sku, quantity, event_time, metadata
                        ORDER BY event_id
                    ) AS twin
                FROM metering_event
            ) AS placed WHERE place > 1
        """,
    ),
)
