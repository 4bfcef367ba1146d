"""Latency from IngestEvents to the posted line, under a load that does not wait for answers.

Calls go out by the clock, CALLS_A_SECOND of them, whatever has become of those before, so that a stall of the product
shows in every call that was due during it. An event's time begins when its call was due. It ends twice: when the
ledger's row was made (the commit of its batch follows), and when metering has been told by the ledger's receipt that
the line is committed. The truth of "posted" lies between the two. One machine, one clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import grpc
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceStub
from apportion_cli.ingest.events import ReadableEvents
from apportion_cli.ingest.rows import Row as UsageRow
from apportion_client.failures import retry_until_available
from apportion_client.settings import client_settings
from apportion_common.ids import event_id

from benchmarks import month
from benchmarks.figures import Figures, percentile
from benchmarks.measure import Bench, Outcome, lost_and_doubled, now_of, problems_of
from benchmarks.stack import POSTED_RECEIPTS, POSTER, WRITER, Stack

CALLS_A_SECOND: Final = 50
CALL_TIMEOUT_S: Final = 60.0
SEND_TIMEOUT_S: Final = 1_800
"""For all calls and their answers; nothing is measured any more after that."""
SHARES: Final = {"p50": 0.5, "p99": 0.99}


@dataclass(slots=True)
class Sender:
    """Calls with the instants at which they were due, went out and were answered (seconds since 1970)."""

    requests: list[metering.IngestEventsRequest]
    due: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    retried: int = 0

    async def send(self, address: str, ca_file: Path, token_file: Path) -> None:
        """Send every call when it is due, and wait for all answers."""
        credentials = grpc.ssl_channel_credentials(await asyncio.to_thread(ca_file.read_bytes))
        token = (await asyncio.to_thread(token_file.read_text)).strip()
        metadata = grpc.aio.Metadata(("authorization", f"Bearer {token}"))
        async with grpc.aio.secure_channel(address, credentials) as channel:
            stub = MeteringServiceStub(channel)

            def note(_: str) -> None:
                self.retried += 1

            async def call(request: metering.IngestEventsRequest, due: float) -> None:
                # As the client does: sending the same events again is safe, and their time goes on.
                await retry_until_available(
                    lambda: stub.IngestEvents(request, metadata=metadata, timeout=CALL_TIMEOUT_S), note
                )
                self.answered.append(time.time() - due)

            await channel.channel_ready()
            begin = time.time() + 0.1
            async with asyncio.timeout(SEND_TIMEOUT_S), asyncio.TaskGroup() as group:
                for number, request in enumerate(self.requests):
                    due = begin + number / CALLS_A_SECOND
                    await asyncio.sleep(max(due - time.time(), 0.0))
                    self.due.append(due)
                    self.late.append(time.time() - due)
                    group.create_task(call(request, due))


def measure(bench: Bench) -> Outcome:
    """Measure every offered rate once."""
    figures: Figures = {"lost": 0.0, "doubled": 0.0}
    for rate in bench.options.offered:
        found = _at(bench, rate)
        figures["lost"] += found.pop("lost")
        figures["doubled"] += found.pop("doubled")
        figures |= {f"{rate:,}/s: {name}": value for name, value in found.items()}
    return Outcome(figures, problems_of(int(figures["lost"]), int(figures["doubled"])))


def _at(bench: Bench, rate: int) -> Figures:
    stack = bench.stack
    count = int(rate * bench.options.seconds)
    prefixes = [
        f"{bench.name}l{rate}x{number}-" for number in range(-(-count // month.scenario()["expected"]["events"]))
    ]
    stack.apply(prefixes)
    rows = [row for prefix in prefixes for row in month.rows_of(prefix)][:count]
    size = max(rate // CALLS_A_SECOND, 1)
    groups = [rows[first : first + size] for first in range(0, len(rows), size)]
    sender = Sender([_request(group) for group in groups])
    settings = client_settings(stack.environment)
    since, before = now_of(stack, "ledger"), stack.place(WRITER)
    asyncio.run(sender.send(settings.addresses["metering"], settings.ca_file, settings.token_file))
    stack.wait_stored(before, len(rows))
    stack.wait_worked(POSTER)
    stack.wait_worked(POSTED_RECEIPTS)
    due = {
        event_id(UUID(row[1]).bytes, row[0]): at for group, at in zip(groups, sender.due, strict=True) for row in group
    }
    made, told = _ends(stack, since)
    counts, _ = lost_and_doubled(stack, since, len(rows))
    return {
        "lost": counts["lost"],
        "doubled": counts["doubled"],
        "events a call": size,
        "calls sent again": sender.retried,
        **_shares("row made", [made[event] - due[event] for event in due if event in made]),
        **_shares("committed and told", [told[event] - due[event] for event in due if event in told]),
        **_shares("call answered", sender.answered),
        "sender late p99 ms": percentile(sorted(sender.late), 0.99) * 1e3,
    }


class _Orgs:
    """Organisations that rows name by their ids."""

    async def learn(self, names: Iterable[str]) -> None:
        """Nothing is to be asked."""

    def id_of(self, name: str) -> UUID:
        return UUID(name)


def _request(rows: Sequence[month.Row]) -> metering.IngestEventsRequest:
    request = metering.IngestEventsRequest(acknowledgement=metering.ACKNOWLEDGEMENT_ENQUEUED)
    events = ReadableEvents(_Orgs(), "")
    for number, row in enumerate(rows, 1):
        events.add(request, UsageRow(number, *row))
    return request


def _ends(stack: Stack, since: object) -> tuple[dict[bytes, float], dict[bytes, float]]:
    """Return when the line of each event was made, and when metering was told of its batch."""
    batches = {
        (lane, batch): at
        for lane, batch, at in stack.database("metering").execute(
            "SELECT lane, pos, extract(epoch FROM posted_at)::float8 FROM lane_journal WHERE posted_at >= %s", (since,)
        )
    }
    made, told = {}, {}
    for event, at, lane, batch in stack.database("ledger").execute(
        "SELECT event_id, extract(epoch FROM posted_at)::float8, lane, pos FROM ledger_line WHERE posted_at >= %s",
        (since,),
    ):
        made[event.bytes] = at
        if (lane, batch) in batches:
            told[event.bytes] = batches[lane, batch]
    return made, told


def _shares(name: str, seconds: list[float]) -> Figures:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {f"{name} {label} ms": percentile(ordered, share) * 1e3 for label, share in SHARES.items()}
