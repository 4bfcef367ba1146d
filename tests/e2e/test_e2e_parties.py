"""Every inside party of a running system against everything that is not its own: databases, RPCs, the bus.

The bus is tried user by user and subject by subject in libs/dev (test_local_nats_rights), tables in
tests/architecture (test_database_rights); here the system that both come together in.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import Any, Final

import grpc
import nats.errors
import psycopg
import pytest
from apportion_client.services import CALL_TIMEOUT_S
from apportion_common.bus.connection import BusClient, api_subject, connect
from apportion_common.bus.rights import API_PREFIX, RIGHTS, STREAM_ADMIN
from apportion_common.settings import SERVICES
from apportion_common.topology import PRICING_OUT, RATED_SUBJECT
from apportion_dev.stack.environment import app_role, database, owner_role
from apportion_dev.testing.servers import NatsAccess
from google.protobuf.message_factory import GetMessageClass
from harness import System, reason_of, until
from pydantic import SecretStr

CALLS: Final = {
    ("identity", "orgs", "ListAncestors"),
    ("pricing", "orgs", "ResolveBillingAccounts"),
    ("orgs", "ledger", "FixWatermark"),
    ("orgs", "ledger", "SummarizeLines"),
    ("orgs", "metering", "ReopenPeriod"),
}
NOTICED_TIMEOUT_S: Final = 30.0


async def connected(system: System, user: str) -> BusClient:
    """A connection to the system's bus with a user's own password."""
    stack = system.stack
    password = SecretStr(stack.passwords.nats[user])
    access = NatsAccess(stack.nats.url, user, password, stack.keys.ca.certificate_file, API_PREFIX)
    client = await connect(access, f"{user} as an attacker")
    assert isinstance(client, BusClient)
    return client


def may_connect(system: System, role: str, password: str, name: str) -> bool:
    try:
        psycopg.connect(system.stack.postgres.url(name, role, password), connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if "permission denied for database" not in str(error):
            raise
        return False
    return True


async def test_each_database_role_connects_to_its_own_database_and_to_no_other(system: System) -> None:
    reached = set()
    for service in SERVICES:
        passwords = system.stack.passwords.roles[service]
        for role, password in ((app_role(service), passwords.app), (owner_role(service), passwords.owner)):
            for name in (*map(database, SERVICES), "postgres", "template1"):
                if await asyncio.to_thread(may_connect, system, role, password, name):
                    reached.add((role, name))
    assert reached == {(role(service), database(service)) for service in SERVICES for role in (app_role, owner_role)}


async def test_no_database_role_of_a_running_system_is_more_than_a_login(system: System) -> None:
    roles = [role(service) for service in SERVICES for role in (app_role, owner_role)]
    rows = await system.query(
        "ledger",
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND (rolsuper OR rolcreatedb OR rolcreaterole"
        " OR rolreplication OR rolbypassrls)",
        roles,
    )
    assert rows == []
    members = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = ANY(%s)"
    assert await system.query("ledger", members, roles) == [(0,)]
    for service in SERVICES:
        rights = "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY, CREATE')"
        assert await system.query(service, rights, app_role(service)) == [(False,)], service


async def answer_to(channel: grpc.aio.Channel, method: Any, token: str) -> tuple[str, str]:
    """The status and reason that an empty request is answered with."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    request, metadata = GetMessageClass(method.input_type)(), (("authorization", f"Bearer {token}"),)
    options = {
        "request_serializer": type(request).SerializeToString,
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    asking = {"timeout": CALL_TIMEOUT_S, "metadata": metadata}
    try:
        if method.client_streaming:
            make = channel.stream_stream if method.server_streaming else channel.stream_unary
            call = make(path, **options)([request], **asking)
        else:
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            call = make(path, **options)(request, **asking)
        if method.server_streaming:
            async for _ in call:
                break
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, reason_of(error)
    return "OK", ""


async def test_each_service_s_own_token_opens_the_rpcs_that_name_it_and_no_other(system: System) -> None:
    trust = grpc.ssl_channel_credentials((system.stack.layout.tls / "ca.pem").read_bytes())
    opened = set()
    for called in SERVICES:
        module = importlib.import_module(f"apportion.{called}.v1.{called}_service_pb2")
        (contract,) = module.DESCRIPTOR.services_by_name.values()
        async with grpc.aio.secure_channel(system.stack.addresses[called], trust) as channel:
            for caller in SERVICES:
                token = system.stack.layout.token_file(caller).read_text(encoding="ascii")
                for method in contract.methods:
                    status, reason = await answer_to(channel, method, token)
                    if status != "PERMISSION_DENIED":
                        opened.add((caller, called, method.name))
                    else:
                        assert reason in ("SERVICE_FORBIDDEN", "ROLE_REQUIRED"), (caller, method.name, reason)
    public = {("identity", "GetJwks"), ("identity", "IssueToken"), ("identity", "ExchangeToken")}
    assert opened == CALLS | {(caller, called, name) for caller in SERVICES for called, name in public}


@pytest.mark.parametrize("user", ["identity", "orgs", "metering", "ledger", "operator"])
async def test_a_forged_rated_batch_of_any_user_but_pricing_reaches_no_ledger(system: System, user: str) -> None:
    client, admin = await connected(system, user), await connected(system, STREAM_ADMIN)
    try:
        before = (await admin.jetstream().stream_info(PRICING_OUT.name)).state.last_seq
        headers = {"Apportion-Batch-Seq": "1", "Apportion-Batch-Part": "0/1"}
        for lane in range(32):
            await client.publish(f"{RATED_SUBJECT}.{lane}", b"one charge of a million", headers=headers)
        with contextlib.suppress(TimeoutError, nats.errors.Error):
            await client.jetstream(timeout=1).publish(f"{RATED_SUBJECT}.0", b"one charge of a million")
        await client.flush()
        for operation in ("PURGE", "DELETE", "UPDATE", "CREATE"):
            for spec in RIGHTS[STREAM_ADMIN].streams():
                await client.publish(api_subject(client, f"STREAM.{operation}.{spec.name}"), b"", reply="_INBOX_none")
                await client.publish(f"$JS.API.STREAM.{operation}.{spec.name}", b"", reply="_INBOX_none")
        await client.flush()
        after = (await admin.jetstream().stream_info(PRICING_OUT.name)).state
        assert (after.last_seq, after.first_seq <= 1 or before == 0) == (before, True)
    finally:
        await client.close()
        await admin.close()


async def test_a_stream_deleted_under_the_services_is_said_by_readiness_and_in_few_lines_until_it_is_made(
    new_system: Any,
) -> None:
    system = await new_system()
    admin = await connected(system, STREAM_ADMIN)
    starts = {service: len(system.log(service)) for service in SERVICES}
    try:
        await admin.jetstream().delete_stream(PRICING_OUT.name)

        async def unready() -> bool | None:
            values = [(await system.metrics(service)) for service in ("pricing", "ledger", "metering")]
            name = f'apportion_stream_missing{{stream="{PRICING_OUT.name}"}}'
            return all(value.get(name) == 1 for value in values) or None

        await until(unready, NOTICED_TIMEOUT_S, "the missing stream in the metrics")
        await asyncio.sleep(10)
        for service in SERVICES:
            lines = system.log(service)[starts[service] :].splitlines()
            loud = [line for line in lines if '"level": "info"' not in line]
            assert len(loud) < 20, (service, loud[:20])
            needs = PRICING_OUT in RIGHTS[service].streams()
            assert any("STREAM_MISSING" in line for line in loud) is needs, (service, loud)
        await asyncio.to_thread(system.stack.make_streams)

        async def found() -> bool | None:
            logs = [system.log(service)[starts[service] :] for service in ("pricing", "ledger", "metering")]
            return all("standstill.over" in log for log in logs) or None

        await until(found, NOTICED_TIMEOUT_S, "the stream that is there again")
    finally:
        await admin.close()
