"""The unit of work against PostgreSQL: all of it or nothing, with names, limits, audit and announcements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion_common.caller import Caller, CallInfo, acting_as, serving
from apportion_common.clock import SystemClock
from apportion_common.db import connections
from apportion_common.db import engine as engine_module
from apportion_common.db.audit_query import AuditTrail
from apportion_common.db.engine import make_engine, normalise_url
from apportion_common.db.unit_of_work import MESSAGE_BYTES_MAX, SHARED, Database, Transaction
from apportion_common.envelope import unpack
from apportion_common.errors import InvalidArgument, OutOfRange
from apportion_common.faults import classify, sqlstate_of
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import BlankDatabase
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

PATIENCE_S = 60


@pytest.fixture
def place(base_database: BlankDatabase) -> ServiceDatabase:
    return base_database()


@pytest.fixture
def database(place: ServiceDatabase) -> Database:
    return place.database()


async def test_an_error_undoes_everything_and_the_end_of_the_block_commits(
    place: ServiceDatabase, database: Database
) -> None:
    async def work(tx: Transaction) -> None:
        await tx.audit("partner.create", "partner/1")
        await tx.publish("base.partner.created", AuditEntry())
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        await database.run(work)
    assert fetch_all(place.owner_url, "SELECT count(*) FROM audit_entry") == [(0,)]
    assert fetch_all(place.owner_url, "SELECT count(*) FROM outbox") == [(0,)]

    async with database.transaction() as tx:
        await tx.audit("partner.create", "partner/1")
    assert fetch_all(place.owner_url, "SELECT actor, action, resource FROM audit_entry") == [
        ("service:base", "partner.create", "partner/1")
    ]


async def test_the_raw_connection_works_in_the_same_transaction(place: ServiceDatabase, database: Database) -> None:
    async def copy_one(fail: bool) -> None:
        async with database.transaction() as tx:
            raw = await tx.raw()
            async with raw.cursor() as cursor, cursor.copy("COPY inbox (consumer, event_id) FROM STDIN") as copy:
                await copy.write_row(("c", uuid4()))
            seen = (await tx.execute("SELECT count(*) FROM inbox WHERE consumer = :name", {"name": "c"})).scalar_one()
            assert seen == 1
            if fail:
                raise RuntimeError("undo")

    with pytest.raises(RuntimeError, match="undo"):
        await copy_one(fail=True)
    assert fetch_all(place.owner_url, "SELECT count(*) FROM inbox") == [(0,)]
    await copy_one(fail=False)
    assert fetch_all(place.owner_url, "SELECT count(*) FROM inbox") == [(1,)]


async def test_a_savepoint_undoes_only_what_was_done_inside_it(place: ServiceDatabase, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.audit("kept", "r/1")

        async def work() -> None:
            async with tx.savepoint():
                await tx.audit("lost", "r/1")
                await tx.execute("SELECT 1 / 0")

        with pytest.raises(DBAPIError):
            await work()
    assert fetch_all(place.owner_url, "SELECT action FROM audit_entry") == [("kept",)]


async def test_every_session_has_a_name_and_time_limits(place: ServiceDatabase) -> None:
    engine = make_engine(
        place.app_url,
        "base relay",
        2,
        statement_timeout_ms=1_234,
        lock_timeout_ms=567,
        idle_in_transaction_timeout_ms=890,
    )
    names = [
        "application_name",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_isolation",
        "TimeZone",
    ]
    async with engine.connect() as connection:
        found = [(await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in names]
    await engine.dispose()
    assert found == ["base relay", "1234ms", "567ms", "890ms", "read committed", "UTC"]


def test_only_postgresql_urls_are_taken_and_no_password_is_shown() -> None:
    assert normalise_url("postgresql://a:b@h/d").drivername == "postgresql+psycopg"
    assert normalise_url("postgres://a:b@h/d").drivername == "postgresql+psycopg"
    with pytest.raises(ValueError, match="mysql") as refused:
        normalise_url("mysql://a:verysecret@h/d")
    assert "verysecret" not in str(refused.value)


async def test_a_read_cannot_write_and_a_snapshot_sees_one_instant(place: ServiceDatabase, database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(text("UPDATE config_head SET revision = 5"))
    assert sqlstate_of(refused.value) == "25006"

    async with database.read(snapshot=True) as connection:
        before = (await connection.execute(text("SELECT revision FROM config_head"))).scalar_one()
        async with database.transaction() as tx:
            await tx.execute("UPDATE config_head SET revision = revision + 1")
        assert (await connection.execute(text("SELECT revision FROM config_head"))).scalar_one() == before
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT revision FROM config_head"))).scalar_one() == before + 1
    async with database.transaction() as tx:
        await tx.execute("UPDATE config_head SET revision = revision + 1")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET action = 'x'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "SET LOCAL session_replication_role = replica; DELETE FROM audit_entry",
    ],
)
async def test_not_even_the_owner_changes_an_audit_entry(
    place: ServiceDatabase, database: Database, statement: str
) -> None:
    async with database.transaction() as tx:
        await tx.audit("partner.create", "partner/1")
    with (
        psycopg.connect(place.owner_url) as connection,
        pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)),
    ):
        connection.execute(statement.encode())
    with psycopg.connect(place.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())
    assert fetch_all(place.owner_url, "SELECT action FROM audit_entry") == [("partner.create",)]


async def test_an_audit_entry_names_the_caller_and_holds_nothing_personal(
    place: ServiceDatabase, database: Database
) -> None:
    org_id = uuid4()
    with acting_as(Caller("user:7", frozenset({"owner"}), org_id, (), "req-1")):
        async with database.transaction() as tx:
            await tx.audit(
                "partner.update",
                "partner/1",
                org_id=org_id,
                before=None,
                after={
                    "email": "a@b.example",
                    "tax_id": "123",
                    "api_key": "k",
                    "nested": {"secret": "s", "note": "write to x@y.example now"},
                    "list": [{"token": "t"}],
                    "pct": Decimal("12.5000"),
                    "partner_id": org_id,
                    "big": 2**60,
                    "at": datetime(2026, 1, 2, tzinfo=UTC),
                    "rows": [{"effective_at_us": 1_356_998_400_000_001, "end_at_us": None, "wait_us": 7}],
                },
            )
    rows = fetch_all(place.owner_url, "SELECT actor, org_id, request_id, before, after FROM audit_entry")
    assert rows == [
        (
            "user:7",
            org_id,
            "req-1",
            None,
            {
                "email": "[redacted]",
                "tax_id": "[redacted]",
                "api_key": "[redacted]",
                "nested": {"secret": "[redacted]", "note": "write to [redacted] now"},
                "list": [{"token": "[redacted]"}],
                "pct": "12.5000",
                "partner_id": str(org_id),
                "big": str(2**60),
                "at": "2026-01-02T00:00:00Z",
                "rows": [{"effective_at": "2013-01-01T00:00:00.000001Z", "end_at": None, "wait_us": 7}],
            },
        )
    ]


async def test_audit_entries_are_listed_newest_first_page_by_page(database: Database) -> None:
    org_id = uuid4()
    for number in range(7):
        async with database.transaction() as tx:
            await tx.audit(
                "thing.create", f"thing/{number}", org_id=org_id if number % 2 else None, after={"n": number}
            )
    seen: list[str] = []
    query = AuditQuery(page_size=3)
    trail = AuditTrail(database, SHARED)
    while True:
        entries, query.page_token = await trail.page(query)
        seen += [entry.resource for entry in entries]
        if not query.page_token:
            break
    assert seen == [f"thing/{number}" for number in reversed(range(7))]
    entries, token = await trail.page(AuditQuery(org_id=str(org_id)))
    assert [entry.after["n"] for entry in entries] == [5, 3, 1]
    assert token == ""
    entries, _ = await trail.page(AuditQuery(resource="thing/4"))
    assert [entry.resource for entry in entries] == ["thing/4"]
    for bad in ("x", "AAAA", "é", "A" * 33, "_" * 32):
        with pytest.raises(InvalidArgument) as refused:
            await trail.page(AuditQuery(page_token=bad))
        assert refused.value.reason == "PAGE_TOKEN_MALFORMED"
    with pytest.raises(InvalidArgument) as refused:
        await trail.page(AuditQuery(page_size=1_001))
    assert refused.value.reason == "PAGE_SIZE_INVALID"


async def test_an_announcement_is_an_envelope_in_the_outbox(place: ServiceDatabase, database: Database) -> None:
    org_id = uuid4()
    async with database.transaction() as tx:
        event_id = await tx.publish("base.thing.created", AuditEntry(action="x"), org_id=org_id)
    ((outbox_id, subject, msg_id, payload),) = fetch_all(
        place.owner_url, "SELECT outbox_id, subject, msg_id, payload FROM outbox"
    )
    envelope = EventEnvelope.FromString(payload)
    assert (outbox_id, subject, msg_id) == (event_id, "events.base.thing.created", str(event_id))
    assert (UUID(envelope.id), envelope.source, envelope.org_id) == (event_id, "base", str(org_id))
    assert unpack(envelope, AuditEntry).action == "x"
    with pytest.raises(InvalidArgument) as refused:
        unpack(envelope, AuditQuery)
    assert refused.value.reason == "PAYLOAD_TYPE"


async def test_a_message_that_no_server_would_take_is_refused_before_it_is_written(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(OutOfRange) as refused:
            await tx.enqueue("events.base.big", b"x" * (MESSAGE_BYTES_MAX + 1))
    assert refused.value.reason == "ENVELOPE_TOO_LARGE"


async def test_a_transaction_that_lost_a_deadlock_is_run_again(place: ServiceDatabase, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO lane (role, lane) VALUES ('r', 0), ('r', 1)")
    both = asyncio.Barrier(2)
    runs: list[int] = []

    async def bump(first: int) -> None:
        async def work(tx: Transaction) -> None:
            runs.append(first)
            await tx.execute("UPDATE lane SET pos = pos + 1 WHERE lane = :lane", {"lane": first})
            if len(runs) <= 2:
                await both.wait()
            await tx.execute("UPDATE lane SET pos = pos + 1 WHERE lane = :lane", {"lane": 1 - first})

        await database.run(work)

    await asyncio.gather(bump(0), bump(1))
    assert len(runs) == 3
    assert fetch_all(place.owner_url, "SELECT pos FROM lane ORDER BY lane") == [(2,), (2,)]


async def test_errors_are_the_datas_or_the_surroundings_fault(place: ServiceDatabase, database: Database) -> None:
    async def error_of(statement: str) -> BaseException:
        with pytest.raises(DBAPIError) as raised:
            async with database.transaction() as tx:
                await tx.execute(statement)
        return raised.value

    assert classify(await error_of("SELECT 1 / 0")) == "data"
    assert classify(await error_of("INSERT INTO config_head (only, revision) VALUES (true, 1)")) == "data"
    assert classify(await error_of("SELECT pg_terminate_backend(pg_backend_pid())")) == "infrastructure"
    assert classify(await error_of("SELECT 1 FROM nowhere")) == "infrastructure"
    assert classify(await error_of("SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)")) == "infrastructure"
    lost = make_engine("postgresql://x:y@127.0.0.1:1/z", "base", 1)
    with pytest.raises(DBAPIError) as refused:
        async with lost.connect():
            raise AssertionError("unreachable")
    assert classify(refused.value) == "infrastructure"
    idle = Database(make_engine(place.app_url, "base", 1, idle_in_transaction_timeout_ms=50), "base", SystemClock())

    async def pause(tx: Transaction) -> None:
        (own,) = (await tx.execute("SELECT pg_backend_pid()")).one()
        async with asyncio.timeout(PATIENCE_S):
            while fetch_all(place.owner_url, f"SELECT 1 FROM pg_stat_activity WHERE pid = {own}"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await tx.execute("SELECT 1")

    with pytest.raises(DBAPIError) as paused:
        await idle.run(pause)
    await idle.engine.dispose()
    assert classify(paused.value) == "infrastructure"
    assert classify(ValueError("x")) == "data"
    assert classify(TimeoutError()) == "infrastructure"
    assert classify(InvalidArgument("X", "x")) == "data"


async def test_what_was_gathered_is_written_in_its_order_with_the_answer_that_belongs_to_it(
    place: ServiceDatabase, database: Database
) -> None:
    await database.run(_two_of_each)
    assert fetch_all(
        place.owner_url, "SELECT action, org_id IS NULL, after FROM audit_entry ORDER BY at, audit_id"
    ) == [
        ("first", True, {"name": 'a "quoted" one, {with} \\ é'}),
        ("second", False, None),
    ]
    assert fetch_all(place.owner_url, "SELECT subject FROM outbox ORDER BY created_at, outbox_id") == [
        ("events.base.one",),
        ("events.base.two",),
    ]


async def _two_of_each(tx: Transaction) -> None:
    await tx.audit("first", "r/1", after={"name": 'a "quoted" one, {with} \\ é'})
    await tx.publish("base.one", AuditEntry())
    await tx.audit("second", "r/1", org_id=uuid4())
    await tx.publish("base.two", AuditEntry())


async def test_a_connection_that_was_lost_while_it_lay_unused_is_replaced(
    place: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PING_AFTER_IDLE_S", 0)
    engine = make_engine(place.app_url, "base", 1)
    lost = await _lost(place, engine)
    assert await _pid(engine) != lost
    await engine.dispose()


async def test_a_connection_that_is_lost_just_before_its_use_fails_one_call_as_infrastructure(
    place: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PING_AFTER_IDLE_S", 3_600)
    engine = make_engine(place.app_url, "base", 1)
    lost = await _lost(place, engine)
    with pytest.raises(DBAPIError) as failed:
        await _pid(engine)
    assert classify(failed.value) == "infrastructure"
    assert await _pid(engine) != lost
    await engine.dispose()


@pytest.mark.parametrize(
    "change",
    [
        lambda driver: driver.set_read_only(True),
        lambda driver: driver.set_autocommit(True),
        lambda driver: driver.set_deferrable(True),
        lambda driver: driver.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE),
    ],
)
async def test_a_connection_that_comes_back_in_another_state_is_closed(
    place: ServiceDatabase, change: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]
) -> None:
    engine = make_engine(place.app_url, "base", 1)
    async with engine.connect() as connection:
        outer = await connection.get_raw_connection()
        driver = outer.driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)
        changed = driver.info.backend_pid
        await change(driver)
    async with Database(engine, "base", SystemClock()).transaction() as tx:
        pid, read_only, level = (
            await tx.execute(
                "SELECT pg_backend_pid(), current_setting('transaction_read_only'),"
                " current_setting('transaction_isolation')"
            )
        ).one()
        await tx.execute("UPDATE config_head SET revision = revision + 1")
    await engine.dispose()
    assert pid != changed
    assert (read_only, level) == ("off", "read committed")


@pytest.mark.parametrize("snapshot", [False, True])
async def test_a_read_costs_its_statements_and_two_round_trips(place: ServiceDatabase, snapshot: bool) -> None:
    async with Wire.to(place.app_url) as wire:
        database = Database(make_engine(wire.url, "base", 1), "base", SystemClock())
        for statements in (1, 3):
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
            wire.round_trips = 0
            async with database.read(snapshot=snapshot) as connection:
                for _ in range(statements):
                    await connection.execute(text("SELECT 1"))
            assert wire.round_trips == statements + 2
        await database.connections.close()


async def test_a_session_that_answers_no_more_is_closed_and_makes_room(
    place: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RETURN_TIMEOUT_S", 0.1)
    async with Wire.to(place.app_url) as wire:
        database = Database(make_engine(wire.url, "base", 1), "base", SystemClock())
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
            wire.is_cut = True
        wire.is_cut = False
        async with database.transaction() as tx:
            await tx.execute("UPDATE config_head SET revision = revision + 1")
        await database.connections.close()


async def test_who_finds_no_free_connection_is_told_in_time(
    place: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "POOL_WAIT_S", 0.05)
    database = Database(make_engine(place.app_url, "base", 1), "base", SystemClock())
    async with database.read():
        with pytest.raises(PoolTimeoutError) as refused:
            async with database.read():
                raise AssertionError("unreachable")
    assert classify(refused.value) == "infrastructure"
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
    await database.connections.close()


class Wire:
    """A way to a server that counts round trips, and can be cut without either end being told."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.round_trips = 0
        self.is_cut = False

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Wire]:
        wire = cls(normalise_url(url))
        server = await asyncio.start_server(wire._join, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        inside = wire._url.set(drivername="postgresql", host="127.0.0.1", port=port)
        wire.url = inside.render_as_string(hide_password=False)
        yield wire
        server.close()
        for task in wire._tasks:
            task.cancel()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        inner_reader, inner_writer = await asyncio.open_connection(self._url.host, self._url.port)
        self._tasks.add(asyncio.create_task(self._copy(reader, inner_writer, 1)))
        self._tasks.add(asyncio.create_task(self._copy(inner_reader, writer, 0)))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trips: int) -> None:
        while data := await reader.read(65_536):
            self.round_trips += trips
            if not self.is_cut:
                writer.write(data)
        writer.close()


async def _lost(place: ServiceDatabase, engine: AsyncEngine) -> int:
    """The server process of the engine's connection, ended while that lies in the pool."""
    pid = await _pid(engine)
    fetch_all(place.app_url, f"SELECT pg_terminate_backend({pid})")
    return pid


async def _pid(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


@pytest.mark.parametrize("busy", ["calls", "work"])
async def test_neither_calls_nor_background_work_take_the_connections_of_the_other(
    place: ServiceDatabase, monkeypatch: pytest.MonkeyPatch, busy: str
) -> None:
    monkeypatch.setattr(connections, "POOL_WAIT_S", 0.05)
    work, calls = (make_engine(place.app_url, "base", 1) for _ in range(2))
    database = Database(work, "base", SystemClock(), call_engine=calls)

    async def read(who: str) -> None:
        with serving(CallInfo("a call", "1")) if who == "calls" else nullcontext():
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))

    with serving(CallInfo("a call", "1")) if busy == "calls" else nullcontext():
        holding = database.transaction()
        await holding.__aenter__()
    other = "work" if busy == "calls" else "calls"
    try:
        await read(other)
        with pytest.raises(PoolTimeoutError):
            await read(busy)
    finally:
        await holding.__aexit__(None, None, None)
    await read(busy)
    await database.connections.close()
    await database.call_connections.close()


@pytest.mark.parametrize("snapshot", [False, True])
async def test_a_read_outlives_its_own_process_standing_idle_for_longer_than_a_writer_may(
    place: ServiceDatabase, snapshot: bool
) -> None:
    database = Database(make_engine(place.app_url, "base", 1, idle_in_transaction_timeout_ms=50), "base", SystemClock())
    async with database.read(snapshot=snapshot) as connection:
        (own,) = (await connection.execute(text("SELECT pg_backend_pid()"))).one()
        await asyncio.sleep(0.5)  # Ten times as long as a writer may.
        assert (await connection.execute(text("SELECT pg_backend_pid()"))).one() == (own,)
    await database.connections.close()
