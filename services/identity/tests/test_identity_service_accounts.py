"""Service accounts: keys of which only the hash is kept, short tokens, and an end that comes within a minute."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import jwt
import pytest
from access_harness import OPERATOR, AccessHarness
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.errors import ApportionError
from apportion_common.grpc import limits as grpc_limits
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.key_source import KeySource
from apportion_dev.local.keys import TokenSigningKey, write_jwks
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.limits import (
    CREDENTIAL_FAILURES_PER_PEER_MAX,
    SERVICE_ACCOUNT_TOKEN_LIFE_S,
    TOKENS_PER_HOLDER_MAX,
)
from google.protobuf.message import Message
from identity_harness import NOON

KEY_INVALID = ("UNAUTHENTICATED", "KEY_INVALID")
LIMITED = ("RESOURCE_EXHAUSTED", "TOKEN_RATE_LIMITED")


@pytest.fixture
async def harness(service_database: MakeServiceDatabase) -> AccessHarness:
    made = AccessHarness(service_database("identity"))
    await made.use_cases.signing_keys.ensure_first()
    return made


def issue(key: str) -> pb.IssueTokenRequest:
    return pb.IssueTokenRequest(key=key)


def revocation(account_id: str) -> pb.RevokeServiceAccountRequest:
    return pb.RevokeServiceAccountRequest(account_id=account_id, reason="It leaked.")


def secrets_of(message: Message) -> bytes:
    return message.SerializeToString()


async def test_a_key_is_given_once_and_only_its_hash_is_kept(harness: AccessHarness) -> None:
    request = pb.CreateServiceAccountRequest(name="meter", roles=["service"], request_id="once")
    made = await harness.operate("CreateServiceAccount", request)
    assert made.key.startswith("apk_")
    assert len(made.key) == 4 + 43
    assert (made.account.name, made.account.created_by) == ("meter", OPERATOR.subject)
    ((kept,),) = harness.rows("SELECT key_hash FROM service_account")
    assert bytes(kept) == hashlib.sha256(made.key.encode()).digest()

    again = await harness.operate("CreateServiceAccount", request)
    assert (again.account, again.key) == (made.account, "")
    assert made.key not in harness.everything_stored()
    assert made.key.encode().hex() not in harness.everything_stored()


async def test_creating_and_revoking_are_audited_and_a_revocation_is_published_once(harness: AccessHarness) -> None:
    account = (await harness.account("meter", "service", "finance")).account
    for _ in range(2):
        await harness.operate("RevokeServiceAccount", revocation(account.account_id))
    trail = harness.rows(
        "SELECT action, actor, resource, after FROM audit_entry WHERE starts_with(action, 'service') ORDER BY at"
    )
    assert [row[:3] for row in trail] == [
        (action, OPERATOR.subject, f"service_account/{account.account_id}")
        for action in ("service_account.create", "service_account.revoke")
    ]
    assert trail[0][3]["roles"] == ["finance", "service"]
    assert trail[1][3]["reason"] == "It leaked."
    ((payload,),) = harness.rows("SELECT payload FROM outbox")
    envelope, said = EventEnvelope.FromString(bytes(payload)), pb.ServiceAccountRevoked()
    assert envelope.payload.Unpack(said)
    assert (envelope.type, said.account_id) == ("identity.service_account.revoked", account.account_id)


async def test_a_name_belongs_to_one_live_account_also_when_many_ask_at_once(harness: AccessHarness) -> None:
    async def create(number: int) -> str:
        try:
            await harness.operate(
                "CreateServiceAccount",
                pb.CreateServiceAccountRequest(name="meter", roles=["service"], request_id=f"race {number}"),
            )
        except ApportionError as error:
            return error.reason
        return "made"

    outcomes = await asyncio.gather(*(create(number) for number in range(8)))
    assert sorted(outcomes) == ["SERVICE_ACCOUNT_EXISTS"] * 7 + ["made"]

    listed = await harness.operate("ListServiceAccounts", pb.ListServiceAccountsRequest())
    await harness.operate("RevokeServiceAccount", revocation(listed.accounts[0].account_id))
    assert (await harness.account("meter")).account.account_id != listed.accounts[0].account_id


async def test_accounts_are_listed_newest_first_page_by_page_without_their_keys(harness: AccessHarness) -> None:
    made = []
    for number in range(5):
        harness.clock.advance(timedelta(seconds=1))
        made.append(await harness.account(f"account-{number}"))
    await harness.operate("RevokeServiceAccount", revocation(made[2].account.account_id))

    names, token = [], ""
    while True:
        page = await harness.operate(
            "ListServiceAccounts", pb.ListServiceAccountsRequest(page_size=2, page_token=token)
        )
        names += [account.name for account in page.accounts]
        assert not any(one.key.encode() in secrets_of(page) for one in made)
        token = page.next_page_token
        if not token:
            break
    assert names == ["account-4", "account-3", "account-1", "account-0"]
    every = await harness.operate("ListServiceAccounts", pb.ListServiceAccountsRequest(include_revoked=True))
    assert [account.name for account in every.accounts if account.HasField("revoked_at")] == ["account-2"]
    malformed = pb.ListServiceAccountsRequest(page_token="not one of ours")
    assert await harness.operate_reason("ListServiceAccounts", malformed) == (
        "INVALID_ARGUMENT",
        "PAGE_TOKEN_MALFORMED",
    )


async def test_a_key_gives_a_short_token_that_says_who_and_nothing_of_an_organisation(harness: AccessHarness) -> None:
    made = await harness.account("meter", "service")
    answer = await harness.operate("IssueToken", issue(made.key))
    claims = await harness.verify(answer.access_token)
    now_s = int(NOON.timestamp())
    assert {name: claims.get(name) for name in ("sub", "roles", "iat", "exp", "org_id", "amr")} == {
        "sub": f"service_account:{made.account.account_id}",
        "roles": ["service"],
        "iat": now_s,
        "exp": now_s + 45,
        "org_id": None,
        "amr": None,
    }
    assert answer.expires_at.seconds == claims["exp"]
    assert jwt.get_unverified_header(answer.access_token)["alg"] == "EdDSA"
    assert answer.access_token not in harness.everything_stored()


async def test_unknown_malformed_and_revoked_keys_get_one_and_the_same_answer(harness: AccessHarness) -> None:
    made = await harness.account()
    await harness.operate("RevokeServiceAccount", revocation(made.account.account_id))
    guesses = [made.key, made.key[:-1], f"{made.key} ", made.key.upper(), "apk_", "x", "\udc80", "apk_" + "A" * 43]
    seen = {str(vars(await harness.operate_rejected("IssueToken", _raw(guess)))) for guess in guesses}
    assert len(seen) == 1
    assert await harness.operate_reason("IssueToken", issue(made.key)) == KEY_INVALID


def _raw(key: str) -> Any:
    """A request that may hold what no message can."""

    class Request:
        DESCRIPTOR = pb.IssueTokenRequest.DESCRIPTOR

        def __init__(self) -> None:
            self.key = key

    return Request()


async def test_an_unknown_account_cannot_be_revoked(harness: AccessHarness) -> None:
    unknown = revocation("0190b5f2-0000-7000-8000-000000000001")
    assert await harness.operate_reason("RevokeServiceAccount", unknown) == ("NOT_FOUND", "SERVICE_ACCOUNT_NOT_FOUND")


async def test_a_revoked_accounts_tokens_end_within_a_minute_everywhere(harness: AccessHarness, tmp_path: Any) -> None:
    """Verifiers are told nothing: the token's own end is what stops it, its leeway included."""
    write_jwks(tmp_path / "jwks.json", [TokenSigningKey.create_or_load(tmp_path / "file.key")])
    verifier = TokenVerifier(tmp_path / "jwks.json", "https://identity.test", "apportion", harness.clock)
    verifier.trust(KeySource(harness.use_cases.signing_keys.key_set))
    made = await harness.account()
    token = (await harness.operate("IssueToken", issue(made.key))).access_token
    assert await verifier.verify_asking(token)
    await harness.operate("RevokeServiceAccount", revocation(made.account.account_id))
    assert await harness.operate_reason("IssueToken", issue(made.key)) == KEY_INVALID

    life_s = SERVICE_ACCOUNT_TOKEN_LIFE_S + grpc_limits.TOKEN_LEEWAY_S
    assert life_s < 60
    harness.clock.advance(timedelta(seconds=life_s - 1))
    assert await verifier.verify_asking(token)
    harness.clock.advance(timedelta(seconds=1))
    with pytest.raises(ApportionError) as rejection:
        await verifier.verify_asking(token)
    assert rejection.value.reason == "TOKEN_EXPIRED"


async def test_whoever_guesses_keys_is_slowed_down_by_address_and_no_other_address_with_them(
    harness: AccessHarness,
) -> None:
    made = await harness.account()
    for number in range(CREDENTIAL_FAILURES_PER_PEER_MAX):
        assert (
            await harness.operate_reason("IssueToken", issue(f"apk_{number}"), peer=f"ipv4:192.0.2.1:{number}")
            == KEY_INVALID
        )
    assert await harness.operate_reason("IssueToken", issue("apk_more")) == LIMITED
    assert await harness.operate_reason("IssueToken", issue(made.key)) == LIMITED, (
        "a right guess is not told apart either"
    )
    assert await harness.operate("IssueToken", issue(made.key), peer="ipv4:192.0.2.2:1")
    harness.clock.advance(timedelta(seconds=5))
    assert await harness.operate("IssueToken", issue(made.key))


async def test_who_guesses_does_not_stop_the_programs_that_share_the_address(harness: AccessHarness) -> None:
    running, revoked = await harness.account("running"), await harness.account("revoked")
    for made in (running, revoked):
        await harness.operate("IssueToken", issue(made.key))
    for number in range(CREDENTIAL_FAILURES_PER_PEER_MAX):
        assert await harness.operate_reason("IssueToken", issue(f"apk_{number}")) == KEY_INVALID
    assert await harness.operate_reason("IssueToken", issue("apk_more")) == LIMITED
    assert await harness.operate("IssueToken", issue(running.key))
    await harness.operate("RevokeServiceAccount", revocation(revoked.account.account_id))
    assert await harness.operate_reason("IssueToken", issue(revoked.key)) == KEY_INVALID
    assert await harness.operate_reason("IssueToken", issue(revoked.key)) == LIMITED, "it is a wrong key like any other"


async def test_who_hangs_up_before_the_answer_has_had_the_try(harness: AccessHarness) -> None:
    for number in range(CREDENTIAL_FAILURES_PER_PEER_MAX):
        call = asyncio.create_task(harness.operate("IssueToken", issue(f"apk_{number}")))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call})
    assert await harness.operate_reason("IssueToken", issue("apk_more")) == LIMITED


async def test_a_hundred_guesses_at_once_get_no_more_tries_than_one_after_the_other(harness: AccessHarness) -> None:
    guesses = (harness.operate_reason("IssueToken", issue(f"apk_{number}")) for number in range(100))
    outcomes = await asyncio.gather(*guesses)
    assert outcomes.count(KEY_INVALID) == CREDENTIAL_FAILURES_PER_PEER_MAX
    assert outcomes.count(LIMITED) == 100 - CREDENTIAL_FAILURES_PER_PEER_MAX


async def test_good_keys_use_up_no_tries_of_their_address_but_each_has_a_limit_of_its_own(
    harness: AccessHarness,
) -> None:
    first, second = await harness.account("first"), await harness.account("second")
    for _ in range(TOKENS_PER_HOLDER_MAX):
        await harness.operate("IssueToken", issue(first.key))
    assert await harness.operate_reason("IssueToken", issue(first.key)) == LIMITED
    assert await harness.operate("IssueToken", issue(second.key))
