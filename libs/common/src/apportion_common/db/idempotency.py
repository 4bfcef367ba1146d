"""Idempotent mutations: one request id, one effect, one answer (spec 06, idempotency).

An answer is kept so that a repetition gets it, but a secret that is given once is not: fields of the answer itself
that its contract calls sensitive (an invitation's token, a new key) are left out of the record, where they would stand
in clear for weeks beside the hash that is kept instead. A repetition gets the same answer with these fields empty;
whoever lost the secret on the way asks for a new one. Nothing has to be said for this at the call: a field that is
marked in the contract is never stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sqlalchemy import text

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import AlreadyExists, InvalidArgument
from apportion_common.redaction import is_sensitive_field

M = TypeVar("M", bound=Message)
V = TypeVar("V")

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
    """Return SHA-256 over the RPC's name and everything the request says but its request id."""
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    return sha256(rpc.encode() + b"\0" + body.SerializeToString(deterministic=True)).digest()


def without_secrets(response: M) -> M:
    """Return the answer as it is kept: without the fields of its own that the contract calls sensitive.

    What a resource inside the answer holds stays, personal data too: it is stored in its own table anyway.
    """
    kept = type(response)()
    kept.CopyFrom(response)
    for field in response.DESCRIPTOR.fields:
        if is_sensitive_field(field):
            kept.ClearField(field.name)
    return kept


@dataclass(frozen=True, slots=True)
class Mutation(Generic[V, M]):
    """One call of a mutation, as the use case passes it to `run_mutation` without looking inside."""

    rpc: str
    """Full name of the method, such as `apportion.ledger.v1.LedgerService.CreatePartner`."""
    request_id: str
    body_hash: bytes
    response: Callable[[V], M]
    """The answer that says what the use case returns."""
    response_type: type[M]


def mutation(request: Any, response: Callable[[V], M]) -> Mutation[V, M]:
    """Return the mutation that a request asks for; its method is the one that takes this request.

    `response` makes the answer of what the use case returns. InvalidArgument REQUEST_ID_REQUIRED.
    """
    if not request.request_id:
        raise InvalidArgument("REQUEST_ID_REQUIRED", "The mutation has no request_id.", field="request_id")
    rpc, response_type = _method_of(request.DESCRIPTOR)
    return Mutation(rpc, request.request_id, body_hash(rpc, request), response, response_type)


@cache
def _method_of(request: Descriptor) -> tuple[str, type[Any]]:
    """Return the full name and the response of the method that takes a request; each takes one of its own."""
    for service in request.file.services_by_name.values():
        for method in service.methods:
            if method.input_type is request:
                return method.full_name, message_factory.GetMessageClass(method.output_type)
    raise TypeError(f"No method takes {request.full_name}.")


async def run_mutation(database: Database, mutation: Mutation[V, M], work: Callable[[Transaction], Awaitable[V]]) -> M:
    """Run a mutation once per (caller, request id) and return its response; a repetition gets the stored one,
    `without_secrets`.

    The claim of the key is the transaction's first statement: a twin that races waits for the outcome, then gets it,
    or runs itself when the first one failed. Work that raises stores nothing. It may be run several times (deadlocks)
    and has no effect outside its transaction. AlreadyExists REQUEST_ID_REUSED for the same id with another body or
    RPC.
    """
    subject = current_actor(database.service).subject
    key = {"subject": subject, "request_id": mutation.request_id}

    async def answer(tx: Transaction) -> M:
        tx.request_id = mutation.request_id
        claim = {**key, "rpc": mutation.rpc, "body_hash": mutation.body_hash}
        if (await tx.execute(_CLAIM, claim)).first() is None:
            record = (await tx.execute(_ANSWERED, key)).one()
            if record.body_hash != mutation.body_hash:
                raise AlreadyExists(
                    "REQUEST_ID_REUSED", "This request_id was used for another request.", field="request_id"
                )
            return mutation.response_type.FromString(record.response)
        response = mutation.response(await work(tx))
        tx.answer(subject, mutation.request_id, without_secrets(response).SerializeToString())
        return response

    return await database.run(answer)


async def purge_request_records(
    database: Database, age: timedelta = timedelta(days=REQUEST_RECORD_RETENTION_DAYS)
) -> int:
    """Delete at most PURGE_ROWS records older than `age`; return how many."""
    async with database.transaction() as tx:
        return (await tx.execute(_PURGE, {"age": age, "rows": PURGE_ROWS})).rowcount
