"""Who may call what: tokens, roles and organisations, on a real TLS server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import jwt
import pytest
import pytest_asyncio
from apportion_common.caller import Caller, current_caller, optional_caller
from apportion_common.errors import Unauthenticated
from apportion_common.grpc.policy import ContractError, policies_of
from apportion_dev.local.keys import TokenSigningKey, write_jwks
from cryptography.hazmat.primitives.asymmetric import rsa
from grpc_world import NOW, ORG, OTHER_ORG, TOY, Inner, Served, Toy, World, bearer, refused, toy_call, toy_registration

DENIED = grpc.StatusCode.PERMISSION_DENIED


async def echo(request: Any, context: Any) -> Any:
    return request


async def answers(request: Any, context: Any) -> AsyncIterator[Any]:
    for _ in range(3):
        yield request


async def requests(messages: Any, context: Any) -> Any:
    return Toy(count=len([message async for message in messages]))


async def reads(messages: Any, context: Any) -> Any:
    count = 0
    while await context.read() is not grpc.aio.EOF:
        count += 1
    return Toy(count=count)


async def both(messages: Any, context: Any) -> AsyncIterator[Any]:
    async for message in messages:
        yield message


@pytest_asyncio.fixture
async def served(world: World) -> AsyncIterator[Served]:
    names = (
        "Public",
        "Anyone",
        "Unary",
        "Inners",
        "ForAdmins",
        "ForOwners",
        "ForFinance",
        "ForOperators",
        "ForServices",
    )
    handlers = dict.fromkeys(names, echo) | {"Answers": answers, "Requests": requests, "Reads": reads, "Both": both}
    async with world.serving([toy_registration(**handlers)], [TOY]) as served:
        yield served


async def several(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def test_a_call_without_a_token_is_unauthenticated(served: Served) -> None:
    for metadata in ((), (("authorization", "Basic YTpi"),), (("authorization", "Bearer "),)):
        seen = await refused(toy_call(served.channel, "Anyone")(Toy(), metadata=metadata))
        assert (seen.code, seen.reason, seen.domain) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "TOKEN_MISSING",
            "apportion",
        )


async def test_an_expired_token_is_told_apart_and_a_little_lateness_is_forgiven(served: Served, world: World) -> None:
    token = world.token("user", org_id=ORG, ttl_s=60)
    call = toy_call(served.channel, "Anyone")
    world.clock.advance(timedelta(seconds=64))
    await call(Toy(), metadata=bearer(token))
    world.clock.advance(timedelta(seconds=1))
    assert (await refused(call(Toy(), metadata=bearer(token)))).reason == "TOKEN_EXPIRED"
    fresh_to_the_cache = world.token("user", now=NOW - timedelta(hours=1), ttl_s=60)
    assert (await refused(call(Toy(), metadata=bearer(fresh_to_the_cache)))).reason == "TOKEN_EXPIRED"


def _claims(world: World, **changes: Any) -> dict[str, Any]:
    now_s = int(world.clock.now().timestamp())
    claims = {
        "iss": "https://identity.test",
        "aud": "apportion",
        "sub": "a",
        "iat": now_s,
        "exp": now_s + 60,
        "roles": [],
    }
    return {key: value for key, value in (claims | changes).items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other"},
        {"aud": "other"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 201},
        {"sub": "a\nb"},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 10**30},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"iss": None},
        {"aud": None},
        {"roles": "operator"},
        {"roles": [1]},
        {"roles": ["user"] * 33},
        {"org_id": "not-a-uuid"},
        {"org_id": 5},
        {"amr": "otp"},
    ],
)
def test_a_token_with_a_wrong_claim_is_invalid(world: World, changes: dict[str, Any]) -> None:
    token = jwt.encode(
        _claims(world, **changes), world.signing.private_key, algorithm="EdDSA", headers={"kid": world.signing.kid}
    )
    with pytest.raises(Unauthenticated) as refusal:
        world.verifier().verify(token)
    assert refusal.value.reason == "TOKEN_INVALID"


def test_only_the_keys_of_the_set_and_their_algorithm_are_believed(world: World, tmp_path: Any) -> None:
    stranger = TokenSigningKey.create_or_load(tmp_path / "stranger.key")
    kid = {"kid": world.signing.kid}
    public = world.signing.jwk()["x"]
    good = world.token("operator")
    head, body, signature = good.split(".")
    forged = [
        jwt.encode(_claims(world), stranger.private_key, algorithm="EdDSA", headers=kid),
        jwt.encode(_claims(world), stranger.private_key, algorithm="EdDSA", headers={"kid": stranger.kid}),
        jwt.encode(_claims(world), world.signing.private_key, algorithm="EdDSA"),
        jwt.encode(_claims(world), world.signing.private_key, algorithm="EdDSA", headers={"kid": ""}),
        jwt.encode(_claims(world), public.ljust(64, "x"), algorithm="HS256", headers=kid),
        jwt.encode(_claims(world), None, algorithm="none", headers=kid),
        jwt.encode(_claims(world), rsa.generate_private_key(65537, 2048), algorithm="RS256", headers=kid),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body[:-2]}AA.{signature}",
        "not a token",
        "a.b.c",
        "é.é.é",
        "x" * 9_000,
    ]
    verifier = world.verifier()
    assert verifier.verify(good).subject == "user:ada"
    for token in forged:
        with pytest.raises(Unauthenticated) as refusal:
            verifier.verify(token)
        assert refusal.value.reason == "TOKEN_INVALID", token


def test_keys_that_change_take_effect_at_once_and_an_unreadable_file_changes_nothing(
    world: World, tmp_path: Any
) -> None:
    verifier, token = world.verifier(), world.token("user")
    assert verifier.verify(token)
    world.jwks_file.write_text("{")
    assert verifier.verify(token)
    world.jwks_file.unlink()
    assert verifier.verify(token)
    other = TokenSigningKey.create_or_load(tmp_path / "next.key")
    write_jwks(world.jwks_file, [other])
    with pytest.raises(Unauthenticated):
        verifier.verify(token)
    assert verifier.verify(world.token("user", signing_key=other.private_key, kid=other.kid))


def test_without_a_usable_key_set_nothing_starts(world: World) -> None:
    for text in ("{}", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AA", "kid": "a"}]}', "nonsense"):
        world.jwks_file.write_text(text)
        with pytest.raises(ValueError):
            world.verifier()


async def test_the_handler_knows_the_caller(world: World) -> None:
    seen: list[Caller] = []

    async def look(request: Any, context: Any) -> Any:
        seen.append(current_caller())
        return request

    async with world.serving([toy_registration(Anyone=look, Public=look)], [TOY]) as served:
        token = world.token("Admin", org_id=ORG.upper(), amr=["otp"])
        metadata = (*bearer(token), ("x-request-id", "call-7"))
        await toy_call(served.channel, "Anyone")(Toy(), metadata=metadata)
    assert seen == [Caller("user:ada", frozenset({"admin"}), UUID(ORG), ("otp",), "call-7")]
    assert seen[0].has_role("Admin")
    assert not seen[0].is_platform


async def test_a_public_rpc_needs_no_token_and_has_no_caller(world: World) -> None:
    callers: list[Caller | None] = []

    async def look(request: Any, context: Any) -> Any:
        callers.append(optional_caller())
        return request

    async with world.serving([toy_registration(Public=look)], [TOY]) as served:
        await toy_call(served.channel, "Public")(Toy())
        await toy_call(served.channel, "Public")(Toy(), metadata=bearer("rubbish"))
    assert callers == [None, None]


ALLOWED = {
    "Anyone": {"user", "admin", "owner", "finance", "service", "operator", "nothing"},
    "Unary": {"user", "admin", "owner", "service", "operator"},
    "ForAdmins": {"admin", "owner", "service", "operator"},
    "ForOwners": {"owner", "operator"},
    "ForFinance": {"finance", "operator"},
    "ForServices": {"service", "operator"},
    "ForOperators": {"operator"},
}


@pytest.mark.parametrize("name", sorted(ALLOWED))
async def test_each_level_lets_exactly_its_roles_through(served: Served, world: World, name: str) -> None:
    for role in ALLOWED["Anyone"]:
        call = toy_call(served.channel, name)(Toy(org_id=ORG), metadata=bearer(world.token(role.title(), org_id=ORG)))
        if role in ALLOWED[name]:
            assert (await call).org_id == ORG
        else:
            seen = await refused(call)
            assert (seen.code, seen.reason) == (DENIED, "ROLE_REQUIRED"), role


async def test_another_organisation_is_forbidden_and_so_is_none(served: Served, world: World) -> None:
    call, mine = toy_call(served.channel, "Unary"), bearer(world.token("owner", org_id=ORG))
    assert (await call(Toy(org_id=ORG.upper()), metadata=mine)).org_id == ORG.upper()
    for org_id in (OTHER_ORG, "", "nonsense", ORG.replace("-", ""), f"{{{ORG}}}"):
        seen = await refused(call(Toy(org_id=org_id), metadata=mine))
        assert (seen.code, seen.reason) == (DENIED, "ORG_FORBIDDEN"), org_id
    unbound = bearer(world.token("owner"))
    assert (await refused(call(Toy(org_id=ORG), metadata=unbound))).reason == "ORG_FORBIDDEN"
    for role in ("service", "operator"):
        await call(Toy(org_id=OTHER_ORG), metadata=bearer(world.token(role)))


async def test_every_value_of_a_repeated_path_is_checked_also_as_bytes(served: Served, world: World) -> None:
    call, mine = toy_call(served.channel, "Inners"), bearer(world.token("user", org_id=ORG))
    own, other = Inner(org_id=UUID(ORG).bytes), Inner(org_id=UUID(OTHER_ORG).bytes)
    assert len((await call(Toy(inners=[own] * 5_000), metadata=mine)).inners) == 5_000
    for odd in (other, Inner(), Inner(org_id=b"short")):
        seen = await refused(call(Toy(inners=[own] * 4_999 + [odd]), metadata=mine))
        assert (seen.code, seen.reason) == (DENIED, "ORG_FORBIDDEN")


async def test_every_message_of_a_stream_is_checked(served: Served, world: World) -> None:
    mine = bearer(world.token("user", org_id=ORG))
    own, other = Toy(org_id=ORG), Toy(org_id=OTHER_ORG)
    channel = served.channel
    assert len([m async for m in toy_call(channel, "Answers")(own, metadata=mine)]) == 3
    assert (await refused(toy_call(channel, "Answers")(other, metadata=mine))).reason == "ORG_FORBIDDEN"
    assert (await refused(toy_call(channel, "Answers")(own))).reason == "TOKEN_MISSING"
    assert (await refused(toy_call(channel, "Requests")(several(own)))).reason == "TOKEN_MISSING"
    for name in ("Requests", "Reads"):
        call = toy_call(channel, name)
        assert (await call(several(own, own), metadata=mine)).count == 2
        assert (await refused(call(several(own, other), metadata=mine))).reason == "ORG_FORBIDDEN"
    seen = [m.org_id async for m in toy_call(channel, "Both")(several(own, own), metadata=mine)]
    assert seen == [ORG, ORG]
    assert (await refused(toy_call(channel, "Both")(several(own, other), metadata=mine))).reason == "ORG_FORBIDDEN"


@pytest.mark.parametrize(
    "name", ["NoLevelService", "NoFieldService", "WrongFieldService", "NumberFieldService", "Missing"]
)
def test_a_contract_that_does_not_say_who_may_call_is_refused(name: str) -> None:
    with pytest.raises(ContractError):
        policies_of([f"apportion.toy.v1.{name}"])


async def test_a_service_that_is_served_without_being_named_is_refused(world: World) -> None:
    with pytest.raises(ContractError, match="registered without being named"):
        async with world.serving([toy_registration(Unary=echo)], []):
            pass
    with pytest.raises(ContractError, match="named without being registered"):
        async with world.serving([], [TOY]):
            pass


def test_every_rpc_of_the_product_says_who_may_call_it() -> None:
    import apportion.identity.v1.identity_service_pb2
    import apportion.ledger.v1.ledger_service_pb2
    import apportion.metering.v1.metering_service_pb2
    import apportion.orgs.v1.orgs_service_pb2
    import apportion.pricing.v1.pricing_service_pb2

    modules = (
        apportion.identity.v1.identity_service_pb2,
        apportion.ledger.v1.ledger_service_pb2,
        apportion.metering.v1.metering_service_pb2,
        apportion.orgs.v1.orgs_service_pb2,
        apportion.pricing.v1.pricing_service_pb2,
    )
    names = [service.full_name for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    assert len(names) == 5
    assert len(policies_of(names)) > 50
