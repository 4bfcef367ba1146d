"""Two stacks side by side: equal digests for the same usage however it came, another one for anything that differs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_cli.ingest.rows import Row
from apportion_cli.scenario import Step
from apportion_client import naming
from apportion_common.ids import charge_id, event_id
from harness import COMMITTED, ENQUEUED, FIRST_EVENTS, FLIGHTS, System, org_of, rows_of

BATCHES = "batches-"
CHANGES = "changes-"
BATCHED_EVENTS = 5_000
SEED = 2013

DEARER, MOVED, DROPPED, RESOLD, SHUFFLED, LIKE_BEFORE = "UA", "AA", "DL", "VX", "B6", ("US", "9E", "WN", "EV")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def first(system: System) -> System:
    """The stack that is compared with: both scenarios as they are."""
    for prefix, count in ((BATCHES, BATCHED_EVENTS), (CHANGES, FIRST_EVENTS)):
        await system.apply(FLIGHTS, prefix)
        await system.ingest(rows_of(FLIGHTS, count), prefix=prefix)
    await system.wait_drained()
    return system


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(tmp_path_factory: pytest.TempPathFactory, first: System) -> AsyncIterator[System]:
    """A new stack: one scenario in other batches with every event twice, one with a single thing changed per org."""
    system = await System.start(tmp_path_factory.mktemp("second") / "stack")
    await system.apply(FLIGHTS, BATCHES)
    await _in_other_batches(system)
    await system.apply(FLIGHTS, CHANGES, change=_resold)
    await system.ingest(_changed(rows_of(FLIGHTS, FIRST_EVENTS)), prefix=CHANGES)
    await system.wait_drained()
    yield system
    await system.close()


async def _in_other_batches(system: System) -> None:
    rows = rows_of(FLIGHTS, BATCHED_EVENTS)
    plan = ((1, 500, 1), (7, 700, 1), (333, 1_300, 1), (5_000, 2_500, 2))
    start = 0
    for size, count, repeat in plan:
        part = rows[start : start + count]
        sent = await system.send_in_order(
            part, size=size, ack=COMMITTED if repeat > 1 else ENQUEUED, prefix=BATCHES, repeat=repeat
        )
        assert (sent.accepted, sent.duplicates) == (count, (repeat - 1) * count)
        start += count
    again = await system.send_in_order(rows[:2_500], size=1_000, ack=COMMITTED, prefix=BATCHES)
    assert again.duplicates == 2_500


def _miles(rows: list[Row], org: str) -> Row:
    """A row in the middle of an organisation's miles, which are priced each for itself."""
    found = [row for row in rows if (row.org, row.sku) == (org, "OBJ-MILE")]
    return found[len(found) // 2]


def _changed(rows: list[Row]) -> list[Row]:
    dearer, moved, dropped = (_miles(rows, org) for org in (DEARER, MOVED, DROPPED))
    changed = {
        dearer.number: dearer._replace(quantity=str(int(dearer.quantity) + 1)),
        moved.number: moved._replace(project="ELSEWHERE"),
    }
    rest = [changed.get(row.number, row) for row in rows if row.number != dropped.number]
    mixed = [row for row in rest if row.org == SHUFFLED]
    random.Random(SEED).shuffle(mixed)
    return [row for row in rest if row.org != SHUFFLED] + mixed


def _resold(steps: list[Step]) -> list[Step]:
    """Another partner of record for one organisation."""
    subject = str(org_of(RESOLD, CHANGES))
    request = next(
        step.request
        for step in steps
        if isinstance(step.request, ledger.AssignPartnerOfRecordRequest) and step.request.subject_id == subject
    )
    request.partner_id = str(naming.partner_id("harbour"))
    return steps


async def _differences(first: System, second: System, code: str) -> list[ledger.LineDifference]:
    org = org_of(code, CHANGES)
    assert (await first.digest(org=org)).digest != (await second.digest(org=org)).digest
    return await second.differences(await first.line_digests(org=org), org=org)


def _charge(row: Row) -> str:
    return str(UUID(bytes=charge_id(event_id(org_of(row.org, CHANGES).bytes, row.request_id), "usage")))


async def test_other_batch_sizes_and_every_event_twice_give_the_same_digest(first: System, second: System) -> None:
    lines = 0
    for code in sorted({row.org for row in rows_of(FLIGHTS, BATCHED_EVENTS)}):
        org: UUID = org_of(code, BATCHES)
        one, other = await first.digest(org=org), await second.digest(org=org)
        assert one.digest == other.digest, code
        assert one.coarse_digest == other.coarse_digest, code
        assert await second.differences(await first.line_digests(org=org), org=org) == []
        lines += other.line_count
    assert lines == BATCHED_EVENTS


async def test_what_did_not_change_has_the_same_digest_beside_what_did(first: System, second: System) -> None:
    for code in LIKE_BEFORE:
        org = org_of(code, CHANGES)
        assert (await first.digest(org=org)).digest == (await second.digest(org=org)).digest, code


async def test_one_other_quantity_gives_another_digest_and_the_diff_names_the_line(
    first: System, second: System
) -> None:
    row = _miles(rows_of(FLIGHTS, FIRST_EVENTS), DEARER)
    [difference] = await _differences(first, second, DEARER)
    assert difference.kind == ledger.DIFFERENCE_KIND_DIFFERENT
    assert difference.charge_id == _charge(row)
    assert difference.line.quantity.value == str(int(row.quantity) + 1)
    org = org_of(DEARER, CHANGES)
    assert (await first.digest(org=org)).coarse_digest != (await second.digest(org=org)).coarse_digest


async def test_one_other_project_gives_another_digest_and_the_diff_names_the_line(
    first: System, second: System
) -> None:
    row = _miles(rows_of(FLIGHTS, FIRST_EVENTS), MOVED)
    [difference] = await _differences(first, second, MOVED)
    assert difference.kind == ledger.DIFFERENCE_KIND_DIFFERENT
    assert difference.charge_id == _charge(row)
    assert difference.line.project_id == str(naming.project_id(MOVED, "ELSEWHERE", CHANGES))


async def test_one_event_less_gives_another_digest_and_the_diff_names_it_as_missing(
    first: System, second: System
) -> None:
    row = _miles(rows_of(FLIGHTS, FIRST_EVENTS), DROPPED)
    [difference] = await _differences(first, second, DROPPED)
    assert difference.kind == ledger.DIFFERENCE_KIND_MISSING
    assert difference.charge_id == _charge(row)
    org = org_of(DROPPED, CHANGES)
    [extra] = await first.differences(await second.line_digests(org=org), org=org)
    assert extra.kind == ledger.DIFFERENCE_KIND_EXTRA
    assert extra.charge_id == _charge(row)


async def test_another_partner_of_record_gives_another_digest_and_the_diff_names_every_line_of_its_organisation(
    first: System, second: System
) -> None:
    rows = [row for row in rows_of(FLIGHTS, FIRST_EVENTS) if row.org == RESOLD]
    differences = await _differences(first, second, RESOLD)
    assert {difference.charge_id for difference in differences} == {_charge(row) for row in rows}
    assert {difference.line.partner_id for difference in differences} == {str(naming.partner_id("harbour"))}
    org = org_of(RESOLD, CHANGES)
    assert (await first.digest(org=org)).coarse_digest == (await second.digest(org=org)).coarse_digest


async def test_shuffled_events_give_the_same_gross_per_organisation_sku_and_period(
    first: System, second: System
) -> None:
    org = org_of(SHUFFLED, CHANGES)
    one, other = await first.digest(org=org), await second.digest(org=org)
    assert one.coarse_digest == other.coarse_digest
    assert list(one.gross) == list(other.gross)
    # The units of a graduated price fell to other events, so the order was really another.
    assert one.digest != other.digest
    assert one.line_count == other.line_count


async def test_the_whole_digest_differs_where_a_part_does(first: System, second: System) -> None:
    assert (await first.digest()).digest != (await second.digest()).digest
