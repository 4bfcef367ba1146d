"""Rows as events: readable ones, or compact ones where the request ids are UUIDs.

What repeats in a file (organisations, projects, times, quantities) is turned into its wire form once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client import naming
from apportion_common.decimals import QUANTITY, QUANTITY_PLACES, parse_scaled
from apportion_common.errors import ApportionError
from apportion_common.ids import format_uuid, parse_uuid_bytes
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_cli.ingest.orgs import OrgIds
from apportion_cli.ingest.rows import FileProblem, Row, RowRejected

CACHED_VALUES: Final = 200_000
"""Different times or quantities that are remembered; then the memory starts afresh."""
SINT64_LIMIT: Final = 1 << 63
MICROSECONDS_PER_S: Final = 1_000_000
NANOSECONDS_PER_US: Final = 1_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6}0*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def time_us(text: str) -> int:
    """Return microseconds since 1970 of an RFC 3339 time. Raises RowRejected TIME_MALFORMED."""
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise RowRejected("TIME_MALFORMED", f"{text[:64]!r} is not a time such as 2013-01-01T10:17:00Z.") from None


class ReadableEvents:
    """Adds rows to a request as UsageEvents."""

    def __init__(self, orgs: OrgIds, prefix: str) -> None:
        """Of these organisations, whose projects' codes stand under a prefix."""
        self._orgs = orgs
        self._prefix = prefix
        self._ids: dict[tuple[str, str], tuple[str, str]] = {}
        self._times: dict[str, Timestamp] = {}

    def add(self, request: metering.IngestEventsRequest, row: Row) -> None:
        """Add a row's event. Raises RowRejected for an unknown organisation and a time that no event can have."""
        _, request_id, org, project, sku, quantity, event_time = row
        ids = self._ids.get((org, project))
        if ids is None:
            ids = self._ids[org, project] = _text_ids(self._orgs, org, project, self._prefix)
        time = self._times.get(event_time)
        if time is None:
            if len(self._times) >= CACHED_VALUES:
                self._times.clear()
            time = self._times[event_time] = _timestamp(time_us(event_time))
        try:
            event = request.events.add(
                org_id=ids[0], project_id=ids[1], sku=sku, request_id=request_id, event_time=time
            )
            event.quantity.value = quantity
        except ValueError:
            raise RowRejected("REQUEST_ID_MALFORMED", "The row holds text that is not Unicode.") from None


class CompactEvents:
    """Adds rows to a request as CompactUsageEvents."""

    def __init__(self, orgs: OrgIds, prefix: str) -> None:
        """Of these organisations, whose projects' codes stand under a prefix."""
        self._orgs = orgs
        self._prefix = prefix
        self._ids: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        self._times: dict[str, int] = {}
        self._quantities: dict[str, tuple[int, int]] = {}

    def add(self, request: metering.IngestEventsRequest, row: Row) -> None:
        """Add a row's event. Raises RowRejected, and FileProblem where the request id is no UUID."""
        _, _, org, project, sku, quantity, event_time = row
        ids = self._ids.get((org, project))
        if ids is None:
            ids = self._ids[org, project] = _binary_ids(self._orgs, org, project, self._prefix)
        time = self._times.get(event_time)
        if time is None:
            if len(self._times) >= CACHED_VALUES:
                self._times.clear()
            time = self._times[event_time] = time_us(event_time)
        number = self._quantities.get(quantity)
        if number is None:
            if len(self._quantities) >= CACHED_VALUES:
                self._quantities.clear()
            number = self._quantities[quantity] = _quantity(quantity)
        request.compact_events.add(
            org_id=ids[0],
            project_id=ids[1],
            request_id=_uuid_bytes(row),
            sku=sku,
            quantity_unscaled=number[0],
            quantity_scale=number[1],
            event_time_us=time,
        )


def _text_ids(orgs: OrgIds, org: str, project: str, prefix: str) -> tuple[str, str]:
    found = naming.project_id(org, project, prefix)
    return str(orgs.id_of(org)), "" if found is None else str(found)


def _binary_ids(orgs: OrgIds, org: str, project: str, prefix: str) -> tuple[bytes, bytes]:
    found = naming.project_id(org, project, prefix)
    return orgs.id_of(org).bytes, b"" if found is None else found.bytes


def _timestamp(microseconds: int) -> Timestamp:
    seconds, rest = divmod(microseconds, MICROSECONDS_PER_S)
    return Timestamp(seconds=seconds, nanos=rest * NANOSECONDS_PER_US)


def _quantity(text: str) -> tuple[int, int]:
    """Return a quantity as (unscaled, scale), with the smallest scale."""
    try:
        unscaled, scale = parse_scaled(text, QUANTITY), QUANTITY_PLACES
    except ApportionError as error:
        raise RowRejected(error.reason, error.message) from None
    while scale and unscaled % 10 == 0:
        unscaled, scale = unscaled // 10, scale - 1
    if not -SINT64_LIMIT <= unscaled < SINT64_LIMIT:
        raise RowRejected("QUANTITY_OUT_OF_RANGE", f"{text[:64]!r} has too many digits for a compact event.")
    return unscaled, scale


def _uuid_bytes(row: Row) -> bytes:
    """Return the request id's 16 bytes: only the one text form that they stand for is the same event."""
    try:
        found = parse_uuid_bytes(row.request_id)
    except ApportionError:
        found = b""
    if not found or format_uuid(found) != row.request_id:
        raise FileProblem(
            f"Row {row.number} has the request id {row.request_id[:64]!r}: compact events need UUIDs in lower-case "
            "hyphenated form. Send the file without --compact."
        )
    return found
