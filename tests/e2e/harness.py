"""The whole system under test: the local stack's processes, and the client's own library to speak to them.

`System` starts PostgreSQL, NATS and the five services in a folder of its own, as `apportion stack up` does, and gives
what tests need: apply a scenario, send usage in any batches, wait until all of it is posted, look at digests, lines,
dead letters, tables, spans, logs and metrics, and end or restart a process.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import grpc
import psycopg
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_cli import scenario
from apportion_cli.display import Bar
from apportion_cli.ingest.batches import Batcher
from apportion_cli.ingest.checkpoint import Checkpoint
from apportion_cli.ingest.events import CompactEvents, ReadableEvents
from apportion_cli.ingest.row_log import Rejection
from apportion_cli.ingest.rows import Row, read_rows
from apportion_cli.ingest.sender import Tally, send
from apportion_cli.verify.collect import collect, names_of
from apportion_cli.verify.expected import expected_figures
from apportion_cli.verify.figures import Compared, compare
from apportion_cli.verify.found import found_figures
from apportion_client import naming
from apportion_client.digests import diff_digests, line_digests
from apportion_client.drain import is_closed
from apportion_client.failures import reason_of
from apportion_client.pages import dead_letters_of, lines_of
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_client.settings import SERVICES, client_environment, client_settings
from apportion_common.grpc.client import Channels
from apportion_dev.stack.credentials import mint
from apportion_dev.stack.environment import database
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.options import StackOptions
from apportion_dev.stack.supervisor import LocalStack
from psycopg import sql
from psycopg.conninfo import make_conninfo

ROOT: Final = Path(__file__).resolve().parents[2]
FLIGHTS: Final = ROOT / "examples" / "flights-2013-01"
HARD_MONTH: Final = ROOT / "tests" / "data" / "hard-month"
FIRST_EVENTS: Final = 4_000
"""How much of January is enough where the whole month would add nothing."""

LEASE_S: Final = 3
"""A lane's lease in test stacks: what a killed owner held is taken up again soon."""
POLL_S: Final = 0.1
DRAIN_TIMEOUT_S: Final = 60.0
SPANS_TIMEOUT_S: Final = 20.0

ENQUEUED: Final = metering.ACKNOWLEDGEMENT_ENQUEUED
COMMITTED: Final = metering.ACKNOWLEDGEMENT_COMMITTED

Span = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class _Access:
    tls_ca_file: Path
    service_token_file: Path


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused."""

    status: str
    reason: str
    message: str = field(compare=False, default="")


@dataclass
class Sent:
    """The answers to batches that were sent one after the other."""

    accepted: int = 0
    duplicates: int = 0
    mismatches: int = 0
    dead_lettered: int = 0
    rejections: list[metering.EventRejection] = field(default_factory=list)

    def count(self, answer: metering.IngestEventsResponse) -> None:
        """Add one answer."""
        self.accepted += answer.accepted_count
        self.duplicates += answer.duplicate_count
        self.mismatches += answer.mismatch_count
        self.dead_lettered += answer.dead_letter_count
        self.rejections.extend(answer.rejections)


class System:
    """A running stack of its own, and stubs that speak to it with the operator's token."""

    def __init__(self, stack: LocalStack, said: list[str]) -> None:
        self.stack = stack
        self.said = said
        self._services: Services | None = None
        self._bare: dict[str, grpc.aio.Channel] = {}

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        service_env: Mapping[str, Mapping[str, str]] | None = None,
        lease_s: int = LEASE_S,
        **options: Any,
    ) -> System:
        """Start everything below a folder; `service_env` by service, `*` for all; `options` as of StackOptions."""
        given = dict(service_env or {})
        given["*"] = {"LANE_LEASE_S": str(lease_s), **given.get("*", {})}
        said: list[str] = []
        chosen = replace(StackOptions(service_env=given, say=said.append), **options)
        stack = LocalStack(Layout(folder), chosen)
        await asyncio.to_thread(stack.start)
        return cls(stack, said)

    async def close(self) -> None:
        """End everything and delete its data. A stack that failed meanwhile fails the test."""
        for channel in self._bare.values():
            await channel.close()
        if self._services is not None:
            await self._services.channels.close()
        await asyncio.to_thread(self.stack.destroy)
        assert self.stack.failure is None, self.stack.failure

    # --- clients ---------------------------------------------------------------------------------------------

    @property
    def services(self) -> Services:
        """Stubs with the operator's token; first used inside the event loop."""
        if self._services is None:
            settings = client_settings(self.environment)
            self._services = Services(settings, Channels(_Access(settings.ca_file, settings.token_file)))
        return self._services

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a command finds this stack."""
        return client_environment(self.stack.layout.root, self.stack.state())

    def token(
        self, *, org_id: UUID | None = None, roles: Sequence[str] = ("Admin",), ttl_s: int = 900, age_s: int = 0
    ) -> str:
        """A token of a user of an organisation, made `age_s` ago; expired when it is older than its life."""
        org = None if org_id is None else str(org_id)
        made_at = self.stack.options.clock.now() - timedelta(seconds=age_s)
        return mint(self.stack.keys.signing, "user:somebody", roles, made_at, org_id=org, ttl_s=ttl_s)

    async def call(self, service: str, method: str, request: Any, *, token: str | None = None) -> Any:
        """Call with exactly this token (none: no token) and nothing else that our client adds."""
        channel = self._bare.get(service)
        if channel is None:
            trust = grpc.ssl_channel_credentials((self.stack.layout.tls / "ca.pem").read_bytes())
            options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
            channel = grpc.aio.secure_channel(self.stack.addresses[service], trust, options=options)
            self._bare[service] = channel
        stubs = Services(self.services.settings, _OneChannel(channel))  # type: ignore[arg-type]
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        return await getattr(getattr(stubs, service), method)(request, timeout=CALL_TIMEOUT_S, metadata=metadata)

    # --- what goes in ----------------------------------------------------------------------------------------

    async def apply(
        self,
        source: Path | dict[str, Any],
        prefix: str = "",
        *,
        change: Callable[[list[scenario.Step]], list[scenario.Step]] = lambda steps: steps,
    ) -> list[scenario.Step]:
        """Bring a scenario about, as `apportion apply` does; `change` may alter the calls before they are made."""
        content = scenario.load(source / "scenario.json") if isinstance(source, Path) else source
        steps = change(scenario.steps(content, prefix))
        for step in steps:
            await getattr(getattr(self.services, step.service), step.method)(step.request, timeout=CALL_TIMEOUT_S)
        for step in steps:
            if isinstance(step.request, metering.ClosePeriodRequest):
                await self.wait_closed(step.request.period, step.request.org_ids)
        return steps

    async def ingest(
        self,
        rows: Iterable[Row],
        *,
        size: int = 1_000,
        ack: metering.Acknowledgement = ENQUEUED,
        prefix: str = "",
        repeat: int = 1,
        compact: bool = False,
    ) -> tuple[Tally, list[Rejection]]:
        """Send rows as `apportion ingest` does: several batches under way, each organisation's rows in order."""
        orgs = ScenarioOrgs(prefix)
        events = CompactEvents(orgs, prefix) if compact else ReadableEvents(orgs, prefix)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder), "rows", prefix, self.services.settings.addresses["metering"])
            batcher = Batcher(events, ack, size, orgs, repeat)
            tally = await send(self.services, rows, batcher, checkpoint, Bar("ingest", None, "events", None))
            return tally, checkpoint.rejected.first(tally.rejected)

    async def send_in_order(
        self,
        rows: Iterable[Row],
        *,
        size: int,
        ack: metering.Acknowledgement = ENQUEUED,
        prefix: str = "",
        repeat: int = 1,
        compact: bool = False,
    ) -> Sent:
        """Send rows in calls of exactly `size` events (the last may be smaller), one call after the other."""
        orgs = ScenarioOrgs(prefix)
        events = CompactEvents(orgs, prefix) if compact else ReadableEvents(orgs, prefix)
        sent = Sent()
        every = (row for row in rows for _ in range(repeat))
        while chunk := list(itertools.islice(every, size)):
            request = metering.IngestEventsRequest(acknowledgement=ack)
            for row in chunk:
                events.add(request, row)
            sent.count(await self.services.metering.IngestEvents(request, timeout=CALL_TIMEOUT_S))
        return sent

    # --- waiting ---------------------------------------------------------------------------------------------

    async def pipeline(self) -> metering.GetPipelineStatusResponse:
        """The lanes' positions."""
        return await self.services.metering.GetPipelineStatus(
            metering.GetPipelineStatusRequest(), timeout=CALL_TIMEOUT_S
        )

    async def wait_drained(self, timeout_s: float = DRAIN_TIMEOUT_S) -> metering.GetPipelineStatusResponse:
        """Wait until everything sent is stored, rated and posted; fails with the lanes that are not."""

        async def drained() -> metering.GetPipelineStatusResponse | None:
            try:
                answer = await self.pipeline()
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                return None
            stopped = [lane for lane in answer.lanes if lane.stopped_reason]
            assert not stopped, f"lanes have stopped: {stopped}"
            return answer if answer.drained else None

        return await until(drained, timeout_s, "everything that was sent is posted")

    async def wait_closed(self, period: str, org_ids: Sequence[str] = (), timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        """Wait until a period's close has reached the ledger."""

        async def closed() -> bool:
            return await is_closed(self.services, period, org_ids)

        await until(closed, timeout_s, f"{period} is closed")

    # --- what came out ---------------------------------------------------------------------------------------

    async def digest(self, *, org: UUID | None = None, period: str = "") -> ledger.GetDigestResponse:
        """The ledger's digest, whole or of one organisation or period."""
        return await self.services.ledger.GetDigest(
            ledger.GetDigestRequest(scope=_scope(org, period)), timeout=CALL_TIMEOUT_S
        )

    async def line_digests(self, *, org: UUID | None = None, period: str = "") -> list[ledger.LineDigest]:
        """The digest of every line."""
        return [digest async for digest in line_digests(self.services, _scope(org, period))]

    async def differences(
        self, digests: Sequence[ledger.LineDigest], *, org: UUID | None = None, period: str = ""
    ) -> list[ledger.LineDifference]:
        """What differs between this ledger and the line digests of another one."""
        answer = await diff_digests(self.services, _scope(org, period), digests)
        assert answer.difference_count >= len(answer.differences)
        return list(answer.differences)

    async def lines(self, **wanted: Any) -> list[ledger.LedgerLine]:
        """Ledger lines by the fields of a LineFilter."""
        return [line async for line in lines_of(self.services, ledger.LineFilter(**wanted))]

    async def dead_letters(self, **wanted: Any) -> list[metering.DeadLetter]:
        """Dead letters by the fields of a DeadLetterFilter, oldest first."""
        return [letter async for letter in dead_letters_of(self.services, metering.DeadLetterFilter(**wanted))]

    async def event_statuses(self, org: UUID, request_ids: Sequence[str]) -> dict[str, metering.EventStatus]:
        """How far events have come, by request id."""
        found: dict[str, metering.EventStatus] = {}
        for chunk in _chunks(request_ids, 1_000):
            request = metering.GetEventStatusRequest(org_id=str(org), request_ids=chunk)
            answer = await self.services.metering.GetEventStatus(request, timeout=CALL_TIMEOUT_S)
            found |= {status.request_id: status for status in answer.statuses}
        return found

    async def settle(self, folder: Path) -> None:
        """What follows on usage in a scenario: its sweeps, the close of its month, a final invoice per account."""
        content = scenario.load(folder / "scenario.json")
        period = content["period"]["start"][: len("2013-01")]
        for week in content.get("sweep_weeks") or content["expected"]["sweeps"]:
            request = ledger.RunSweepRequest(week=week, request_id=f"sweep:{week}")
            await self.services.ledger.RunSweep(request, timeout=CALL_TIMEOUT_S)
        close = metering.ClosePeriodRequest(period=period, all_orgs=True, request_id=f"close:{period}")
        await self.services.metering.ClosePeriod(close, timeout=CALL_TIMEOUT_S)
        await self.wait_closed(period)
        for code in content["expected"]["accounts"]:
            draft = orgs.GenerateInvoiceRequest(
                billing_account_id=str(naming.account_id(code)), period=period, request_id=f"invoice:{code}"
            )
            invoice = (await self.services.orgs.GenerateInvoice(draft, timeout=CALL_TIMEOUT_S)).invoice
            final = orgs.FinalizeInvoiceRequest(invoice_id=invoice.invoice_id, request_id=f"finalize:{code}")
            await self.services.orgs.FinalizeInvoice(final, timeout=CALL_TIMEOUT_S)

    async def figures(self, folder: Path, prefix: str = "") -> list[Compared]:
        """Every expected figure of a scenario beside what the services say, as `apportion verify` compares them."""
        content = scenario.load(folder / "scenario.json")
        rows = rows_of(folder)
        period = content["period"]["start"][: len("2013-01")]
        names = names_of(content, rows, prefix)
        told = await collect(self.services, names, rows, period, prefix, Bar("verify", None, "answers", None))
        return list(compare(expected_figures(content), found_figures(content, rows, told)))

    async def check_ledger(self) -> None:
        """Assert every invariant of the ledger."""
        answer = await self.services.ledger.CheckLedger(ledger.CheckLedgerRequest(), timeout=CALL_TIMEOUT_S)
        broken = [result for result in answer.results if not result.holds]
        assert answer.results, "the ledger checked nothing"
        assert not broken, broken

    async def query(self, service: str, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a service's database, as the superuser."""
        async with self.administering(service) as connection:
            return await (await connection.execute(text, values)).fetchall()  # type: ignore[arg-type]

    async def table_counts(self, *services: str) -> dict[str, int]:
        """Rows of every table of the services' databases (none named: all), partitions counted in their parent.

        Without what changes though nobody asks for anything: leases and signs of life.
        """
        found: dict[str, int] = {}
        for service in services or SERVICES:
            async with self.administering(service) as connection:
                tables = await connection.execute(
                    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'lane_worker'"
                    " AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
                )
                for schema, table in await tables.fetchall():
                    counted = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
                    row = await (await connection.execute(counted)).fetchone()
                    assert row is not None
                    found[f"{service}.{table}"] = row[0]
        return found

    async def counts(self) -> dict[str, int]:
        """How much of the path's content there is: events, keys, charges, lines, line keys, dead letters."""
        found = await self.table_counts("metering", "pricing", "ledger")
        wanted = (
            "metering.metering_event",
            "metering.metering_event_key",
            "metering.dead_letter",
            "pricing.charge",
            "pricing.charge_refusal",
            "ledger.ledger_line",
            "ledger.ledger_charge_key",
            "ledger.settlement",
        )
        return {name.partition(".")[2]: found[name] for name in wanted}

    # --- processes -------------------------------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """End a service's process by SIGKILL."""
        await asyncio.to_thread(self.stack.kill, name)

    async def stop(self, name: str) -> int | None:
        """End a service's process by SIGTERM; gives its exit code."""
        return await asyncio.to_thread(self.stack.stop_service, name)

    async def start_again(self, name: str, **extra_env: str) -> None:
        """Start a process that was ended; `extra_env` (such as FAIL_POINT) holds for this life only."""
        await asyncio.to_thread(self.stack.start_service, name, extra_env)

    async def restart(self, name: str, **extra_env: str) -> None:
        """End a process in order and start it again."""
        await self.stop(name)
        await self.start_again(name, **extra_env)

    async def wait_exit(self, name: str, timeout_s: int = 30) -> int:
        """Wait until a process has ended itself at a fail point; call `expect_exit` before what makes it end."""
        return await asyncio.to_thread(self.stack.wait_exit, name, timeout_s)

    def expect_exit(self, name: str) -> None:
        """From now on it is no failure when that process ends."""
        self.stack.expect_exit(name)

    # --- telemetry -------------------------------------------------------------------------------------------

    def spans(self) -> list[Span]:
        """Every span that the processes have written."""
        files = sorted(self.stack.layout.traces.glob("*.jsonl"))
        lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines(keepends=True))
        return [json.loads(line) for line in lines if line.endswith("\n")]

    async def wait_spans(self, wanted: Callable[[list[Span]], bool], timeout_s: float = SPANS_TIMEOUT_S) -> list[Span]:
        """Wait until the written spans are as wanted; they are written with a small delay."""

        async def found() -> list[Span] | None:
            spans = self.spans()
            return spans if wanted(spans) else None

        return await until(found, timeout_s, "the spans are written")

    def log(self, name: str) -> str:
        """What a process has logged."""
        file = self.stack.layout.log_file(name)
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    async def metrics(self, name: str) -> dict[str, float]:
        """A process's metrics, by name and labels as Prometheus writes them."""
        address = self.stack.state().metrics_addresses[name]
        text = await asyncio.to_thread(_get, f"http://{address}/metrics")
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    @asynccontextmanager
    async def administering(self, service: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A superuser's session in the database of a service."""
        url = make_conninfo(self.stack.postgres.admin_url, dbname=database(service))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            yield connection


@dataclass
class _OneChannel:
    """Stands for Channels where every address is one channel."""

    one: grpc.aio.Channel

    def channel(self, _address: str) -> grpc.aio.Channel:
        return self.one


async def until(look: Callable[[], Awaitable[T | None]], timeout_s: float, what: str) -> T:
    """Look until there is something to see; fails when there is nothing in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := await look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(POLL_S)
    return found


async def refusal(call: Awaitable[Any]) -> Refusal:
    """How a call is refused; fails when it is answered."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error.code().name, reason_of(error), error.details() or "")
    raise AssertionError(f"The call was answered: {str(answer)[:500]}")


def rows_of(folder: Path, limit: int | None = None) -> list[Row]:
    """The first rows of a scenario's events."""
    return list(itertools.islice(read_rows(folder / "events.csv.gz"), limit))


@dataclass(frozen=True)
class ScenarioOrgs:
    """Organisations under the ids that their scenario gives them, whether somebody made them or not."""

    prefix: str = ""

    async def learn(self, names: Iterable[str]) -> None:
        """Nothing is to be asked."""

    def id_of(self, name: str) -> UUID:
        """The id of an organisation."""
        return org_of(name, self.prefix)


def org_of(code: str, prefix: str = "") -> UUID:
    """The id of an organisation of a scenario."""
    return naming.org_id(code, prefix)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=CALL_TIMEOUT_S) as answer:
        return str(answer.read(), "utf-8")


def _scope(org: UUID | None, period: str) -> ledger.DigestScope:
    return ledger.DigestScope(org_id="" if org is None else str(org), period=period)


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
