"""Idempotent mutations: one request id, one effect, one answer (spec 06, idempotency).

An answer is kept so that a repetition gets it, but a secret that is given once is not: fields of the answer itself
that its contract calls sensitive (an invitation's token, a new key) are left out of the record, where they would stand
in clear for weeks beside the hash that is kept instead. A repetition gets the same answer with these fields empty;
whoever lost the secret on the way asks for a new one. Nothing has to be said for this at the call: a field that is
marked in the contract is never stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from sqlalchemy import text

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import AlreadyExists, InvalidArgument
from apportion_common.redaction import is_sensitive_field

M = TypeVar("M", bound=Message)

REQUEST_RECORD_RETENTION_DAYS: Final = 30
"""How long a repeated mutation is recognised."""
PURGE_ROWS: Final = 1_000
"""Most rows that one purge deletes."""

_CLAIM: Final = text(
    "INSERT INTO request_record (subject, request_id, rpc, body_hash, response)"
    " VALUES (:subject, :request_id, :rpc, :body_hash, '') ON CONFLICT DO NOTHING RETURNING true"
)
_ANSWERED: Final = text(
    "SELECT body_hash, response FROM request_record WHERE subject = :subject AND request_id = :request_id"
)
_PURGE: Final = text(
    "DELETE FROM request_record WHERE (subject, request_id) IN "
    "(SELECT subject, request_id FROM request_record WHERE at < clock_timestamp() - CAST(:age AS interval)"
    " ORDER BY at LIMIT :rows FOR UPDATE SKIP LOCKED)"
)


def body_hash(rpc: str, request: Message) -> bytes:
    """SHA-256 over the RPC's name and everything the request says but its request id."""
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    return sha256(rpc.encode() + b"\0" + body.SerializeToString(deterministic=True)).digest()


def without_secrets(response: M) -> M:
    """The answer as it is kept: without the fields of its own that the contract calls sensitive.

    What a resource inside the answer holds stays, personal data too: it is stored in its own table anyway.
    """
    kept = type(response)()
    kept.CopyFrom(response)
    for field in response.DESCRIPTOR.fields:
        if is_sensitive_field(field):
            kept.ClearField(field.name)
    return kept


async def run_mutation(
    database: Database,
    rpc: str,
    request: Any,
    response_type: type[M],
    handler: Callable[[Transaction], Awaitable[M]],
) -> M:
    """Run a mutation once per (caller, `request.request_id`) and give its response; a repetition gets the stored one,
    `without_secrets`.

    The claim of the key is the transaction's first statement: a twin that races waits for the outcome, then gets it,
    or runs itself when the first one failed. A handler that raises stores nothing. The handler may be run several
    times (deadlocks) and has no effect outside its transaction. InvalidArgument REQUEST_ID_REQUIRED;
    AlreadyExists REQUEST_ID_REUSED for the same id with another body or RPC.
    """
    request_id: str = request.request_id
    if not request_id:
        raise InvalidArgument("REQUEST_ID_REQUIRED", "The mutation has no request_id.", field="request_id")
    subject = current_actor(database.service).subject
    digest = body_hash(rpc, request)
    key = {"subject": subject, "request_id": request_id}

    async def work(tx: Transaction) -> M:
        tx.request_id = request_id
        if (await tx.execute(_CLAIM, {**key, "rpc": rpc, "body_hash": digest})).first() is None:
            record = (await tx.execute(_ANSWERED, key)).one()
            if record.body_hash != digest:
                raise AlreadyExists(
                    "REQUEST_ID_REUSED", "This request_id was used for another request.", field="request_id"
                )
            return response_type.FromString(record.response)
        response = await handler(tx)
        tx.answer(subject, request_id, without_secrets(response).SerializeToString())
        return response

    return await database.run(work)


async def purge_request_records(
    database: Database, age: timedelta = timedelta(days=REQUEST_RECORD_RETENTION_DAYS)
) -> int:
    """Delete at most PURGE_ROWS records older than `age`; gives how many."""
    async with database.transaction() as tx:
        return (await tx.execute(_PURGE, {"age": age, "rows": PURGE_ROWS})).rowcount
