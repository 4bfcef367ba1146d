"""The keys that sign tokens: one first key however many processes start, sealed, rotated under a lock, removed."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from access_harness import AccessHarness
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.errors import ApportionError, Unavailable
from apportion_common.grpc import limits as grpc_limits
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.key_source import KeySource
from apportion_dev.local.keys import TokenSigningKey, write_jwks
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.adapters.key_files import read_secret_keys
from apportion_identity.adapters.sealing import SealingKeys, UnsealError
from apportion_identity.jobs.rotate_keys import KeyRotationJob
from apportion_identity.limits import KEY_AGE_DAYS, KEY_PUBLISH_LEAD_S, KEY_SET_CACHE_MS, KEY_TAIL_S
from identity_harness import SCOPE, SEALING_KEY
from sqlalchemy import event

LEAD, TAIL = timedelta(seconds=KEY_PUBLISH_LEAD_S), timedelta(seconds=KEY_TAIL_S)
OTHER_KEY = bytes(32)


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> AccessHarness:
    return AccessHarness(service_database("identity"))


async def published(harness: AccessHarness) -> list[str]:
    answer = await harness.operate("GetJwks", pb.GetJwksRequest(), parts=harness.process())
    return [key["kid"] for key in json.loads(answer.jwks_json)["keys"]]


async def token(harness: AccessHarness) -> str:
    async with harness.database.read() as connection:
        claims = {"iss": "https://identity.test", "aud": "apportion", "sub": "a", "exp": 1, "iat": 1}
        return await harness.use_cases.signing_keys.sign(connection, claims)


def rotation(request_id: str = "", *, leaked: bool = False) -> pb.RotateSigningKeyRequest:
    return pb.RotateSigningKeyRequest(reason="For the test.", request_id=request_id, leaked=leaked)


async def test_however_many_processes_start_at_once_there_is_one_first_key(harness: AccessHarness) -> None:
    await asyncio.gather(*(harness.process().use_cases.signing_keys.ensure_first() for _ in range(6)))
    assert harness.rows("SELECT count(*) FROM signing_key") == [(1,)]
    assert harness.rows("SELECT action FROM audit_entry") == [("signing_key.create",)]
    assert await harness.verify(await token(harness))


async def test_the_private_half_lies_sealed_in_the_database_and_nowhere_else(harness: AccessHarness) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    ((kid, sealed),) = harness.rows("SELECT kid, sealed_private_key FROM signing_key")
    private = SealingKeys([SEALING_KEY]).unseal(bytes(sealed), kid)
    assert len(private) == 32
    stored = harness.everything_stored()
    assert private.hex() not in stored
    ((jwk,),) = harness.rows("SELECT public_jwk FROM signing_key")
    assert set(jwk) == {"kty", "crv", "x", "kid", "use", "alg"}


async def test_a_process_with_another_sealing_key_does_not_start_and_signs_nothing(harness: AccessHarness) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    stranger = harness.process(key=OTHER_KEY)
    with pytest.raises(Unavailable) as rejection:
        await stranger.use_cases.signing_keys.ensure_first()
    assert rejection.value.reason == "KEY_SET_UNUSABLE"
    assert harness.rows("SELECT count(*) FROM signing_key") == [(1,)]


async def test_without_any_key_nothing_is_signed_or_published(harness: AccessHarness) -> None:
    with pytest.raises(Unavailable) as unsigned:
        await token(harness)
    assert unsigned.value.reason == "KEY_SET_UNUSABLE"
    assert await harness.operate_reason("GetJwks", pb.GetJwksRequest()) == ("UNAVAILABLE", "KEY_SET_UNUSABLE")


async def test_a_rotated_key_is_published_at_once_signs_later_and_the_old_one_verifies_to_its_last_token(
    harness: AccessHarness,
) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    (first,) = await published(harness)
    answer = await harness.operate("RotateSigningKey", rotation())
    assert answer.signs_from.ToDatetime(tzinfo=harness.clock.now().tzinfo) == harness.clock.now() + LEAD
    assert await published(harness) == [first, answer.kid]
    assert jwt.get_unverified_header(await token(harness))["kid"] == first

    harness.clock.advance(LEAD - timedelta(seconds=1))
    last_of_the_first = await token(harness)
    harness.clock.advance(timedelta(seconds=1))
    assert jwt.get_unverified_header(await token(harness))["kid"] == answer.kid
    harness.clock.advance(TAIL - timedelta(seconds=1))
    assert await harness.verify(last_of_the_first, harness.process())
    harness.clock.advance(timedelta(seconds=1))
    assert await published(harness) == [answer.kid]
    with pytest.raises(jwt.InvalidKeyError):
        await harness.verify(last_of_the_first, harness.process())


async def test_of_rotations_at_once_one_succeeds_and_a_repetition_gets_its_answer(harness: AccessHarness) -> None:
    await harness.use_cases.signing_keys.ensure_first()

    async def rotate(number: int) -> str:
        try:
            answer = await harness.operate("RotateSigningKey", rotation(f"race {number}"))
        except ApportionError as error:
            return error.reason
        return f"made {answer.kid}"

    outcomes = await asyncio.gather(*(rotate(number) for number in range(6)))
    (made,) = [outcome for outcome in outcomes if outcome.startswith("made")]
    assert outcomes.count("ROTATION_IN_PROGRESS") == 5
    assert await rotate(outcomes.index(made)) == made
    assert harness.rows("SELECT count(*) FROM signing_key") == [(2,)]
    assert await harness.operate_reason("RotateSigningKey", rotation()) == (
        "FAILED_PRECONDITION",
        "ROTATION_IN_PROGRESS",
    )


@pytest.mark.parametrize("in_progress", [False, True])
async def test_a_leaked_key_is_gone_at_once_and_its_successor_signs_at_once(
    harness: AccessHarness, in_progress: bool
) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    if in_progress:
        await harness.operate("RotateSigningKey", rotation())
    before = await published(harness)
    old = await token(harness)
    answer = await harness.operate("RotateSigningKey", rotation(leaked=True))
    assert answer.signs_from.ToDatetime(tzinfo=harness.clock.now().tzinfo) == harness.clock.now()
    assert await published(harness) == [answer.kid]
    assert jwt.get_unverified_header(await token(harness))["kid"] == answer.kid
    assert harness.rows("SELECT kid FROM signing_key") == [(answer.kid,)]
    with pytest.raises(jwt.InvalidKeyError):
        await harness.verify(old, harness.process())
    removed = harness.rows("SELECT before ->> 'kid', actor FROM audit_entry WHERE action = 'signing_key.remove'")
    assert sorted(removed) == sorted((kid, "user:operator") for kid in before)


async def test_verifiers_drop_a_leaked_key_when_they_look_or_meet_a_token_of_the_new_one(
    harness: AccessHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what they have verified before; nobody waits for the 90 s that a key is published before it signs."""
    monkeypatch.setattr(grpc_limits, "KEY_ASK_PAUSE_S", 0)
    await harness.use_cases.signing_keys.ensure_first()
    write_jwks(tmp_path / "jwks.json", [TokenSigningKey.create_or_load(tmp_path / "file.key")])
    sources = [KeySource(harness.process().use_cases.signing_keys.key_set) for _ in range(2)]
    verifiers = [TokenVerifier(tmp_path / "jwks.json", SCOPE.issuer, SCOPE.audience, harness.clock) for _ in sources]
    made = await harness.account()
    old = (await harness.operate("IssueToken", pb.IssueTokenRequest(key=made.key))).access_token
    for verifier, source in zip(verifiers, sources, strict=True):
        verifier.trust(source)
        assert await verifier.verify_asking(old)
    await harness.operate("RotateSigningKey", rotation(leaked=True))
    new = (await harness.operate("IssueToken", pb.IssueTokenRequest(key=made.key))).access_token
    harness.clock.advance(timedelta(seconds=KEY_SET_CACHE_MS / 1_000))
    await sources[0].refresh()
    assert await verifiers[1].verify_asking(new)
    for verifier in verifiers:
        with pytest.raises(ApportionError) as rejection:
            await verifier.verify_asking(old, may_ask=False)
        assert rejection.value.reason == "TOKEN_INVALID"
        assert await verifier.verify_asking(new)


async def test_a_key_of_a_month_gets_its_successor_and_one_whose_tokens_are_gone_is_removed(
    harness: AccessHarness,
) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    (first,) = await published(harness)
    await harness.use_cases.signing_keys.rotate_when_due()
    assert await published(harness) == [first]

    harness.clock.advance(timedelta(days=KEY_AGE_DAYS))
    await asyncio.gather(*(harness.process().use_cases.signing_keys.rotate_when_due() for _ in range(4)))
    kids = await published(harness)
    assert (len(kids), kids[0]) == (2, first)

    harness.clock.advance(LEAD + TAIL - timedelta(seconds=1))
    await harness.use_cases.signing_keys.rotate_when_due()
    assert harness.rows("SELECT count(*) FROM signing_key") == [(2,)]
    harness.clock.advance(timedelta(seconds=1))
    await harness.use_cases.signing_keys.rotate_when_due()
    assert harness.rows("SELECT kid FROM signing_key") == [(kids[1],)]
    actions = [action for (action,) in harness.rows("SELECT action FROM audit_entry ORDER BY at")]
    assert actions == ["signing_key.create", "signing_key.create", "signing_key.remove"]


async def test_the_job_goes_on_after_a_failure(harness: AccessHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, stop = 0, asyncio.Event()
    monkeypatch.setattr("apportion_identity.jobs.rotate_keys.KEY_CHECK_S", 0.001)

    class Breaks:
        async def rotate_when_due(self) -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                stop.set()
            raise OSError("The database is away.")

    await asyncio.wait_for(KeyRotationJob(Breaks()).run(stop), 60)  # type: ignore[arg-type]
    assert looks == 3


async def test_the_key_set_is_read_from_the_database_once_a_second_at_most(harness: AccessHarness) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    before = await harness.use_cases.signing_keys.key_set()
    await harness.operate("RotateSigningKey", rotation(), parts=harness.process())
    assert await harness.use_cases.signing_keys.key_set() == before
    harness.clock.advance(timedelta(seconds=1))
    assert await harness.use_cases.signing_keys.key_set() != before


async def test_however_many_ask_for_the_key_set_at_once_it_is_read_once(harness: AccessHarness) -> None:
    await harness.use_cases.signing_keys.ensure_first()
    reads: list[str] = []
    engine = harness.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: reads.append(call[2]))
    answers = await asyncio.gather(*(harness.use_cases.signing_keys.key_set() for _ in range(40)))
    assert len(set(answers)) == 1
    assert len([statement for statement in reads if "signing_key" in statement]) == 1


def test_a_sealed_secret_opens_for_its_owner_alone_and_not_after_any_change() -> None:
    sealing = SealingKeys([SEALING_KEY])
    sealed = sealing.seal(b"secret", "key-1")
    assert sealing.unseal(sealed, "key-1") == b"secret"
    assert sealing.seal(b"secret", "key-1") != sealed
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for odd in (*changed, b"", b"\x01", sealed[:-1], sealed[:29]):
        with pytest.raises(UnsealError):
            sealing.unseal(odd, "key-1")
    with pytest.raises(UnsealError):
        sealing.unseal(sealed, "key-2")


def test_a_sealing_key_is_replaced_without_losing_what_the_old_one_sealed() -> None:
    sealed = SealingKeys([SEALING_KEY]).seal(b"secret", "a")
    both = SealingKeys([OTHER_KEY, SEALING_KEY])
    assert both.unseal(sealed, "a") == b"secret"
    assert SealingKeys([OTHER_KEY]).unseal(both.seal(b"newer", "a"), "a") == b"newer"
    for keys in ([], [b"short"]):
        with pytest.raises(ValueError, match="32 bytes"):
            SealingKeys(keys)


def test_a_key_file_holds_whole_keys_and_an_error_says_nothing_of_them(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(SEALING_KEY + OTHER_KEY)
    assert read_secret_keys(file, 4) == (SEALING_KEY, OTHER_KEY)
    for content in (b"", b"hunter2", SEALING_KEY + b"\n", SEALING_KEY * 5):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="must hold one to 4 keys") as rejection:
            read_secret_keys(file, 4)
        assert "hunter2" not in str(rejection.value)
