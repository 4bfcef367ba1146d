"""Every user of the bus against everything that the table of rights does not give it, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import nats.errors
import pytest
import pytest_asyncio
from apportion_common.bus.connection import api_subject, connect
from apportion_common.bus.rights import (
    API_PREFIX,
    ORG_CREATED_CONSUMER,
    OWN_API_PREFIX,
    RIGHTS,
    STREAM_ADMIN,
    inbox_prefix,
)
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import SystemClock
from apportion_common.topology import (
    ACCEPTED_SUBJECT,
    EVENTS,
    INTAKE_SUBJECT,
    LEDGER_OUT,
    MEBIBYTE,
    METERING_IN,
    METERING_OUT,
    POSTED_SUBJECT,
    PRICING_OUT,
    RATED_SUBJECT,
    STREAMS,
    StreamSpec,
)
from apportion_dev.local.keys import LocalCa
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.servers import NatsAccess
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError
from pydantic import SecretStr

pytestmark = pytest.mark.servers

ANSWER_S: Final = 1.5
"""Longest wait for an answer that is not expected to come."""
SUBJECTS: Final = {
    f"{INTAKE_SUBJECT}.0": {"metering"},
    f"{ACCEPTED_SUBJECT}.0": {"metering"},
    f"{RATED_SUBJECT}.0": {"pricing"},
    f"{POSTED_SUBJECT}.0": {"ledger"},
    "events.identity.claim.created": {"identity"},
    "events.pricing.thing.made": {"pricing"},
    "events.metering.thing.made": {"metering"},
    "events.ledger.thing.made": {"ledger"},
    "events.orgs.org.created": {"orgs"},
    f"dead.EVENTS.{ORG_CREATED_CONSUMER}": {"identity"},
    "dead.EVENTS.anybody": set(),
}
"""A subject of every kind, and who may publish to it: written by hand, so that the table is not its own proof."""
READERS: Final = {
    METERING_IN.name: {"metering"},
    METERING_OUT.name: {"pricing"},
    PRICING_OUT.name: {"metering", "ledger"},
    LEDGER_OUT.name: {"metering"},
    EVENTS.name: set(),
    "DEAD": set(),
}
RECOVERERS: Final = {METERING_OUT.name: {"metering"}, PRICING_OUT.name: {"pricing"}, LEDGER_OUT.name: {"ledger"}}
READING: Final = ("CONSUMER.CREATE.{}.mine", "CONSUMER.MSG.NEXT.{}.mine", "CONSUMER.DELETE.{}.mine")
ADMINISTERING: Final = (
    "STREAM.CREATE.{}",
    "STREAM.UPDATE.{}",
    "STREAM.PURGE.{}",
    "STREAM.DELETE.{}",
    "STREAM.MSG.DELETE.{}",
    "CONSUMER.NAMES.{}",
    "CONSUMER.LIST.{}",
)
NOBODY: Final = (
    "STREAM.SNAPSHOT.{}",
    "STREAM.RESTORE.{}",
    "STREAM.LEADER.STEPDOWN.{}",
    "STREAM.PEER.REMOVE.{}",
    "CONSUMER.DURABLE.CREATE.{}.mine",
    "CONSUMER.RESET.{}.mine",
    "CONSUMER.PAUSE.{}.mine",
    "CONSUMER.LEADER.STEPDOWN.{}.mine",
    "DIRECT.GET.{}",
)
WITHOUT_EFFECT: Final = b"this is no request of the API"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalNats, Path]]:
    folder = tmp_path_factory.mktemp("rights")
    now = SystemClock().now()
    authority = LocalCa.create_or_load(folder / "tls", now)
    certificate = authority.issue_server_certificate(["localhost", "127.0.0.1"], now, "nats")
    users = {user: f"the password of {user}" for user in RIGHTS}
    made = LocalNats(folder / "nats", users=users, certificate=certificate, sync_always=False, by_rights=True)
    made.start()
    yield made, authority.certificate_file
    made.destroy()


def access(server: tuple[LocalNats, Path], user: str) -> NatsAccess:
    return NatsAccess(server[0].url, user, SecretStr(f"the password of {user}"), server[1], API_PREFIX)


@pytest_asyncio.fixture(loop_scope="session")
async def users(server: tuple[LocalNats, Path]) -> AsyncIterator[dict[str, Client]]:
    """A connection of every user, and every stream fresh."""
    clients = {user: await connect(access(server, user), user) for user in RIGHTS}
    js = clients[STREAM_ADMIN].jetstream()
    for spec in STREAMS:
        with contextlib.suppress(APIError):
            await js.delete_stream(spec.name)
    await ensure_streams(js, max_bytes=MEBIBYTE)
    yield clients
    for client in clients.values():
        await client.close()


async def stored(users: dict[str, Client]) -> dict[str, list[bytes]]:
    """What every stream holds."""
    js = users[STREAM_ADMIN].jetstream()
    await asyncio.gather(*(client.flush() for client in users.values()))
    await asyncio.sleep(0.2)
    found: dict[str, list[bytes]] = {}
    for spec in STREAMS:
        last = (await js.stream_info(spec.name)).state.last_seq
        found[spec.name] = [(await js.get_msg(spec.name, seq)).data or b"" for seq in range(1, last + 1)]
    return found


async def answered(client: Client, subject: str, payload: bytes = WITHOUT_EFFECT) -> bool:
    """Whether the streams' API takes the request, be it to refuse what it says."""
    try:
        answer = await client.request(subject, payload, timeout=ANSWER_S)
    except (TimeoutError, nats.errors.Error):
        return False
    if not answer.data:
        return True
    error = json.loads(answer.data).get("error", {})
    return error.get("err_code") != 10039  # "JetStream not enabled for account"


async def test_each_user_publishes_to_its_own_subjects_and_to_no_other(users: dict[str, Client]) -> None:
    for user, client in users.items():
        for subject in SUBJECTS:
            await client.publish(subject, f"{user} to {subject}".encode())
    found = sorted(text.decode() for texts in (await stored(users)).values() for text in texts)
    assert found == sorted(f"{user} to {subject}" for subject, own in SUBJECTS.items() for user in own)


async def test_each_user_uses_of_each_stream_what_the_table_says_and_nothing_else(users: dict[str, Client]) -> None:
    allowed: set[tuple[str, str]] = set()
    for spec in STREAMS:
        name = spec.name
        for user, rights in RIGHTS.items():
            if spec in rights.streams():
                allowed.add((user, f"STREAM.INFO.{name}"))
        allowed |= {(user, op.format(name)) for op in READING for user in READERS[name] | {"operator"}}
        allowed |= {(STREAM_ADMIN, op.format(name)) for op in (*ADMINISTERING, READING[2])}
        allowed |= {(user, f"STREAM.MSG.GET.{name}") for user in RECOVERERS.get(name, set())}
        allowed |= {(user, f"STREAM.MSG.GET.{name}") for user in ("operator", STREAM_ADMIN)}
    operations = [
        op.format(spec.name)
        for spec in STREAMS
        for op in (*READING, *ADMINISTERING, *NOBODY, "STREAM.INFO.{}", "STREAM.MSG.GET.{}")
    ] + ["INFO", "STREAM.NAMES", "STREAM.LIST", "ACCOUNT.PURGE.LEDGER"]
    # What takes from a consumer answers only where there is one: the question is whether one may be asked.
    asked = [(user, operation) for user in users for operation in operations if "MSG.NEXT" not in operation]
    answers = await asyncio.gather(*(answered(users[user], api_subject(users[user], op)) for user, op in asked))
    assert {pair for pair, answer in zip(asked, answers, strict=True) if answer} == {
        pair for pair in allowed if "MSG.NEXT" not in pair[1]
    }
    plain = await asyncio.gather(*(answered(users[user], f"{OWN_API_PREFIX}.{op}") for user, op in asked))
    assert not any(plain), "nobody has the API under its usual name"


@pytest.mark.parametrize("user", ["identity", "metering", "orgs", "ledger", "operator", STREAM_ADMIN])
async def test_a_forged_rated_batch_reaches_the_ledgers_stream_by_no_way_at_all(
    users: dict[str, Client], user: str
) -> None:
    client, target = users[user], f"{RATED_SUBJECT}.0"
    forged = b"one charge of a million"
    own = next((subject for subject, owners in SUBJECTS.items() if user in owners), None)
    await client.publish(target, forged)
    with contextlib.suppress(nats.errors.Error, TimeoutError):
        await client.jetstream(timeout=ANSWER_S).publish(target, forged)
    if own is not None:
        # Lay it where the user may, and let the server carry it: as an answer, and as a consumer's delivery.
        await client.jetstream().publish(own, forged)
        await client.publish(own, forged, reply=target)
    readable = {spec.name for spec in RIGHTS[user].reads}
    for number, spec in enumerate(STREAMS):
        for config in (
            ConsumerConfig(name=f"pulled{number}", ack_policy=AckPolicy.NONE, mem_storage=True),
            ConsumerConfig(name=f"pushed{number}", ack_policy=AckPolicy.NONE, deliver_subject=target),
        ):
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                timeout_s = 5 if spec.name in readable else 0.2
                await client.jetstream(timeout=timeout_s).add_consumer(spec.name, config)
        await client.publish(
            api_subject(client, f"CONSUMER.MSG.NEXT.{spec.name}.pulled{number}"), b'{"batch": 10}', reply=target
        )
        for asked in (f"STREAM.MSG.GET.{spec.name}", f"DIRECT.GET.{spec.name}", f"STREAM.INFO.{spec.name}"):
            await client.publish(api_subject(client, asked), b'{"seq": 1}', reply=target)
            await client.publish(f"{OWN_API_PREFIX}.{asked}", b'{"seq": 1}', reply=target)
    assert (await stored(users))[PRICING_OUT.name] == []


async def test_a_consumer_that_delivers_to_the_api_of_its_stream_changes_nothing(users: dict[str, Client]) -> None:
    await users["pricing"].jetstream().publish(f"{RATED_SUBJECT}.0", b"a batch")
    for operation in ("PURGE", "DELETE"):
        config = ConsumerConfig(
            name=f"to{operation}",
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            deliver_subject=f"{OWN_API_PREFIX}.STREAM.{operation}.{PRICING_OUT.name}",
        )
        with contextlib.suppress(APIError):
            await users["ledger"].jetstream().add_consumer(PRICING_OUT.name, config)
    await asyncio.sleep(0.5)
    assert (await stored(users))[PRICING_OUT.name] == [b"a batch"]


async def test_nobody_listens_to_what_others_are_answered(users: dict[str, Client]) -> None:
    heard: list[str] = []
    for user, client in users.items():
        for other in RIGHTS:
            if other != user:

                async def hear(_message: object, user: str = user) -> None:
                    heard.append(user)

                await client.subscribe(f"{inbox_prefix(other)}.>", cb=hear)
        await client.flush()
    await users["metering"].jetstream().publish(f"{INTAKE_SUBJECT}.0", b"usage")
    await users["operator"].jetstream().get_msg(METERING_IN.name, 1)
    await asyncio.sleep(0.2)
    assert heard == []


async def test_a_consumer_takes_the_subject_that_it_is_for_and_its_acknowledgements_count(
    users: dict[str, Client],
) -> None:
    client = users["identity"]
    config = ConsumerConfig(
        name=ORG_CREATED_CONSUMER,
        durable_name=ORG_CREATED_CONSUMER,
        ack_policy=AckPolicy.EXPLICIT,
        filter_subject="events.orgs.org.created",
    )
    js = client.jetstream(timeout=ANSWER_S)
    with pytest.raises((TimeoutError, nats.errors.Error)):
        await js.add_consumer(EVENTS.name, replace(config, filter_subject="events.>"))
    await js.add_consumer(EVENTS.name, config)
    await users["orgs"].jetstream().publish("events.orgs.org.created", b"an organisation")
    subscription = await js.pull_subscribe_bind(consumer=ORG_CREATED_CONSUMER, stream=EVENTS.name)
    (message,) = await subscription.fetch(1, timeout=5)
    await message.ack()
    await client.flush()
    await asyncio.sleep(0.2)
    info = await users[STREAM_ADMIN].jetstream().consumer_info(EVENTS.name, ORG_CREATED_CONSUMER)
    assert (info.num_ack_pending, info.ack_floor.stream_seq if info.ack_floor else 0) == (0, 1)


async def test_streams_of_one_account_keep_what_they_hold_when_each_gets_its_own(tmp_path: Path) -> None:
    now = SystemClock().now()
    authority = LocalCa.create_or_load(tmp_path / "tls", now)
    certificate = authority.issue_server_certificate(["localhost", "127.0.0.1"], now, "nats")
    passwords = {user: f"the password of {user}" for user in RIGHTS}
    before = LocalNats(tmp_path / "nats", users=passwords, certificate=certificate)
    before.start()
    client = await connect(
        replace(access((before, authority.certificate_file), "pricing"), nats_api_prefix="$JS.API"), "a"
    )
    await ensure_streams(client.jetstream(), max_bytes=MEBIBYTE)
    await client.jetstream().publish(f"{RATED_SUBJECT}.0", b"a batch")
    created = (await client.jetstream().stream_info(PRICING_OUT.name)).created
    await client.close()
    before.close()
    for _ in range(2):
        after = LocalNats(tmp_path / "nats", users=passwords, certificate=certificate, by_rights=True)
        after.start()
        admin = await connect(access((after, authority.certificate_file), STREAM_ADMIN), "b")
        await ensure_streams(admin.jetstream(), max_bytes=MEBIBYTE)
        info = await admin.jetstream().stream_info(PRICING_OUT.name)
        assert (info.created, info.state.messages) == (created, 1)
        assert (await admin.jetstream().get_msg(PRICING_OUT.name, 1)).data == b"a batch"
        await admin.close()
        after.close()


def test_every_stream_and_every_kind_of_subject_is_tried() -> None:
    spec: StreamSpec
    for spec in STREAMS:
        prefix = spec.subjects[0].rstrip("*>")
        assert any(subject.startswith(prefix) for subject in SUBJECTS), spec.name
    assert set(READERS) == {spec.name for spec in STREAMS}
