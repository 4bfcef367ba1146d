"""A toy role for the lane tests: numbers come in, each is written once with its number in the lane."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from apportion_common.db.tables import LANE_DDL, LANE_PARTS_DDL
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.lanes import (
    LaneMessage,
    LaneOutcome,
    LaneOutput,
    LanePosition,
    LaneRunner,
    LaneWork,
    StreamInput,
    StreamOutput,
)
from nats.aio.client import Client

SOURCE = StreamInput("TOY_IN", "toy.in")
OUTPUT = StreamOutput("TOY_OUT", "toy.out")
MAX_WEIGHT = 50


@dataclass
class Numbers:
    """What a toy message holds: numbers, and the batch number where it comes from a role before."""

    values: list[int]
    batch_seq: int | None = None
    part: int = 0
    part_count: int = 1


@dataclass
class ToyProcessor:
    """Writes each number with its place; raises where a test wants it to.

    `part_values` cuts what goes out into parts of so many numbers, `padding` makes each part larger.
    """

    poison: set[int] = field(default_factory=set)
    pause_before_commit: asyncio.Event | None = None
    forgotten: list[int] = field(default_factory=list)
    together: list[list[int]] = field(default_factory=list)
    """The lanes of each transaction that was tried."""
    max_weight: int = MAX_WEIGHT
    part_values: int = 0
    padding: int = 0

    def decode(self, data: bytes) -> tuple[Numbers, int]:
        content = json.loads(data)
        numbers = Numbers(content["values"], content.get("pos"), content.get("part", 0), content.get("parts", 1))
        return numbers, len(numbers.values)

    def batch_seq_of(self, value: Numbers) -> int | None:
        return value.batch_seq

    def part_of(self, value: Numbers) -> tuple[int, int]:
        return value.part, value.part_count

    def join(self, values: Sequence[Numbers]) -> Numbers:
        return Numbers([number for value in values for number in value.values], values[0].batch_seq)

    async def forget(self, lane: int) -> None:
        self.forgotten.append(lane)

    async def process(self, tx: Transaction, work: Sequence[LaneWork[Numbers]]) -> list[LaneOutcome]:
        self.together.append([position.lane for position, _ in work])
        outcomes = []
        for position, messages in work:
            values = [value for message in messages for value in message.value.values]
            if self.poison.intersection(values):
                raise ValueError("A number that cannot be written.")
            outcomes.append(await self._write(tx, position, messages, values))
        return outcomes

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[Numbers], error: Exception
    ) -> LaneOutcome:
        good = [value for value in message.value.values if value not in self.poison]
        return await self._write(tx, position, [message], good)

    async def _write(
        self,
        tx: Transaction,
        position: LanePosition,
        messages: Sequence[LaneMessage[Numbers]],
        values: list[int],
    ) -> LaneOutcome:
        batch_seq = messages[-1].value.batch_seq or position.batch_seq + 1
        for offset, value in enumerate(values):
            await tx.execute(
                "INSERT INTO applied (lane, pos, seq, value) VALUES (:lane, :pos, :seq, :value)",
                {"lane": position.lane, "pos": batch_seq, "seq": position.next_entry_seq + offset, "value": value},
            )
        if self.pause_before_commit:
            await self.pause_before_commit.wait()
        outputs = self._outputs(batch_seq, values)
        return LaneOutcome(outputs, batch_seq, position.next_entry_seq + len(values))

    def _outputs(self, batch_seq: int, values: list[int]) -> list[LaneOutput]:
        size = self.part_values or len(values) or 1
        parts = [values[start : start + size] for start in range(0, len(values), size)] or [[]]
        return [
            LaneOutput(
                batch_seq,
                json.dumps(
                    {
                        "values": part,
                        "pos": batch_seq,
                        "part": index,
                        "parts": len(parts),
                        "padding": " " * self.padding,
                    }
                ).encode(),
                index,
                len(parts),
            )
            for index, part in enumerate(parts)
        ]


async def make_tables(database: Database) -> None:
    """Make the lane tables and the toy's own; its value is unique, so a number written twice shows."""
    async with database.transaction() as tx:
        for statement in (*LANE_DDL, *LANE_PARTS_DDL):
            await tx.execute(statement)
        await tx.execute(
            "CREATE TABLE applied (lane int, pos bigint, seq bigint, value bigint, PRIMARY KEY (lane, seq))"
        )


async def make_streams(client: Client) -> None:
    """Make the toy's streams anew."""
    js = client.jetstream()
    for name, subjects in (("TOY_IN", ["toy.in.*"]), ("TOY_OUT", ["toy.out.*"])):
        with contextlib.suppress(Exception):
            await js.delete_stream(name)
        await js.add_stream(name=name, subjects=subjects)


async def send(
    client: Client, lane: int, values: list[int], batch_seq: int | None = None, part: int = 0, parts: int = 1
) -> None:
    """Put one message on a lane."""
    content = {"values": values, "pos": batch_seq, "part": part, "parts": parts}
    await client.jetstream().publish(f"toy.in.{lane}", json.dumps(content).encode())


def runner(
    database: Database,
    client: Client,
    processor: ToyProcessor,
    *,
    worker: str = "one",
    lanes: int = 2,
    lease_s: float = 1.5,
) -> LaneRunner[Numbers]:
    """A runner of the toy role."""
    return LaneRunner(
        database,
        client,
        role="toy",
        source=SOURCE,
        output=OUTPUT,
        processor=processor,
        worker_id=worker,
        lease_s=lease_s,
        lanes=lanes,
    )


PATIENCE_S = 60.0
"""For what is sure to come; only a failure takes that long."""


@contextlib.asynccontextmanager
async def running(lane_runner: LaneRunner[Numbers]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a runner for the length of a block and stop it as a service would."""
    stop = asyncio.Event()
    task = asyncio.create_task(lane_runner.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


async def applied(database: Database, lane: int) -> list[int]:
    """The lane's numbers in the order of their places; places must have no gap."""
    async with database.read() as connection:
        rows = list(
            await connection.exec_driver_sql(
                "SELECT seq, value FROM applied WHERE lane = %(lane)s ORDER BY seq", {"lane": lane}
            )
        )
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return [row.value for row in rows]


async def until(condition: object, seconds: float = PATIENCE_S) -> None:
    """Wait until an async condition holds; fail loudly when it never does."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():  # type: ignore[operator]
        assert asyncio.get_running_loop().time() < deadline, "The awaited state never came."
        await asyncio.sleep(0.02)


async def published_parts(client: Client, lane: int) -> list[tuple[int, str, list[int]]]:
    """What stands on a lane's way out: (pos, part as its header says, numbers) in stream order."""
    js = client.jetstream()
    info = await js.stream_info("TOY_OUT")
    found = []
    for entry_seq in range(1, info.state.last_seq + 1):
        message = await js.get_msg("TOY_OUT", entry_seq)
        if message.subject == f"toy.out.{lane}":
            content = json.loads(message.data or b"")
            found.append((content["pos"], (message.headers or {})["Apportion-Batch-Part"], content["values"]))
    return found


async def published(client: Client, lane: int) -> list[tuple[int, list[int]]]:
    """What stands on a lane's way out: (pos, numbers) in stream order."""
    js = client.jetstream()
    info = await js.stream_info("TOY_OUT")
    found = []
    for entry_seq in range(1, info.state.last_seq + 1):
        message = await js.get_msg("TOY_OUT", entry_seq)
        if message.subject == f"toy.out.{lane}":
            content = json.loads(message.data or b"")
            found.append((content["pos"], content["values"]))
    return found
