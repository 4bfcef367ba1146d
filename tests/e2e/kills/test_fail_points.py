"""Every process of a stack is killed at every named place of every role; nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_cli.ingest.rows import Row
from apportion_client.settings import SERVICES
from harness import COMMITTED, ENQUEUED, FLIGHTS, System, until
from kill_world import (
    RELAYING,
    SERVICE_ENV,
    WEEK,
    Books,
    JsonLine,
    SentSlice,
    Table,
    books_of,
    cut,
    events_said,
    first_rows,
    is_whole,
    patiently,
    said_since,
    send_slice,
    settled,
    streams_are_whole,
    sweep,
)

WORKING: Final = ("before_execute", "after_execute", "after_commit")
PUBLISHING: Final = ("after_publish", "before_ack")
BETWEEN_PARTS: Final = ".after_part"
"""Passed only by batches above the size of a message, of which this stack has none: the lanes' own tests kill there."""
RELAY: Final = ("after_execute", "after_publish", "before_ack", "after_commit")
CONSUMER: Final = "consumer.identity_org_created"
CONSUMING: Final = ("after_execute", "after_commit", "before_ack")
NAMES: Final = UUID("2f8e4f0c-7a0e-5b2b-9c39-2f1f6a0c5e11")
DIES_WITHIN_S: Final = 60
COMES_AGAIN_WITHIN_S: Final = 90
"""A message that was not acknowledged comes again after the consumer's wait."""

SWEEP: Final = "ledger_sweep.after_execute"
"""Killed last, when there is all to sweep."""
POINTS: Final[Mapping[str, Sequence[str]]] = {
    "metering": [
        *(f"metering_writer.{place}" for place in (*WORKING, *PUBLISHING)),
        *(f"metering_rated_receipts.{place}" for place in WORKING),
        *(f"metering_posted_receipts.{place}" for place in WORKING),
        "metering.intake.after_publish",
        "metering.intake.before_answer",
        *(f"metering.relay.{place}" for place in RELAY),
    ],
    "pricing": [
        *(f"pricing_rater.{place}" for place in (*WORKING, *PUBLISHING)),
        *(f"pricing.relay.{place}" for place in RELAY),
    ],
    "ledger": [*(f"ledger_poster.{place}" for place in (*WORKING, *PUBLISHING)), "ledger_payouts.after_instruction"],
    "orgs": [f"orgs.relay.{place}" for place in RELAY],
    "identity": [
        *(f"identity.relay.{place}" for place in RELAY),
        *(f"{CONSUMER}.{place}" for place in CONSUMING),
    ],
}
"""Service → its fail points, in the order in which they are passed."""
ROUNDS: Final = max(len(points) for points in POINTS.values())
"""In each, every service that has a point left dies at one."""

_LIST_POINTS: Final = """
from apportion_common import failpoints
from apportion_{service} import wiring
for name in failpoints.KNOWN:
    service, _, place = name.partition(".relay.")
    if not place or (service == "{service}" and hasattr(wiring, "OutboxRelay")):
        print(name)
"""


def test_no_fail_point_that_a_running_stack_has_is_left_out():
    known: set[str] = set()
    for service in SERVICES:
        program = _LIST_POINTS.format(service=service)
        listed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        known |= {name for name in listed.stdout.split() if not name.endswith(BETWEEN_PARTS)}
    assert known == {SWEEP, *(name for names in POINTS.values() for name in names)}


async def test_a_kill_at_every_fail_point_loses_nothing_and_doubles_nothing(
    new_system, clean: Books, table: Table, tmp_path: Path
):
    arming = Arming(tmp_path)
    # Named workers take their lanes back at once: what is shown here is the way back, not the end of a lease.
    env = {
        service: {**SERVICE_ENV.get(service, {}), "WORKER_ID": f"{service}-1", "FAIL_POINT": arming.spec(service, 0)}
        for service in SERVICES
    }
    system: System = await new_system(service_env=env)
    await system.apply(FLIGHTS)
    await settled(system)
    table.add("killed at", "there", "seen again after the restart")
    rows = first_rows()
    sent = 0
    for number, part in enumerate(cut(rows, ROUNDS)):
        sent += len(part)
        for kill in await kill_round(system, arming, number, part):
            table.add(*kill)
        await is_whole(system, sent)
    table.add(*await kill_the_sweep(system, arming))
    await settled(system)
    await is_whole(system, len(rows))
    await streams_are_whole(system)
    assert await books_of(system) == clean


class Arming:
    """Which process waits for which round: every life of a service is armed with its next point, behind a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def gate(self, name: str) -> Path:
        """The file that a round, or the sweep, waits for."""
        return self._folder / f"now-{name}"

    def spec(self, service: str, number: int) -> str:
        """FAIL_POINT for the service's `number`-th point; none when it has no more."""
        names = POINTS[service]
        if number < len(names):
            return f"{names[number]}@{self.gate(str(number))}"
        return f"{SWEEP}@{self.gate('sweep')}" if service == "ledger" else ""


async def kill_round(system: System, arming: Arming, number: int, rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Open a round's gate, send a slice, see processes die, start them again, wait until all is done."""
    deaths = [
        Death(system, service, names[number], arming.spec(service, number + 1))
        for service, names in POINTS.items()
        if number < len(names)
    ]
    for death in deaths:
        system.expect_exit(death.service)
    arming.gate(str(number)).touch()
    points = {death.point for death in deaths}
    acknowledgement = ENQUEUED if "metering.intake.after_publish" in points else COMMITTED
    sending = asyncio.create_task(send_slice(system, rows, acknowledgement))
    announcing = [publish(system, death.service) for death in deaths if ".relay." in death.point]
    announcing += [announce_owner(system, death.point) for death in deaths if death.point.startswith(CONSUMER)]
    await asyncio.gather(sending, *announcing, *(death.revive() for death in deaths))
    await settled(system)
    return [(death.point, death.there(), await death.again(sending.result())) for death in deaths]


async def publish(system: System, service: str) -> None:
    """Give a service's relay something to publish: a new organisation, or a row such as any service may write."""
    if service == "orgs":
        number = len(await system.query("orgs", "SELECT 1 FROM outbox"))
        request = orgs.CreateOrgRequest(
            org_id=str(uuid5(NAMES, str(number))),
            legal_name=f"Announced {number}",
            slug=f"announced-{number}",
            currency="AUD",
            request_id=f"announced-{number}",
        )
        await patiently(system.services.orgs.CreateOrg, request)
    else:
        await system.query(
            service,
            "INSERT INTO outbox (outbox_id, subject, msg_id, payload, headers)"
            f" SELECT id, 'events.{service}.planted', id::text, '', '{{}}'"
            " FROM (SELECT gen_random_uuid() AS id) AS fresh"
            " RETURNING 1",
        )


def published_org(point: str) -> str:
    """The organisation whose announcement a consumer dies of at a fail point."""
    return str(uuid5(NAMES, point))


async def announce_owner(system: System, point: str) -> None:
    """Have orgs announce an organisation with its first Owner."""
    place = point.rpartition(".")[2].replace("_", "-")
    request = orgs.CreateOrgRequest(
        org_id=published_org(point),
        legal_name=f"Owned {place}",
        slug=f"owned-{place}",
        currency="AUD",
        owner_email=f"{place}@owned.example.com",
        request_id=point,
    )
    await patiently(system.services.orgs.CreateOrg, request)


@dataclass
class Death:
    """One service's death at one fail point, and what could be seen of it."""

    system: System
    service: str
    point: str
    next_spec: str = ""
    reborn: int = 0
    waiting: int = 0
    """At the moment of death: rows not marked as published, or payouts instructed and not yet marked as paid."""

    async def revive(self) -> None:
        """Wait for the death, look at what it left, and start a process that lives until its own round."""
        code = await self.system.wait_exit(self.service, DIES_WITHIN_S)
        assert code == -signal.SIGKILL, self.system.log(self.service)[-2_000:]
        self.reborn = len(self.system.log(self.service))
        if ".relay." in self.point:
            text = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
            [(self.waiting,)] = await self.system.query(self.service, text)
        elif self.point == "ledger_payouts.after_instruction":
            text = (
                "SELECT count(*) FROM settlement AS s JOIN payout_instruction AS i USING (settlement_id)"
                " WHERE s.state = 'pending'"
            )
            [(self.waiting,)] = await self.system.query(self.service, text)
        await self.system.start_again(self.service, FAIL_POINT=self.next_spec)

    @property
    def last_words(self) -> JsonLine:
        """The line that the fail point wrote."""
        lines = said_since(self.system, self.service)
        [line] = [line for line in lines if line.get("fail_point") == self.point]
        return line

    def there(self) -> str:
        """The line without what the row says anyway, cut short."""
        words = {key: value for key, value in self.last_words.items() if key not in ("fail_point", "action")}
        parts = []
        for key, value in words.items():
            shown = f"{value[0]}…{value[-1]}" if isinstance(value, list) and len(value) > 2 else value
            parts.append(f"{key} {shown}")
        return ", ".join(parts)

    async def again(self, sent: SentSlice) -> str:
        """Assert what the point implies, and put it in words."""
        role, _, place = self.point.rpartition(".")
        if role.endswith(".relay"):
            return await self._relay(place)
        if role == CONSUMER:
            return await self._consumer(place)
        if role == "metering.intake":
            return await self._intake(place, sent)
        if role == "ledger_payouts":
            assert self.waiting > 0
            return f"{self.waiting} payouts instructed again under their keys; each is in the book once"
        return await _LANE_PLACES[place](self, role)

    async def _relay(self, place: str) -> str:
        metrics = await self.system.metrics(self.service)
        again = int(metrics.get(f'apportion_outbox_published_again_total{{service="{self.service}"}}', 0))
        if place == "after_commit":
            assert (self.waiting, again) == (0, 0)
            return "0: marked before the kill, not sent again"
        assert self.waiting > 0
        if place == "after_execute":
            return f"{self.waiting} rows taken again; the stream had none"
        assert again == self.waiting
        return f"{again} rows sent again; the stream dropped them"

    async def _consumer(self, place: str) -> str:
        """The announcement comes again: it makes the Owner where the first try was rolled back, else nothing."""
        outcome = "handled" if place == "after_execute" else "deduplicated"
        name = f'apportion_consumer_{outcome}_total{{consumer="{CONSUMER.partition(".")[2]}"}}'

        async def came_again() -> bool:
            return (await self.system.metrics(self.service)).get(name, 0) >= 1

        async def one_owner() -> bool:
            return await self.system.query("identity", owners, published_org(self.point)) == [(1,)]

        await until(came_again, COMES_AGAIN_WITHIN_S, f"the announcement is {outcome} after {self.point}")
        owners = "SELECT count(*) FROM membership WHERE org_id = %s::uuid AND role = 'Owner'"
        # What was counted may have been another organisation's announcement, which came before this one did again.
        await until(one_owner, COMES_AGAIN_WITHIN_S, f"there is one Owner after {self.point}")
        return f"1 announcement delivered again, {outcome}: one Owner"

    async def _intake(self, place: str, sent: SentSlice) -> str:
        assert sent.rejections
        assert {refused.status for refused in sent.rejections} == {"UNAVAILABLE"}
        metrics = await self.system.metrics("metering")
        duplicates = int(metrics.get('apportion_metering_events_total{outcome="duplicate"}', 0))
        stored = int(metrics.get('apportion_metering_events_total{outcome="accepted"}', 0))
        assert duplicates > 0
        if place == "before_answer":
            assert (duplicates, stored) == (sent.answer.duplicate_count, 0)
        return f"sent again; {duplicates} duplicates dropped"

    def acquired(self, role: str) -> JsonLine:
        """How the next owner found the lane."""
        lines = said_since(self.system, self.service, self.reborn)
        return events_said(lines, "lane.acquired", role=role, lane=self.last_words["lane"])[0]

    async def read_again(self, role: str) -> str:
        """Killed before the commit: its messages are read again from the old cursor."""
        words, found = self.last_words, self.acquired(role)
        assert found["cursor"] == words["cursor"]
        again = [entry_seq for entry_seq in words["stream_seqs"] if entry_seq > found["cursor"]]
        assert again == words["stream_seqs"]
        return f"{len(again)} messages read again from cursor {found['cursor']}"

    async def recovered(self, role: str) -> str:
        """Killed after the commit: its messages are not read again; what it made is published by the next owner."""
        words, found = self.last_words, self.acquired(role)
        assert (found["cursor"], found["batch_seq"]) == (words["cursor"], words["batch_seq"])
        if role.endswith("_receipts"):
            return f"0: committed, the next owner went on after {found['cursor']}"
        lines = said_since(self.system, self.service, self.reborn)
        batches = events_said(lines, "lane.publish.recovered", role=role, lane=words["lane"])[0]["batches"]
        metrics = await self.system.metrics(self.service)
        assert batches > 0
        assert metrics[f'apportion_lane_recovered_total{{role="{role}"}}'] >= batches
        return f"{batches} batches published by the next owner"

    async def found_published(self, role: str) -> str:
        """Killed after the publish: the row does not know of it, the next owner asks the stream and sends nothing."""
        words, found = self.last_words, self.acquired(role)
        assert found["out_batch_seq"] < words["batch_seq"] <= found["batch_seq"]
        lines = said_since(self.system, self.service, self.reborn)
        batches = events_said(lines, "lane.publish.found", role=role, lane=words["lane"])[0]["batches"]
        assert batches > 0
        return f"{batches} batches not known as published (row {found['out_batch_seq']}) found on the stream"


_LANE_PLACES: Final[Mapping[str, Callable[[Death, str], Awaitable[str]]]] = {
    "before_execute": Death.read_again,
    "after_execute": Death.read_again,
    "after_commit": Death.recovered,
    "after_publish": Death.found_published,
    "before_ack": Death.found_published,
}


async def kill_the_sweep(system: System, arming: Arming) -> tuple[str, str, str]:
    """Kill a sweep before its commit: it never was; asked again it pays all, and once more nothing."""
    death = Death(system, "ledger", SWEEP)
    system.expect_exit("ledger")
    arming.gate("sweep").touch()
    sweeping = asyncio.create_task(sweep(system, "killed"))
    assert await system.wait_exit("ledger", DIES_WITHIN_S) == -signal.SIGKILL
    assert await system.query("ledger", "SELECT 1 FROM sweep_run UNION ALL SELECT 1 FROM sweep_claim") == []
    await system.start_again("ledger", FAIL_POINT="")
    first, rejections = await sweeping
    assert {refused.status for refused in rejections} == {"UNAVAILABLE"}
    again, _ = await sweep(system, "again")
    assert list(again.results) == list(first.results)
    paid = [result for result in first.results if result.settlement_id]
    assert len(paid) == death.last_words["payouts"] > 0
    swept = await system.query("ledger", "SELECT week, count(*) FROM settlement WHERE kind = 'sweep' GROUP BY week")
    assert swept == [(WEEK, len(paid))]
    return SWEEP, death.there(), f"asked again: the same {len(paid)} payouts, each once"


assert set(RELAYING) == {service for service, names in POINTS.items() if any(".relay." in name for name in names)}
