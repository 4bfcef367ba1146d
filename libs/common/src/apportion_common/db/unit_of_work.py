"""The unit of work: one transaction, with the audit entries and events that belong to it.

    async with database.transaction() as tx:
        await tx.execute(insert(partner).values(...))
        await tx.audit("partner.create", f"partner/{partner_id}", after=row)
        await tx.publish("ledger.partner.created", message)

It commits at the end of the block and rolls back on any error; nothing inside commits by itself. Audit entries,
events and a mutation's answer are gathered and written by one statement just before the commit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg
from google.protobuf.message import Message
from sqlalchemy import CursorResult, Executable, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion_common.caller import current_call
from apportion_common.clock import Clock
from apportion_common.db.actor import current_actor, current_trace_id, current_traceparent
from apportion_common.db.audit_json import audit_json
from apportion_common.db.connections import Connections, Mode
from apportion_common.db.tables import SharedTables, shared_tables
from apportion_common.envelope import make_envelope
from apportion_common.errors import OutOfRange
from apportion_common.faults import retry_conflicts
from apportion_common.ids import uuid7
from apportion_common.topology import EVENTS_SUBJECT

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

SHARED: Final[SharedTables] = shared_tables(MetaData())
"""The shared tables, for statements of this package; services have their own in their metadata."""

MESSAGE_BYTES_MAX: Final = 512 * 1024
"""Largest payload of an outbox row; NATS takes 1 MiB including headers and cuts the connection beyond."""

_AUDIT: Final = (
    *("audit_id", "actor", "acting_for", "org_id", "action", "resource"),
    *("before", "after", "request_id", "trace_id"),
)
_OUTBOX: Final = ("outbox_id", "subject", "msg_id", "payload", "headers")
_CLOSE: Final = text(
    """
    WITH answered AS (
        UPDATE request_record SET response = :response WHERE subject = :subject AND request_id = :request_id
    ), audited AS (
        INSERT INTO audit_entry
               (audit_id, actor, acting_for, org_id, action, resource, before, after, request_id, trace_id)
        SELECT *
          FROM unnest(CAST(:audit_audit_id AS uuid[]), CAST(:audit_actor AS text[]), CAST(:audit_acting_for AS text[]),
                      CAST(:audit_org_id AS uuid[]), CAST(:audit_action AS text[]), CAST(:audit_resource AS text[]),
                      CAST(:audit_before AS jsonb[]), CAST(:audit_after AS jsonb[]), CAST(:audit_request_id AS text[]),
                      CAST(:audit_trace_id AS text[]))
    )
    INSERT INTO outbox (outbox_id, subject, msg_id, payload, headers)
    SELECT *
      FROM unnest(CAST(:outbox_outbox_id AS uuid[]), CAST(:outbox_subject AS text[]), CAST(:outbox_msg_id AS text[]),
                  CAST(:outbox_payload AS bytea[]), CAST(:outbox_headers AS jsonb[]))
    """
)
"""Each table takes the rows of its arrays, in their order; a column's array may be empty."""
_NO_ANSWER: Final[Mapping[str, object]] = {"subject": None, "request_id": None, "response": None}


class Transaction:
    """A transaction in progress; made by `Database.transaction`."""

    def __init__(self, connection: AsyncConnection, service: str, clock: Clock) -> None:
        """Wrap a connection on which a transaction has begun."""
        self.connection = connection
        self.service = service
        self.clock = clock
        self.request_id: str | None = None
        """The mutation's own request id, set by `run_mutation`; audit entries carry it."""
        self._audit: list[Mapping[str, object]] = []
        self._outbox: list[Mapping[str, object]] = []
        self._answer: Mapping[str, object] = _NO_ANSWER
        self._driver: psycopg.AsyncConnection[Any] | None = None

    @property
    def has_messages(self) -> bool:
        """Whether the transaction puts messages into the outbox."""
        return bool(self._outbox)

    async def execute(self, statement: Executable | str, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Execute a statement (SQLAlchemy, or SQL text with `:name` parameters); a list of parameters runs many."""
        executable = text(statement) if isinstance(statement, str) else statement
        return await self.connection.execute(executable, parameters)

    async def raw(self) -> psycopg.AsyncConnection[Any]:
        """Return the psycopg connection of this very transaction, for COPY and the like; never commit or close it."""
        if self._driver is None:
            await self._begin()
            outer = await self.connection.get_raw_connection()
            driver = outer.driver_connection
            assert isinstance(driver, psycopg.AsyncConnection)
            self._driver = driver
        return self._driver

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Open a savepoint: an error inside undoes what was done inside, and is raised on."""
        audited, enqueued = len(self._audit), len(self._outbox)
        try:
            async with self.connection.begin_nested():
                yield
        except BaseException:
            del self._audit[audited:], self._outbox[enqueued:]
            raise

    async def audit(
        self,
        action: str,
        resource: str,
        *,
        org_id: UUID | None = None,
        before: Mapping[str, object] | Message | None = None,
        after: Mapping[str, object] | Message | None = None,
    ) -> None:
        """Record a change in this transaction, such as "partner.create" on "partner/<id>" (spec 06, audit).

        `before` and `after` are stored as JSON in which personal and secret values are replaced. The actor is the
        caller of the RPC being served, or the service itself in background work.
        """
        actor = current_actor(self.service)
        self._audit.append(
            {
                "audit_id": self._new_id(),
                "actor": actor.subject,
                "acting_for": actor.acting_for,
                "org_id": org_id,
                "action": action,
                "resource": resource,
                "before": None if before is None else json.dumps(audit_json(before)),
                "after": None if after is None else json.dumps(audit_json(after)),
                "request_id": self.request_id or actor.request_id,
                "trace_id": current_trace_id(),
            }
        )

    async def publish(self, event_type: str, message: Message, *, org_id: UUID | None = None) -> UUID:
        """Put an event into the outbox, to be published as `events.<event_type>` in an EventEnvelope; return its id."""
        event_id = self._new_id()
        envelope = make_envelope(
            event_id,
            event_type,
            self.service,
            self.clock.now(),
            message,
            org_id=org_id,
            traceparent=current_traceparent(),
        )
        await self.enqueue(
            f"{EVENTS_SUBJECT}.{event_type}", envelope.SerializeToString(), msg_id=str(event_id), outbox_id=event_id
        )
        return event_id

    async def enqueue(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        outbox_id: UUID | None = None,
    ) -> None:
        """Put any message into the outbox; the relay publishes it after the commit, at least once.

        `msg_id` (the outbox row's id when None) lets the stream drop a second publication within two minutes.
        OutOfRange ENVELOPE_TOO_LARGE beyond MESSAGE_BYTES_MAX.
        """
        if len(payload) > MESSAGE_BYTES_MAX:
            raise OutOfRange(
                "ENVELOPE_TOO_LARGE", f"A message has at most {MESSAGE_BYTES_MAX} bytes; this one has {len(payload)}."
            )
        row_id = outbox_id or self._new_id()
        traceparent = current_traceparent()
        self._outbox.append(
            {
                "outbox_id": row_id,
                "subject": subject,
                "msg_id": msg_id or str(row_id),
                "payload": payload,
                "headers": json.dumps({**({"traceparent": traceparent} if traceparent else {}), **(headers or {})}),
            }
        )

    def answer(self, subject: str, request_id: str, response: bytes) -> None:
        """Keep a mutation's answer in the record that its caller and request id have claimed in this transaction."""
        self._answer = {"subject": subject, "request_id": request_id, "response": response}

    async def close(self) -> None:
        """Write what was gathered; called once, before the commit."""
        if not self._audit and not self._outbox and self._answer is _NO_ANSWER:
            return
        await self.execute(
            _CLOSE,
            {
                **self._answer,
                **{f"audit_{name}": [row[name] for row in self._audit] for name in _AUDIT},
                **{f"outbox_{name}": [row[name] for row in self._outbox] for name in _OUTBOX},
            },
        )

    async def _begin(self) -> None:
        """Make sure that SQLAlchemy knows of the transaction that the driver is about to open."""
        if not self.connection.in_transaction():
            await self.connection.begin()

    def _new_id(self) -> UUID:
        return uuid7(self.clock.now_us() * 1_000)


class Database:
    """A service's database: where transactions come from."""

    def __init__(
        self, engine: AsyncEngine, service: str, clock: Clock, *, call_engine: AsyncEngine | None = None
    ) -> None:
        """Use an engine for a service (its short name, such as "ledger"), and another one for calls from outside.

        Whoever serves a call borrows from the second, everything else from the first, so that neither waits for the
        other's connections; without a second one all borrow from the first.
        """
        self.engine = engine
        self.connections = Connections(engine, service if call_engine is None else f"{service}-work")
        self.call_connections = (
            self.connections if call_engine is None else Connections(call_engine, f"{service}-calls")
        )
        self.service = service
        self.clock = clock
        self.outbox_filled = asyncio.Event()
        """Set when a transaction has put messages into the outbox, for the relay of this process, which clears it."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction at READ COMMITTED: committed at the end of the block, rolled back on any error."""
        async with self._connections().lend(Mode.WRITE) as connection:
            tx = Transaction(connection, self.service, self.clock)
            yield tx
            await tx.close()
        if tx.has_messages:
            self.outbox_filled.set()

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """Open a read-only transaction, rolled back at its end; with `snapshot` all statements see one instant."""
        async with self._connections().lend(Mode.SNAPSHOT if snapshot else Mode.READ) as connection:
            yield connection

    def _connections(self) -> Connections:
        """Return whose turn it is: the task's, which either serves a call or does not."""
        return self.connections if current_call() is None else self.call_connections

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction of its own, again when it loses against another one (40001, 40P01).

        `work` has no effect outside the transaction: it may run several times.
        """

        async def once() -> T:
            async with self.transaction() as tx:
                return await work(tx)

        return await retry_conflicts(once)
