"""Existing events get the keys by which an event counts once, so that one that is sent again is known.

A key is what the writer would have made of the same event: its content hash is of the row's organisation, project,
SKU, quantity, time and metadata, all of which stood before the plan. Labels are texts now: of older metadata a text
stands as it is, other values as JSON writes them, and what is null or no object is no label. A producer that spells
such a label otherwise is told PAYLOAD_MISMATCH; the first event stands either way.

The key names the event's old id, the lane of its organisation, and places before the lane's first: so it counts
as posted, and no lane takes it up. An event at no finite time gets none: intake would refuse it. The writer knows of
the events only by these keys: the flag `metering` opens after this migration is done.
"""

from __future__ import annotations

from typing import Final

from apportion_common.decimals import QUANTITY_PLACES
from apportion_common.ids import lane_of
from apportion_metering.domain.content import content_hash
from apportion_migrate.data import CHUNK_ROWS, ChunkResult, Key, in_page, next_page
from sqlalchemy import Connection, text

# What came before the lanes lies in the default partition, in no lane: there it has an index by its id.
OF_BEFORE: Final = "e.lane < 0 AND isfinite(e.event_time)"

COUNT: Final = text(
    f"""
    SELECT count(*) FROM metering_event_default AS e WHERE {OF_BEFORE} AND NOT EXISTS (
        SELECT FROM metering_event_key AS k WHERE k.org_id = e.org_id AND k.request_id = e.request_id
    )
    """
)
# An id may stand twice; its rows are in one page, the earliest first.
EVENTS: Final = text(
    f"""
    SELECT e.org_id, e.request_id, e.event_id, e.project_id, e.sku,
        (e.quantity * 1e{QUANTITY_PLACES})::numeric(27, 0) AS quantity,
        (extract(epoch FROM e.event_time) * 1000000)::bigint AS event_time_us,
        CASE WHEN jsonb_typeof(e.metadata) = 'object' THEN (
            SELECT jsonb_object_agg(l.key, l.value) FROM jsonb_each_text(e.metadata) AS l WHERE l.value IS NOT NULL
        ) END AS labels
    FROM metering_event_default AS e
    WHERE {in_page("e.event_id")} AND {OF_BEFORE}
    ORDER BY e.event_id, e.event_time
    """
)
KEYS: Final = text(
    """
    INSERT INTO metering_event_key (org_id, request_id, content_hash, event_id, lane, pos, seq)
    SELECT org_id, request_id, content_hash, event_id, lane, 0, 0
    FROM unnest(CAST(:orgs AS uuid[]), CAST(:requests AS text[]), CAST(:hashes AS bytea[]), CAST(:events AS uuid[]),
        CAST(:lanes AS smallint[])) AS made (org_id, request_id, content_hash, event_id, lane)
    ON CONFLICT (org_id, request_id) DO NOTHING
    """
)


class EventKeys:
    """Fills `metering_event_key` for the events that stood before the plan."""

    name = "event_keys"
    service = "metering"
    after_revision = "20250920_04_metering_events"
    chunk_rows = CHUNK_ROWS

    def count(self, connection: Connection) -> int:
        """Return how many existing events have an id that no key claims."""
        return int(connection.execute(COUNT).scalar_one())

    def chunk(self, connection: Connection, after_key: Key | None) -> ChunkResult:
        """Make the keys of the next events; a key is an event's own record, so there is no audit entry beside it."""
        page = next_page(connection, "metering_event_default", "event_id", after_key, self.chunk_rows)
        if page is None:
            return ChunkResult(None, 0)
        found = connection.execute(EVENTS, page).all()
        lanes = {org_id: lane_of(org_id.bytes) for org_id in {event.org_id for event in found}}
        made = {
            "orgs": [event.org_id for event in found],
            "requests": [event.request_id for event in found],
            "hashes": [
                content_hash(
                    event.org_id.bytes,
                    event.project_id.bytes if event.project_id else b"",
                    event.sku,
                    int(event.quantity),
                    event.event_time_us,
                    event.labels or {},
                )
                for event in found
            ],
            "events": [event.event_id for event in found],
            "lanes": [lanes[event.org_id] for event in found],
        }
        return ChunkResult(page["last"], connection.execute(KEYS, made).rowcount if found else 0)


MIGRATION: Final = EventKeys()
