"""One request id, one effect, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from apportion.common.v1.audit_pb2 import AuditEntry
from apportion.identity.v1.identity_service_pb2 import (
    CreateInvitationRequest,
    CreateInvitationResponse,
    Invitation,
)
from apportion_common.caller import Caller, acting_as
from apportion_common.db.idempotency import (
    Mutation,
    body_hash,
    mutation,
    purge_request_records,
    run_mutation,
    without_secrets,
)
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import BlankDatabase
from google.protobuf.message import Message

RPC = "apportion.base.v1.BaseService.Create"

M = TypeVar("M", bound=Message)


@pytest.fixture
def place(base_database: BlankDatabase) -> ServiceDatabase:
    return base_database()


@pytest.fixture
def database(place: ServiceDatabase) -> Database:
    return place.database()


class Creation:
    """A handler that counts what it did; the answer tells the run that made it."""

    def __init__(self) -> None:
        self.runs = 0
        self.errors: list[Exception] = []

    async def __call__(self, tx: Transaction) -> AuditEntry:
        self.runs += 1
        run = self.runs
        await tx.audit("thing.create", f"thing/{run}")
        await asyncio.sleep(0.05)
        if self.errors:
            raise self.errors.pop()
        return AuditEntry(resource=f"thing/{run}")


def request(request_id: str, action: str = "a") -> AuditEntry:
    return AuditEntry(request_id=request_id, action=action)


async def mutate(
    database: Database,
    rpc: str,
    body: AuditEntry,
    response_type: type[M],
    work: Callable[[Transaction], Awaitable[M]],
) -> M:
    """Run a mutation of a method that no contract has."""

    def answer(response: M) -> M:
        return response

    asked = Mutation(rpc, body.request_id, body_hash(rpc, body), answer, response_type)
    return await run_mutation(database, asked, work)


async def test_a_repetition_gets_the_first_answer_and_does_nothing(place: ServiceDatabase, database: Database) -> None:
    create = Creation()
    first = await mutate(database, RPC, request("r1"), AuditEntry, create)
    again = await mutate(database, RPC, request("r1"), AuditEntry, create)
    assert first == again == AuditEntry(resource="thing/1")
    assert create.runs == 1
    assert fetch_all(place.owner_url, "SELECT resource, request_id FROM audit_entry") == [("thing/1", "r1")]


async def test_of_eight_racing_twins_one_acts_and_all_get_its_answer(
    place: ServiceDatabase, database: Database
) -> None:
    create = Creation()
    answers = await asyncio.gather(*(mutate(database, RPC, request("r1"), AuditEntry, create) for _ in range(8)))
    assert {answer.resource for answer in answers} == {"thing/1"}
    assert create.runs == 1
    assert fetch_all(place.owner_url, "SELECT count(*) FROM audit_entry") == [(1,)]


async def test_when_the_first_of_two_racing_twins_fails_the_other_acts(
    place: ServiceDatabase, database: Database
) -> None:
    create = Creation()
    create.errors = [FailedPrecondition("NOT_NOW", "Not now.")]
    outcomes = await asyncio.gather(
        *(mutate(database, RPC, request("r1"), AuditEntry, create) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AuditEntry", "FailedPrecondition"]
    assert create.runs == 2
    assert fetch_all(place.owner_url, "SELECT resource FROM audit_entry") == [("thing/2",)]


async def test_a_handler_that_raises_stores_nothing(place: ServiceDatabase, database: Database) -> None:
    create = Creation()
    create.errors = [RuntimeError("broken")]
    with pytest.raises(RuntimeError, match="broken"):
        await mutate(database, RPC, request("r1"), AuditEntry, create)
    assert fetch_all(place.owner_url, "SELECT count(*) FROM request_record") == [(0,)]
    await mutate(database, RPC, request("r1", "other body"), AuditEntry, create)
    assert create.runs == 2


async def test_the_same_id_for_another_request_is_refused(database: Database) -> None:
    create = Creation()
    await mutate(database, RPC, request("r1"), AuditEntry, create)
    for rpc, body in ((RPC, request("r1", "b")), (RPC + "Other", request("r1"))):
        with pytest.raises(AlreadyExists) as refused:
            await mutate(database, rpc, body, AuditEntry, create)
        assert refused.value.reason == "REQUEST_ID_REUSED"
    assert create.runs == 1


async def test_callers_do_not_share_request_ids(database: Database) -> None:
    create = Creation()
    for subject in ("user:1", "user:2"):
        with acting_as(Caller(subject)):
            await mutate(database, RPC, request("r1", subject), AuditEntry, create)
    assert create.runs == 2


def test_a_mutation_without_request_id_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        mutation(CreateInvitationRequest(), lambda response: response)
    assert refused.value.reason == "REQUEST_ID_REQUIRED"


def test_a_mutation_has_the_full_name_and_the_answer_of_the_method_that_takes_its_request() -> None:
    asked = mutation(CreateInvitationRequest(request_id="r1"), lambda response: response)
    assert asked.rpc == "apportion.identity.v1.IdentityService.CreateInvitation"
    assert asked.response_type is CreateInvitationResponse


async def test_a_secret_that_is_given_once_is_not_kept_and_a_repetition_gets_the_answer_without_it(
    place: ServiceDatabase, database: Database
) -> None:
    async def create(tx: Transaction) -> CreateInvitationResponse:
        return CreateInvitationResponse(invitation=Invitation(email="ada@acme.example"), token="inv_secret")

    first = await mutate(database, RPC, request("r1"), CreateInvitationResponse, create)
    again = await mutate(database, RPC, request("r1"), CreateInvitationResponse, create)
    assert (first.token, again.token) == ("inv_secret", "")
    assert first.invitation == again.invitation
    ((kept,),) = fetch_all(place.owner_url, "SELECT response FROM request_record")
    assert b"inv_secret" not in bytes(kept)


def test_only_what_the_contract_calls_sensitive_in_the_answer_itself_is_left_out() -> None:
    answer = CreateInvitationResponse(invitation=Invitation(email="ada@acme.example"), token="inv_secret")
    assert without_secrets(answer) == CreateInvitationResponse(invitation=answer.invitation)
    assert answer.token == "inv_secret"
    entry = AuditEntry(action="a", resource="b")
    assert without_secrets(entry) == entry


async def test_old_records_are_purged_and_young_ones_stay(place: ServiceDatabase, database: Database) -> None:
    await mutate(database, RPC, request("r1"), AuditEntry, Creation())
    assert await purge_request_records(database) == 0
    assert await purge_request_records(database, timedelta(0)) == 1
    assert fetch_all(place.owner_url, "SELECT count(*) FROM request_record") == [(0,)]
