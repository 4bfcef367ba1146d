"""Rows that are not taken are neither lost nor doubled, whenever a run is killed, and can be mended and sent."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import random
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.metering.v1 import metering_service_pb2_grpc as metering_grpc
from apportion_cli.ingest.checkpoint import Checkpoint
from apportion_cli.ingest.row_log import RowLog
from apportion_cli.ingest.rows import COLUMNS, FileProblem, Row, read_rows

TIME = "2013-01-01T10:17:00Z"
ROWS = 1_200
KILLS = 6
ROW = Row(1, "r-1", "A", "", "bad", "1", 'a time\nwith a break, and a " quote')
SEND = f"""
import asyncio, itertools, pathlib, sys, types
sys.path.append({str(Path(__file__).parent)!r})
import grpc
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.metering.v1 import metering_service_pb2_grpc as stubs
from apportion_cli.display import Bar
from apportion_cli.ingest.batches import Batcher
from apportion_cli.ingest.checkpoint import Checkpoint
from apportion_cli.ingest.events import ReadableEvents
from apportion_cli.ingest.rows import read_rows
from apportion_cli.ingest.sender import send
from derived_orgs import DerivedOrgs

async def main(folder, file, copy, address):
    checkpoint = Checkpoint(folder, "file", "", "here")
    skipped = checkpoint.start(True, copy)
    orgs = DerivedOrgs()
    batcher = Batcher(ReadableEvents(orgs, ""), metering.ACKNOWLEDGEMENT_COMMITTED, 10, orgs, skipped_rows=skipped)
    rows = itertools.islice(read_rows(file), skipped, None)
    async with grpc.aio.insecure_channel(address) as channel:
        services = types.SimpleNamespace(metering=stubs.MeteringServiceStub(channel))
        print("sends", flush=True)
        await send(services, rows, batcher, checkpoint, Bar("ingest", None, "events", None))

*files, address = sys.argv[1:]
asyncio.run(main(*map(pathlib.Path, files), address))
"""


class Intake(metering_grpc.MeteringServiceServicer):
    """Rejects one kind of SKU, dead-letters another, and calls what came before a duplicate."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    async def IngestEvents(  # noqa: N802
        self, request: metering.IngestEventsRequest, context: Any
    ) -> metering.IngestEventsResponse:
        await asyncio.sleep(0.01)
        answer = metering.IngestEventsResponse()
        for index, event in enumerate(request.events):
            if event.sku == "bad":
                answer.rejections.add(index=index, reason="SKU_MALFORMED", message='No "SKU",\nat all.')
            elif event.sku == "OTHER":
                answer.outcomes.add(index=index, outcome=metering.ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH)
            elif event.request_id in self.seen:
                answer.outcomes.add(index=index, outcome=metering.ENTRY_OUTCOME_KIND_DUPLICATE)
            self.seen.add(event.request_id)
        return answer


@pytest.fixture
async def intake():
    server, servicer = grpc.aio.server(), Intake()
    metering_grpc.add_MeteringServiceServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield servicer
    await server.stop(None)


def written(file) -> list[Row]:
    """The rows of a log, in its order, with the numbers that they had in the file that was sent."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [Row(int(line["row"]), *(line[name] for name in COLUMNS)) for line in csv.DictReader(stream)]


async def test_no_rejected_row_is_missing_or_doubled_though_the_run_was_killed_again_and_again(intake, tmp_path):
    draw = random.Random(7)
    skus, times = ("ACT-SMS", "ACT-SMS", "bad", "OTHER"), (TIME, TIME, TIME, "never")
    rows = [
        Row(n, f"r-{n:05d}", draw.choice("ABCDEFGHIJKL"), "", draw.choice(skus), "1", draw.choice(times))
        for n in range(1, ROWS + 1)
    ]
    usage, copy = tmp_path / "usage.csv", tmp_path / "rejected.csv"
    with usage.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *(row[1:] for row in rows)])

    async def run(kill: bool) -> int:
        command = ("-c", SEND, str(tmp_path), str(usage), str(copy), intake.address)
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            await process.stdout.readline()
            if kill:
                await asyncio.sleep(draw.uniform(0, 0.4))
                # It may have ended by itself meanwhile.
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.communicate()
        return process.returncode or 0

    ended = [await run(kill=True) for _ in range(KILLS)]
    assert any(ended), "No run was killed on its way."
    checkpoint = Checkpoint(tmp_path, "file", "", "here")
    if not checkpoint.load().finished:
        assert await run(kill=False) == 0
    wrong = [row for row in rows if row.event_time == "never" or row.sku == "bad"]
    assert written(copy) == written(checkpoint.rejected.file) == wrong
    other = [row for row in rows if row not in wrong and row.sku == "OTHER"]
    assert written(checkpoint.dead_lettered.file) == other


def log_of(tmp_path, *numbers: int) -> RowLog:
    log = RowLog(tmp_path / "log.csv")
    log.add([(ROW._replace(number=number), "SKU_MALFORMED", 'No\n"SKU".') for number in numbers])
    log.sync()
    log.close()
    return log


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_record_that_was_cut_at_any_byte_is_dropped_and_the_ones_before_it_stay(tmp_path, kept):
    whole = log_of(tmp_path, 1, 2, 3).file.read_bytes()
    ends = [len(log_of(tmp_path / str(count), *range(1, count + 1)).file.read_bytes()) for count in range(1, 4)]
    for cut in range(len(whole)):
        (tmp_path / "log.csv").write_bytes(whole[:cut])
        there = sum(end <= cut for end in ends)
        log = RowLog(tmp_path / "log.csv")
        assert log.start(kept) == min(kept, there)
        log.add([(ROW._replace(number=9), "LATER", "x")])
        assert [one.row for one in log.first(9)] == [*range(1, min(kept, there) + 1), 9]
        log.close()


def test_rejected_rows_can_be_mended_and_sent_as_they_are_and_keep_their_order(tmp_path):
    log = log_of(tmp_path, 3, 1, 2)
    log.add([(ROW._replace(number=1), "AGAIN", "It is there.")])
    log.finish()
    sent = list(read_rows(log.file))
    assert [row[1:] for row in sent] == [ROW[1:]] * 3
    assert [row.number for row in written(log.file)] == [1, 2, 3]


def test_text_that_is_not_unicode_does_not_end_the_run_that_rejects_it(tmp_path):
    log = RowLog(tmp_path / "log.csv")
    log.add([(ROW._replace(request_id="\ud800"), "REQUEST_ID_MALFORMED", "x")])
    log.finish()
    (row,) = read_rows(log.file)
    assert row.request_id == "\\ud800"


def test_a_file_of_something_else_is_not_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("What I must not forget.")
    with pytest.raises(FileProblem, match="is no list of rejected rows"):
        RowLog(tmp_path / "log.csv").start(0, tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "What I must not forget."
