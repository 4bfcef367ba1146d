"""Batches keep an organisation's order, and the checkpoint never passes a row that is not acknowledged."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_cli.ingest.batches import STALE_BATCHES, WORKERS, Batch, Batcher
from apportion_cli.ingest.checkpoint import Checkpoint, Progress
from apportion_cli.ingest.events import ReadableEvents
from apportion_cli.ingest.rows import Row
from derived_orgs import DerivedOrgs

TIME = "2013-01-01T10:17:00Z"
CODES = [f"{letter}{digit}" for letter in "ABCDEFGH" for digit in range(8)]


def rows_of(orgs: list[str]) -> list[Row]:
    return [Row(number, f"r-{number}", org, "", "ACT-SMS", "1", TIME) for number, org in enumerate(orgs, 1)]


Reject = Callable[[Row, str, str], None]


def none(row: Row, reason: str, message: str) -> None:
    """Take no rejection."""
    raise AssertionError(f"Row {row.number} was rejected: {reason}: {message}")


def cut(cutter: Batcher, rows: list[Row], reject: Reject = none) -> Iterator[Batch]:
    yield from cutter.fill(rows, reject)
    yield from cutter.rest()


def batcher(size: int = 10, **more: int) -> Batcher:
    return Batcher(ReadableEvents(DerivedOrgs(), ""), metering.ACKNOWLEDGEMENT_ENQUEUED, size, DerivedOrgs(), **more)


def test_each_row_is_sent_once_and_each_organisation_by_one_worker_in_file_order():
    draw = random.Random(1)
    rows = rows_of([draw.choice(CODES) for _ in range(500)])
    cutter, by_worker = batcher(), defaultdict(list)
    for batch in cut(cutter, rows):
        assert len(batch.rows) == len(batch.request.events) <= 10
        by_worker[batch.worker] += [row.number for row in batch.rows]
    assert sorted(number for numbers in by_worker.values() for number in numbers) == [row.number for row in rows]
    assert len(by_worker) == WORKERS
    workers = defaultdict(set)
    for worker, numbers in by_worker.items():
        assert numbers == sorted(numbers)
        for number in numbers:
            workers[rows[number - 1].org].add(worker)
    assert all(len(found) == 1 for found in workers.values())


def test_the_acknowledged_rows_end_before_the_first_that_waits():
    draw = random.Random(2)
    rows = rows_of([draw.choice("ABCDEFGHIJKL") for _ in range(300)])
    cutter = batcher()
    waiting = defaultdict(list)
    acknowledged: set[int] = set()
    for batch in cut(cutter, rows):
        waiting[batch.worker].append(batch)
        if draw.random() < 0.6:
            oldest = waiting[draw.choice([worker for worker, found in waiting.items() if found])].pop(0)
            cutter.acknowledged(oldest)
            acknowledged.update(row.number for row in oldest.rows)
        assert set(range(1, cutter.acknowledged_rows + 1)) <= acknowledged
    for found in waiting.values():
        for batch in found:
            cutter.acknowledged(batch)
    assert cutter.acknowledged_rows == 300


def test_a_rare_organisation_does_not_hold_the_checkpoint_back():
    common = next(
        code for code in "ABCDEFGHIJKL" if batcher()._batch_of(code).worker != batcher()._batch_of("Z").worker
    )
    cutter = batcher(size=5)
    for batch in cut(cutter, rows_of(["Z", *[common] * 5 * (STALE_BATCHES + 2)])):
        cutter.acknowledged(batch)
        if cutter.rows_read > 5 * (STALE_BATCHES + 2):
            assert cutter.acknowledged_rows > 1


def test_a_row_that_is_no_event_is_passed_over_and_listed():
    rows = rows_of(["A"] * 3)
    rows[1] = rows[1]._replace(event_time="never")
    cutter = batcher(repeat=2)
    rejected: list[tuple[Row, str]] = []
    (batch,) = cut(cutter, rows, lambda row, reason, _: rejected.append((row, reason)))
    assert [row.number for row in batch.rows] == [1, 1, 3, 3]
    assert rejected == [(rows[1], "TIME_MALFORMED")]


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path, "hash", "x-", "127.0.0.1:1")


def test_a_run_that_was_ended_goes_on_where_it_was(checkpoint):
    assert checkpoint.start(resume=True) == 0
    checkpoint.advance(1_000)
    checkpoint.advance(2_000)
    checkpoint.save()
    assert checkpoint.load() == Progress(2_000)
    assert checkpoint.start(resume=True) == 2_000
    assert checkpoint.start(resume=False) == 0


def test_a_resumed_run_that_fails_at_once_forgets_nothing(checkpoint):
    checkpoint.advance(1_000)
    checkpoint.save()
    assert checkpoint.start(resume=True) == 1_000
    checkpoint.save()
    assert checkpoint.start(resume=True) == 1_000


def test_a_finished_file_is_sent_again_from_its_start(checkpoint):
    checkpoint.finish(5)
    assert checkpoint.load() == Progress(5, finished=True)
    assert checkpoint.start(resume=True) == 0


def test_another_file_prefix_or_address_has_a_checkpoint_of_its_own(tmp_path, checkpoint):
    others = [
        Checkpoint(tmp_path, "other", "x-", "127.0.0.1:1"),
        Checkpoint(tmp_path, "hash", "", "127.0.0.1:1"),
        Checkpoint(tmp_path, "hash", "x-", "127.0.0.1:2"),
    ]
    assert len({one.file for one in (checkpoint, *others)}) == 4


def test_a_checkpoint_that_cannot_be_read_is_none(checkpoint):
    checkpoint.save()
    checkpoint.file.write_text('{"acknowledged_rows": ')
    assert checkpoint.load() == Progress()
