"""Rows become events without loss; what can be no event is rejected with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import cast
from uuid import UUID

import pytest
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_cli.ingest.events import CompactEvents, ReadableEvents, time_us
from apportion_cli.ingest.orgs import FoundOrgs
from apportion_cli.ingest.rows import FileProblem, Row, RowRejected
from apportion_client import naming
from apportion_client.services import Services
from derived_orgs import DerivedOrgs
from hypothesis import given
from hypothesis import strategies as st

ID = "0190a6f8-0a6b-7c3d-8e1f-000000000001"
ROW = Row(7, "flight-1", "AA", "EWR", "ACT-DEPARTURE", "1.50", "2013-01-01T10:17:00.000001Z")


def test_a_readable_event_says_what_the_row_says():
    request = metering.IngestEventsRequest()
    ReadableEvents(DerivedOrgs("x-"), "x-").add(request, ROW)
    (event,) = request.events
    assert event.org_id == str(naming.org_id("AA", "x-"))
    assert event.project_id == str(naming.project_id("AA", "EWR", "x-"))
    assert (event.sku, event.quantity.value, event.request_id) == ("ACT-DEPARTURE", "1.50", "flight-1")
    assert event.event_time.ToJsonString() == "2013-01-01T10:17:00.000001Z"


def test_a_compact_event_says_the_same_as_the_readable_one():
    readable, compact = metering.IngestEventsRequest(), metering.IngestEventsRequest()
    row = ROW._replace(request_id=ID, project="")
    ReadableEvents(DerivedOrgs(), "").add(readable, row)
    CompactEvents(DerivedOrgs(), "").add(compact, row)
    (said,), (short,) = readable.events, compact.compact_events
    assert str(UUID(bytes=short.org_id)) == said.org_id
    assert (short.project_id, said.project_id) == (b"", "")
    assert str(UUID(bytes=short.request_id)) == said.request_id == ID
    assert Decimal(short.quantity_unscaled).scaleb(-short.quantity_scale) == Decimal(said.quantity.value)
    assert short.event_time_us == said.event_time.ToMicroseconds()


@pytest.mark.parametrize("org", ["", " ", "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("events", [ReadableEvents, CompactEvents])
@pytest.mark.parametrize("send_unknown", [False, True])
async def test_a_row_of_no_organisation_is_rejected_before_it_is_sent(events, org, send_unknown):
    request = metering.IngestEventsRequest()
    # Nobody is asked about nobody.
    orgs = FoundOrgs(cast(Services, None), "", send_unknown=send_unknown)
    await orgs.learn([org])
    with pytest.raises(RowRejected) as caught:
        events(orgs, "").add(request, ROW._replace(request_id=ID, org=org))
    assert caught.value.reason == "ID_MALFORMED"
    assert (len(request.events), len(request.compact_events)) == (0, 0)


@pytest.mark.parametrize("request_id", ["flight-1", ID.upper(), ID.replace("-", ""), "{" + ID + "}"])
def test_compact_refuses_a_request_id_that_would_be_another_one_as_a_uuid(request_id):
    with pytest.raises(FileProblem, match=r"Row 7 has the request id .* without --compact"):
        CompactEvents(DerivedOrgs(), "").add(metering.IngestEventsRequest(), ROW._replace(request_id=request_id))


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        ("NaN", "QUANTITY_MALFORMED"),
        ("1e400", "QUANTITY_OUT_OF_RANGE"),
        ("0.0000000001", "QUANTITY_TOO_PRECISE"),
        ("12345678901.123456789", "QUANTITY_OUT_OF_RANGE"),
    ],
)
def test_a_quantity_that_no_compact_event_can_say_is_rejected(quantity, reason):
    with pytest.raises(RowRejected) as caught:
        CompactEvents(DerivedOrgs(), "").add(
            metering.IngestEventsRequest(), ROW._replace(request_id=ID, quantity=quantity)
        )
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2013-01-01",
        "2013-01-01T10:17:00",
        "2013-01-01T10:17Z",
        "20130101T101700Z",
        "2013-02-30T00:00:00Z",
        "2013-01-01T10:17:00.1234567Z",
        "2013-01-01T24:00:01Z",
    ],
)
def test_a_time_that_is_none_or_too_fine_is_rejected(text):
    with pytest.raises(RowRejected) as caught:
        ReadableEvents(DerivedOrgs(), "").add(metering.IngestEventsRequest(), ROW._replace(event_time=text))
    assert caught.value.reason == "TIME_MALFORMED"


def test_spellings_of_one_instant_are_one_instant():
    assert len({time_us(text) for text in ("2013-01-01T10:17:00Z", "2013-01-01t11:17:00.000000000+01:00")}) == 1


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_every_instant_is_said_exactly(local, zone):
    instant = local.replace(tzinfo=zone)
    stamp = metering.UsageEvent().event_time
    stamp.FromDatetime(instant.astimezone(UTC).replace(tzinfo=None))
    assert time_us(instant.isoformat()) == stamp.ToMicroseconds()
