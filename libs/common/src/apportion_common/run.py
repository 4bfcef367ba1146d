"""The life of a service's process: what it starts, in which order, and how it ends.

Start: logs → probes → traces → database → NATS → tokens and channels → the service's own wiring → gRPC → background
tasks → ready. End, at SIGTERM or SIGINT: health off → the server ends its calls → background tasks end → NATS drains →
the database is closed → spans are written → exit 0. A background task that fails ends the process with exit 1: whoever
supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import nats.errors
import sqlalchemy
from nats.aio.client import Client
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion_common import failpoints
from apportion_common.bus.connection import connect
from apportion_common.bus.rights import Rights
from apportion_common.bus.watch import StreamWatch
from apportion_common.clock import Clock, SystemClock
from apportion_common.db.connections import Connections, Mode
from apportion_common.db.engine import IDLE_IN_TRANSACTION_TIMEOUT_MS, make_engine
from apportion_common.db.limits import READINESS_POOL_CONNECTIONS
from apportion_common.db.unit_of_work import Database
from apportion_common.flags import Flags, FlagTable
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.client import Channels
from apportion_common.grpc.key_source import KeySource, keys_of_identity
from apportion_common.grpc.server import Registration, RunningServer, start_server
from apportion_common.logs import configure_logs, get_logger
from apportion_common.metrics_server import MetricsServer
from apportion_common.settings import ServiceSettings
from apportion_common.standstill import DATABASE_READ_ONLY, STANDSTILLS, state_of
from apportion_common.tasks import cancel_and_wait
from apportion_common.telemetry.sql import trace_statements
from apportion_common.telemetry.tracing import Tracing, setup_tracing

READINESS_EVERY_S: Final = 5
UNREADY_EVERY_S: Final = 1
GC_THRESHOLDS: Final = (100_000, 20, 20)
"""Allocations before a collection of the young; collections of a generation before one of the next."""
READINESS_TIMEOUT_S: Final = 3
_WRITABLE: Final = "SELECT current_setting('transaction_read_only') = 'off' AND NOT pg_is_in_recovery()"
"""False on a standby, under `default_transaction_read_only`, and on a connection that was left read-only."""
BACKGROUND_RESERVE_S: Final = 5
"""Of the grace period, at most half: what background tasks have for themselves after the last call has ended."""
CLOSE_TIMEOUT_S: Final = 12
"""For each of NATS and the channels to close."""

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1

IDENTITY: Final = "identity"
"""Signs tokens: it knows its own keys, and the others ask it for them."""

BackgroundTask = Callable[[asyncio.Event], Awaitable[None]]
Build = Callable[["Runtime"], Awaitable[None]]

log = get_logger(__name__)


@dataclass
class Runtime:
    """What a service's wiring gets, and what it hands back through `serve` and `background`."""

    settings: Any
    clock: Clock
    database: Database
    nats: Client
    js: JetStreamContext
    channels: Channels
    verifier: TokenVerifier
    flags: Flags
    registrations: list[Registration] = field(default_factory=list)
    service_names: list[str] = field(default_factory=list)
    tasks: dict[str, BackgroundTask] = field(default_factory=dict)
    gates: list[tuple[Flags, FlagTable]] = field(default_factory=list)
    streams: StreamWatch | None = None

    def serve(self, registration: Registration, service_name: str) -> None:
        """Serve one more gRPC service, by its full name, such as `apportion.ledger.v1.LedgerService`."""
        self.registrations.append(registration)
        self.service_names.append(service_name)

    def behind(self, table: FlagTable) -> None:
        """Refuse the RPCs of a service whose flags are closed, as its table declares them."""
        self.gates.append((self.flags, table))

    def needs_streams(self, rights: Rights) -> None:
        """Be ready only while every stream is there that these rights are about."""
        self.streams = StreamWatch(self.nats, rights.streams())

    def trust_keys(self, source: KeySource) -> None:
        """Verify tokens by the keys of a source too, and keep them current beside the server."""
        self.verifier.trust(source)
        self.background("token_keys", source.run)

    def background(self, name: str, task: BackgroundTask) -> None:
        """Run a task beside the server until the event it is given is set. Raises ValueError for a name taken."""
        if name in self.tasks:
            raise ValueError(f"There is a background task {name!r} already.")
        self.tasks[name] = task


async def run_service(settings: ServiceSettings, build: Build, *, clock: Clock | None = None) -> None:
    """Run a service until it is told to end. Raises SystemExit(1) when it failed."""
    if await run_until_stopped(settings, build, clock=clock) != EXIT_OK:
        raise SystemExit(EXIT_FAILED)


async def run_until_stopped(settings: ServiceSettings, build: Build, *, clock: Clock | None = None) -> int:
    """Run a service until SIGTERM, SIGINT or a failure; the exit code."""
    configure_logs(settings.service_name(), settings.log_level)
    process = _Process(settings, SystemClock() if clock is None else clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop, number.name)
    try:
        return await process.run(build)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class _Process:
    """One run, from start to exit code."""

    def __init__(self, settings: ServiceSettings, clock: Clock) -> None:
        self._settings = settings
        self._service = settings.service_name()
        self._clock = clock
        self._stopping = asyncio.Event()
        self._failed = False
        self._starting = True
        self._server: RunningServer | None = None

    def stop(self, why: str) -> None:
        """Begin to end; a second call changes nothing."""
        if not self._stopping.is_set():
            log.info("stopping", why=why)
            self._stopping.set()

    def fail(self, what: str, error: BaseException) -> None:
        """End, with exit 1."""
        log.error("failed", what=what, exc_info=error)
        self._failed = True
        self.stop(what)

    async def run(self, build: Build) -> int:
        """Start, wait, end."""
        work = asyncio.create_task(self._live(build), name="service")
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._starting:
                work.cancel()  # Told to end while something is still awaited: nothing is served yet.
            await asyncio.wait({work})
        finally:
            stopping.cancel()
        if not work.cancelled() and (error := work.exception()) is not None:
            self.fail("start", error)
        log.info("stopped", failed=self._failed)
        return EXIT_FAILED if self._failed else EXIT_OK

    async def _live(self, build: Build) -> None:
        settings = self._settings
        async with contextlib.AsyncExitStack() as ending:
            await ending.enter_async_context(
                MetricsServer(settings.metrics_listen, self._is_ready, details=STANDSTILLS.lines)
            )
            tracing = setup_tracing(
                self._service,
                settings.worker_id,
                otlp_endpoint=settings.otel_exporter_otlp_endpoint,
                trace_file=settings.trace_file,
            )
            ending.push_async_callback(_flush, tracing)
            database, readiness = await ending.enter_async_context(_database(settings, self._service, self._clock))
            client = await ending.enter_async_context(_nats(settings, self._service, self._nats_closed))
            try:
                await self._wire_and_serve(build, database, readiness, client, ending)
            except Exception as error:
                # Said before anything is closed, so that what follows from closing is not taken for the cause.
                self._starting = False
                self.fail("start", error)

    async def _wire_and_serve(
        self,
        build: Build,
        database: Database,
        readiness: Connections,
        client: Client,
        ending: contextlib.AsyncExitStack,
    ) -> None:
        """Make what the service's wiring needs, let it wire, and serve."""
        settings = self._settings
        channels = Channels(settings)
        ending.push_async_callback(_bounded, "channels", channels.close)
        runtime = Runtime(
            settings=settings,
            clock=self._clock,
            database=database,
            nats=client,
            js=client.jetstream(),
            channels=channels,
            verifier=TokenVerifier(settings.jwks_file, settings.token_issuer, settings.token_audience, self._clock),
            flags=Flags(self._service, file=settings.feature_flags_file),
        )
        if settings.identity_address and self._service != IDENTITY:
            runtime.trust_keys(KeySource(keys_of_identity(channels.channel(settings.identity_address))))
        await build(runtime)
        failpoints.arm(settings.fail_point, settings.environment)
        await self._serve(runtime, readiness)

    def _nats_closed(self) -> None:
        """End the process: NATS gave the connection up for good; only a new process gets another."""
        if not self._stopping.is_set():
            self.fail("nats", ConnectionError("The connection to NATS is closed for good."))

    def _is_ready(self) -> bool:
        return self._server is not None and self._server.is_ready

    async def _serve(self, runtime: Runtime, readiness: Connections) -> None:
        """Serve until told to end; then end the calls, then the background tasks."""
        settings = self._settings
        server = await start_server(
            settings, runtime.registrations, runtime.service_names, verifier=runtime.verifier, gates=runtime.gates
        )
        self._server = server
        self._starting = False
        _settle_garbage_collector()
        ending = asyncio.Event()
        tasks = [asyncio.create_task(self._background(n, t, ending), name=n) for n, t in runtime.tasks.items()]
        probing = asyncio.create_task(self._keep_ready(server, runtime, readiness), name="readiness")
        loop = asyncio.get_running_loop()
        try:
            await self._stopping.wait()
        finally:
            probing.cancel()
            deadline = loop.time() + settings.shutdown_grace_s
            await server.set_ready(False)
            await asyncio.sleep(settings.shutdown_delay_s)
            await server.stop(max(settings.shutdown_grace_s / 2, settings.shutdown_grace_s - BACKGROUND_RESERVE_S))
            log.info("calls_ended")
            ending.set()
            await _end_tasks(tasks, max(deadline - loop.time(), 0))
            await cancel_and_wait(probing)
            log.info("background_ended")

    async def _background(self, name: str, task: BackgroundTask, ending: asyncio.Event) -> None:
        """Run one background task; its failure ends the process."""
        try:
            await task(ending)
        except Exception as error:
            self.fail(f"background task {name}", error)

    async def _keep_ready(self, server: RunningServer, runtime: Runtime, connections: Connections) -> None:
        """Ready while the database answers and takes writes, on a connection that nothing else waits for, and no stream
        is missing.
        """
        while True:
            has_streams = runtime.streams is None or await runtime.streams.look()
            ready = await _takes_writes(connections) and has_streams
            await server.set_ready(ready)
            await asyncio.sleep(READINESS_EVERY_S if ready else UNREADY_EVERY_S)


def _settle_garbage_collector() -> None:
    """Leave what stands for the process's life out of collections, and collect the young less often.

    A batch makes thousands of objects that die with it and hold no cycles: looking through them cost a quarter of
    the writer's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _takes_writes(connections: Connections) -> bool:
    """Return whether a transaction could write now."""
    try:
        async with asyncio.timeout(READINESS_TIMEOUT_S), connections.lend(Mode.WRITE) as connection:
            writable: bool = (await connection.execute(sqlalchemy.text(_WRITABLE))).scalar_one()
    except (sqlalchemy.exc.SQLAlchemyError, OSError, TimeoutError) as error:
        STANDSTILLS.set("database", dict([state_of(error)]))
        return False
    STANDSTILLS.set("database", {} if writable else {DATABASE_READ_ONLY: "PostgreSQL answers and takes no writes"})
    return writable


async def _end_tasks(tasks: list[asyncio.Task[None]], timeout_s: float) -> None:
    """Wait for the tasks to end by themselves, and cancel those that do not."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=timeout_s)
    for task in late:
        log.warning("background_task_cancelled", name=task.get_name())
        await cancel_and_wait(task)
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _database(
    settings: ServiceSettings, service: str, clock: Clock
) -> AsyncIterator[tuple[Database, Connections]]:
    """Open the service's database, traced and with its pools in the metrics, and a connection for readiness alone.

    A paused process loses its transactions, and so its locks, well before its lanes: after a third of the lease.
    """

    def engine(connections: int) -> AsyncEngine:
        return make_engine(
            settings.database_url,
            f"{service}/{settings.worker_id}",
            connections,
            idle_in_transaction_timeout_ms=min(IDLE_IN_TRANSACTION_TIMEOUT_MS, settings.lane_lease_s * 1_000 // 3),
        )

    calls, work = engine(settings.database_call_pool_size), engine(settings.database_work_pool_size)
    for traced in (calls, work):
        trace_statements(traced)
    database = Database(work, service, clock, call_engine=calls)
    readiness = Connections(engine(READINESS_POOL_CONNECTIONS), f"{service}-readiness")
    pools = (database.call_connections, database.connections, readiness)
    for pool in pools:
        pool.observe()
    try:
        yield database, readiness
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))
        log.info("database_closed")


@contextlib.asynccontextmanager
async def _nats(settings: ServiceSettings, service: str, on_closed: Callable[[], None]) -> AsyncIterator[Client]:
    """Open the service's NATS connection, and drain it at the end."""
    client = await connect(settings, service, on_closed=on_closed)
    try:
        yield client
    finally:
        await _bounded("nats", client.drain)
        log.info("nats_drained")


async def _bounded(what: str, close: Callable[[], Awaitable[object]]) -> None:
    """Close something; what does not close in time is left to the process's end."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await close()
    except (TimeoutError, OSError, nats.errors.Error) as error:
        log.warning("not_closed", what=what, error=type(error).__name__)


async def _flush(tracing: Tracing) -> None:
    """Write the spans that are held back; the exporters block, so beside the loop."""
    await asyncio.to_thread(tracing.shutdown)
