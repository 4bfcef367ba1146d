"""A worker that was stopped for longer than its lease cannot write, and cannot publish, once it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from apportion_cli.ingest.rows import Row
from harness import COMMITTED, ENQUEUED, FLIGHTS, System, until
from kill_world import (
    PUBLISHERS,
    SERVICE_ENV,
    Books,
    JsonLine,
    Table,
    books_of,
    cut,
    events_said,
    first_rows,
    is_whole,
    said_since,
    send_slice,
    settled,
    streams_are_whole,
    sweep,
)

LEASE_S: Final = 2
SEEN_WITHIN_S: Final = 40.0
STOPPED: Final = "T"
PLACES: Final = ("before_execute", "after_execute", "after_commit")
"""Before the transaction, inside it holding the lane's row, and committed but not yet published."""
CALL_EVENTS: Final = 20
REPLICA: Final = "two"
FAIR_SHARE: Final = 14
"""Of 32 lanes and two workers; not quite half, because lanes change hands one by one."""


async def test_a_worker_stopped_for_longer_than_its_lease_cannot_write(
    new_system, clean: Books, table: Table, tmp_path: Path
):
    system: System = await new_system(service_env=SERVICE_ENV, lease_s=LEASE_S)
    await system.apply(FLIGHTS)
    rows = first_rows()
    parts = cut(rows, len(PLACES) + 1)
    sent = 0
    for place, part in zip(PLACES, parts, strict=False):
        await stop_at(system, place, part, table, tmp_path / place)
        sent += len(part)
        await is_whole(system, sent)
    await stop_anywhere(system, parts[-1], table)
    await sweep(system, "after")
    await settled(system)
    await is_whole(system, len(rows))
    await streams_are_whole(system)
    assert await books_of(system) == clean


async def stop_at(system: System, place: str, rows: Sequence[Row], table: Table, gate: Path) -> None:
    """Replicas of the three money services stop at a place of a lane; the others take over; the stopped go on."""
    points = {service: f"{role}.{place}:1:stop@{gate}" for service, role in PUBLISHERS.items()}
    replicas = await start_replicas(system, points)
    await asyncio.to_thread(gate.touch)
    first, second = cut(rows, 2)
    await send_slice(system, first, ENQUEUED, size=CALL_EVENTS)
    await asyncio.gather(*(wait_stopped(system, name) for name in replicas.values()))
    # Everything is posted although half of the lanes' owners stand still: their lanes were taken over.
    await send_slice(system, second, ENQUEUED, size=CALL_EVENTS)
    await system.wait_drained()
    for service, name in replicas.items():
        role = PUBLISHERS[service]
        start = len(system.log(name))
        words = [line for line in said_since(system, name) if "fail_point" in line][-1]
        assert words["fail_point"] == f"{role}.{place}"
        lane = words["lane"]
        mine = events_said(said_since(system, name), "lane.acquired", role=role, lane=lane)[-1]["epoch"]
        await asyncio.to_thread(system.stack.resume, name)
        [(epoch,)] = await system.query(service, "SELECT epoch FROM lane WHERE role = %s AND lane = %s", role, lane)
        assert epoch > mine
        refused = await refused_lines(system, name, role, lane, place, start)
        table.add(
            f"SIGSTOP {role}.{place}",
            f"lane {lane}, epoch {mine}, taken over as {epoch}",
            f"{refused['event']}: {refused.get('error', refused.get('batch_seq', ''))}"[:80],
        )
    await settled(system)
    for name in replicas.values():
        await system.kill(name)


async def refused_lines(system: System, name: str, role: str, lane: int, place: str, start: int) -> JsonLine:
    """What a worker that goes on says of the lane that it had: how its write, or its publish, was refused."""
    wanted = {"before_execute": "lane.fenced", "after_execute": "lane.retry", "after_commit": "lane.publish.refused"}

    async def refused() -> JsonLine | None:
        lines = said_since(system, name, start)
        return next(iter(events_said(lines, wanted[place], role=role, lane=lane)), None)

    line = await until(refused, SEEN_WITHIN_S, f"{name} says {wanted[place]}")
    if place == "before_execute":
        metrics = await system.metrics(name)
        assert metrics[f'apportion_lane_fenced_total{{role="{role}"}}'] > 0
    return line


async def stop_anywhere(system: System, rows: Sequence[Row], table: Table) -> None:
    """The first processes are stopped wherever they are, replicas take over; metering's own replica is the stopped."""
    replicas = await start_replicas(system, dict.fromkeys(PUBLISHERS, ""))
    paused = {"metering": replicas["metering"], "pricing": "pricing", "ledger": "ledger"}
    first, second = cut(rows, 2)
    sending = asyncio.create_task(send_slice(system, first, ENQUEUED, size=CALL_EVENTS))
    await asyncio.sleep(0)
    epochs = {service: await epochs_of(system, service) for service in paused}
    marks = {name: len(system.log(name)) for name in paused.values()}
    for name in paused.values():
        await asyncio.to_thread(system.stack.pause, name)
    await sending
    await system.wait_drained()
    taken = {}
    for service in paused:
        now = await epochs_of(system, service)
        taken[service] = sum(epoch > epochs[service][lane] for lane, epoch in now.items())
        assert taken[service] > 0
    for name in paused.values():
        await asyncio.to_thread(system.stack.resume, name)
    await send_slice(system, second, COMMITTED, size=CALL_EVENTS)
    await settled(system)
    for service, name in paused.items():

        async def noticed(name: str = name) -> list[JsonLine]:
            lines = said_since(system, name, marks[name])
            return events_said(lines, "lane.lost") + events_said(lines, "lane.fenced")

        lost = await until(noticed, SEEN_WITHIN_S, f"{name} notices that it lost lanes")
        table.add(
            f"SIGSTOP {name} in mid-load",
            f"{taken[service]} lanes taken over",
            f"{len(events_said(lost, 'lane.fenced'))} lanes fenced, {len(events_said(lost, 'lane.lost'))} lost",
        )


async def start_replicas(system: System, points: Mapping[str, str]) -> dict[str, str]:
    """A second process of each service, armed with its point, that has its share of the lanes; gives their names."""

    async def start(service: str, point: str) -> str:
        name = f"{service}-{REPLICA}"
        if name in system.stack.processes:
            await system.start_again(name, FAIL_POINT=point)
        else:
            await asyncio.to_thread(system.stack.start_replica, service, REPLICA, {"FAIL_POINT": point})
        label = f'apportion_lane_owned{{role="{PUBLISHERS[service]}"}}'

        async def shares() -> bool:
            return (await system.metrics(name)).get(label, 0) >= FAIR_SHARE

        await until(shares, SEEN_WITHIN_S, f"{name} has its share of the lanes")
        return name

    names = await asyncio.gather(*(start(service, point) for service, point in points.items()))
    return dict(zip(points, names, strict=True))


async def wait_stopped(system: System, name: str) -> None:
    """Wait until a process stands still."""
    pid = system.stack.state().pids[name]

    async def stopped() -> bool:
        status = await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)
        return status.rpartition(")")[2].split()[0] == STOPPED

    await until(stopped, SEEN_WITHIN_S, f"{name} has stopped itself")


async def epochs_of(system: System, service: str) -> dict[int, int]:
    """The epoch of each lane of a service's main role."""
    return dict(await system.query(service, "SELECT lane, epoch FROM lane WHERE role = %s", PUBLISHERS[service]))  # type: ignore[arg-type]
