"""What a stream acknowledged is on the disk: intake insists on it, and the server is seen to do it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import pytest
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_client.failures import reason_of
from apportion_common.bus.connection import connect
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import SystemClock
from apportion_common.topology import MEBIBYTE, METERING_IN
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.servers import NatsAccess, start_local_nats
from harness import COMMITTED, ENQUEUED, Refusal, System, refusal, until
from kill_world import Table, first_rows, ingest_request

STRACE: Final = shutil.which("strace")
SHOWN_BY: Final = "strace" if STRACE else "the_servers_settings_only_because_strace_is_missing"
MESSAGES: Final = 20
CLIENT: Final = "one-by-one"
SUBJECT: Final = "metering.in.0"
TIMEOUT_S: Final = 20.0
MICROSECONDS: Final = 1_000_000

_CALL: Final = re.compile(r"^(\d+) +(\d+)\.(\d{6}) (\w+)\(\d+<(TCP:\[[^\]]*\]|[^>]*)>(.*)$")
_RESUMED: Final = re.compile(r"^(\d+) +(\d+)\.(\d{6}) <\.\.\. (\w+) resumed>")
_BLOCK: Final = re.compile(rf"/streams/{METERING_IN.name}/msgs/\d+\.blk$")


async def test_enqueued_is_refused_where_the_server_flushes_later_and_taken_where_it_flushes_first(new_system):
    system: System = await new_system(nats_sync_always=False)
    row, *others = first_rows()[:3]
    stub = system.services.metering.IngestEvents
    refused = await refusal(stub(ingest_request([row], ENQUEUED), timeout=TIMEOUT_S))
    assert refused == Refusal("FAILED_PRECONDITION", "STREAM_NOT_DURABLE")
    # COMMITTED does not rest on the stream: it is answered once PostgreSQL has it.
    answer = await stub(ingest_request([row], COMMITTED), timeout=TIMEOUT_S)
    assert answer.accepted_count == 1
    assert not (await system.pipeline()).stream_durable

    system.stack.nats.sync_always = True
    await asyncio.to_thread(system.stack.nats.restart)

    async def taken() -> metering.IngestEventsResponse | None:
        try:
            return await stub(ingest_request(others, ENQUEUED), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) not in ("STREAM_NOT_DURABLE", "STREAM_UNAVAILABLE"):
                raise
            return None

    assert (await until(taken, TIMEOUT_S, "ENQUEUED is taken")).accepted_count == len(others)
    assert (await system.pipeline()).stream_durable


@dataclass(frozen=True)
class Syscall:
    """A system call of the server: what, on which file or connection, from when to when in microseconds."""

    name: str
    target: str
    began_us: int
    ended_us: int


@pytest.mark.parametrize("shown_by", [SHOWN_BY])
async def test_a_message_is_flushed_before_it_is_acknowledged(shown_by: str, tmp_path: Path, table: Table):
    server, access = start_local_nats(tmp_path)
    try:
        server.sync_always = True
        server.restart()
        assert await settings_say_always(server)
        if STRACE is None:
            table.add(
                "fsync before acknowledgement", "not shown: strace is missing", "the server's settings say always"
            )
            return
        flushed = await flushed_before_acknowledged(server, access, tmp_path / "always.txt")
        assert flushed == MESSAGES
        # The same measurement on a server that flushes later sees no flush: it can fail.
        server.sync_always = False
        server.restart()
        assert not await settings_say_always(server)
        later = await flushed_before_acknowledged(server, access, tmp_path / "later.txt")
        assert later == 0
        table.add(
            "fsync before acknowledgement",
            f"{flushed} of {MESSAGES} messages with sync_interval: always",
            f"{later} of {MESSAGES} without",
        )
    finally:
        server.destroy()


def monitored(server: LocalNats, page: str) -> Any:
    """A page of the server's monitoring."""
    connection = http.client.HTTPConnection(urlsplit(server.monitor_url).netloc, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request("GET", page)
        return json.loads(connection.getresponse().read())


async def settings_say_always(server: LocalNats) -> bool:
    """Whether the server says of itself that it flushes each message."""
    answer = await asyncio.to_thread(monitored, server, "/jsz?config=true")
    return answer["config"].get("sync_always") is True


async def flushed_before_acknowledged(server: LocalNats, access: NatsAccess, trace: Path) -> int:
    """Publish messages one by one under strace; how many had their block file flushed before the server answered."""
    client = await connect(access, CLIENT)
    clock = SystemClock()
    try:
        js = client.jetstream()
        await ensure_streams(js, [METERING_IN], max_bytes=MEBIBYTE)
        connections = (await asyncio.to_thread(monitored, server, "/connz"))["connections"]
        [port] = [connection["port"] for connection in connections if connection["name"] == CLIENT]
        process = await asyncio.create_subprocess_exec(
            str(STRACE),
            *("-f", "-yy", "-ttt", "-e", "trace=read,write,writev,pwrite64,fsync,fdatasync", "-e", "signal=none"),
            *("-s", "0", "-o", str(trace), "-p", str(server.pid)),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        assert b"attached" in await asyncio.wait_for(process.stderr.readline(), TIMEOUT_S)
        spans = []
        for number in range(MESSAGES):
            sent_us = clock.now_us()
            await js.publish(SUBJECT, b"message %d" % number, timeout=TIMEOUT_S)
            spans.append((sent_us, clock.now_us()))
        process.send_signal(signal.SIGINT)
        await process.communicate()
    finally:
        await client.close()
    calls = read_trace(trace)
    return sum(_flushed(calls, f":{port}]", sent_us, answered_us) for sent_us, answered_us in spans)


def _flushed(calls: Sequence[Syscall], connection: str, sent_us: int, answered_us: int) -> bool:
    """Whether the block file was flushed after the message came in and before the answer went out."""
    mine = [call for call in calls if call.target.endswith(connection)]
    came = [call.ended_us for call in mine if call.name == "read" and sent_us <= call.ended_us <= answered_us]
    went = [call.began_us for call in mine if call.name.startswith("write") and sent_us <= call.began_us <= answered_us]
    assert came, "the server was seen to read the message"
    assert went, "the server was seen to answer"
    return any(
        call.name in ("fsync", "fdatasync")
        and _BLOCK.search(call.target) is not None
        and call.began_us >= came[0]
        and call.ended_us <= went[-1]
        for call in calls
    )


def read_trace(trace: Path) -> list[Syscall]:
    """The calls of a trace; those that other threads' calls interrupted in the file are put together."""
    calls: list[Syscall] = []
    under_way: dict[str, tuple[str, str, int]] = {}
    for line in trace.read_text(errors="replace").splitlines():
        if begun := _CALL.match(line):
            thread, seconds, micros, name, target, rest = begun.groups()
            at_us = int(seconds) * MICROSECONDS + int(micros)
            if rest.endswith("<unfinished ...>"):
                under_way[thread] = (name, target, at_us)
            else:
                calls.append(Syscall(name, target, at_us, at_us))
        elif resumed := _RESUMED.match(line):
            thread, seconds, micros, name = resumed.groups()
            known = under_way.pop(thread, None)
            if known is not None and known[0] == name:
                calls.append(Syscall(*known, int(seconds) * MICROSECONDS + int(micros)))
    return calls
