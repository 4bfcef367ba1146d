"""The same usage again, in any batches: duplicates are named, and nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest_asyncio
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_cli.ingest.events import ReadableEvents
from apportion_cli.ingest.rows import Row
from apportion_client.services import CALL_TIMEOUT_S
from harness import COMMITTED, DRAIN_TIMEOUT_S, FIRST_EVENTS, FLIGHTS, ScenarioOrgs, System, org_of, rows_of, until

PREFIX = "again-"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sent(system: System) -> AsyncIterator[System]:
    """The shared stack, with the first events of January posted under this file's prefix."""
    await system.apply(FLIGHTS, PREFIX)
    await system.ingest(rows_of(FLIGHTS, FIRST_EVENTS), prefix=PREFIX)
    await system.wait_drained()

    async def paid_out() -> bool:
        return not await system.query("ledger", "SELECT 1 FROM settlement WHERE state = 'pending' LIMIT 1")

    await until(paid_out, DRAIN_TIMEOUT_S, "every payout is made")
    yield system


def request_of(rows: list[Row], prefix: str = PREFIX) -> metering.IngestEventsRequest:
    """One COMMITTED call of rows."""
    request = metering.IngestEventsRequest(acknowledgement=COMMITTED)
    for row in rows:
        ReadableEvents(ScenarioOrgs(prefix), prefix).add(request, row)
    return request


async def commit(system: System, rows: list[Row]) -> metering.IngestEventsResponse:
    """The answer to one COMMITTED call."""
    answer = await system.services.metering.IngestEvents(request_of(rows), timeout=CALL_TIMEOUT_S)
    assert isinstance(answer, metering.IngestEventsResponse)
    return answer


async def test_the_same_file_again_is_all_duplicates_and_adds_no_row(sent: System) -> None:
    before, tables = await sent.digest(), await sent.counts()
    tally, rejections = await sent.ingest(rows_of(FLIGHTS, FIRST_EVENTS), prefix=PREFIX, ack=COMMITTED)
    assert (tally.accepted, tally.duplicates, tally.mismatches, tally.dead_lettered) == (0, FIRST_EVENTS, 0, 0)
    assert rejections == []
    await sent.wait_drained()
    assert await sent.counts() == tables
    assert (await sent.digest()).digest == before.digest


async def test_the_same_scenario_again_changes_nothing(sent: System) -> None:
    before = await sent.table_counts()
    await sent.apply(FLIGHTS, PREFIX)
    assert await sent.table_counts() == before


async def test_a_committed_answer_names_each_duplicate_and_each_mismatch(sent: System) -> None:
    known, other, fresh = rows_of(FLIGHTS, 3)
    changed = other._replace(quantity="2")
    unseen = fresh._replace(request_id="never-sent-before")
    answer = await commit(sent, [known, changed, unseen, unseen])
    assert (answer.accepted_count, answer.duplicate_count, answer.mismatch_count) == (1, 2, 1)
    assert {outcome.index: outcome.outcome for outcome in answer.outcomes} == {
        0: metering.ENTRY_OUTCOME_KIND_DUPLICATE,
        1: metering.ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH,
        3: metering.ENTRY_OUTCOME_KIND_DUPLICATE,
    }
    await sent.wait_drained()
    letters = await sent.dead_letters(org_id=str(org_of(other.org, PREFIX)), reason="PAYLOAD_MISMATCH")
    assert [letter.request_id for letter in letters] == [other.request_id]
    assert letters[0].event.quantity.value == "2"

    again = await commit(sent, [known, changed, unseen, unseen])
    assert again.accepted_count == 0
    await sent.wait_drained()
    assert letters == await sent.dead_letters(org_id=str(org_of(other.org, PREFIX)), reason="PAYLOAD_MISMATCH")


async def test_other_spellings_of_the_same_content_are_duplicates(sent: System) -> None:
    row = rows_of(FLIGHTS, 1)[0]
    spelled = [
        row._replace(quantity="1.0"),
        row._replace(quantity="1.000000000"),
        row._replace(event_time="2013-01-01T05:17:00-05:00"),
        row._replace(event_time="2013-01-01T10:17:00.000000Z"),
    ]
    answer = await commit(sent, spelled)
    assert (answer.accepted_count, answer.duplicate_count, answer.mismatch_count) == (0, len(spelled), 0)


async def test_the_same_id_in_two_organisations_is_two_events(sent: System) -> None:
    row = rows_of(FLIGHTS, 1)[0]._replace(request_id="one-id-for-two")
    answer = await commit(sent, [row._replace(org="UA"), row._replace(org="AA")])
    assert answer.accepted_count == 2
    await sent.wait_drained()
    events: set[str] = set()
    for code in ("UA", "AA"):
        org: UUID = org_of(code, PREFIX)
        status = (await sent.event_statuses(org, ["one-id-for-two"]))["one-id-for-two"]
        assert status.state == metering.EVENT_STATE_POSTED
        events.add(status.event_id)
    assert len(events) == 2


async def test_a_readable_event_and_the_compact_one_that_means_the_same_are_duplicates(sent: System) -> None:
    row = rows_of(FLIGHTS, 1)[0]._replace(request_id="0190f5ae-9c7c-7cc3-98c4-dc0c0c07398f", quantity="2.50")
    readable = await sent.send_in_order([row], size=1, ack=COMMITTED, prefix=PREFIX)
    assert readable.accepted == 1
    compact = await sent.send_in_order([row], size=1, ack=COMMITTED, prefix=PREFIX, compact=True)
    assert (compact.accepted, compact.duplicates, compact.mismatches) == (0, 1, 0)
    changed = row._replace(project="LGA")
    other = await sent.send_in_order([changed], size=1, ack=COMMITTED, prefix=PREFIX, compact=True)
    assert (other.accepted, other.duplicates, other.mismatches) == (0, 0, 1)
    await sent.wait_drained()
