"""Claims racing for one name: the lock keeps them apart, and the unique index would hold without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.errors import Unavailable
from apportion_dev.testing.databases import POOL_SIZE, ServiceDatabase
from apportion_identity.app.conflicts import Conflicts
from apportion_identity.app.ports.claims import ClaimMoved
from apportion_identity.store.claims import StoredClaims
from claims_world import CONFLICT, DOMAIN, OPERATOR, VERIFIED, World, org_id

PROVERS = 12
ONE_AND_THE_REST = ["pending_conflict"] * (PROVERS - 1) + ["verified"]


@pytest.fixture
def world(service_database: Callable[[str], ServiceDatabase]) -> World:
    return World(service_database("identity"))


@pytest.fixture
def without_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lock: instead, everybody waits until all connections are in their transactions, then goes on at once."""
    arrived, together = Counter[str](), asyncio.Event()

    async def meet(*_: Any) -> None:
        arrived["all"] += 1
        if arrived["all"] >= POOL_SIZE:
            together.set()
        await together.wait()

    monkeypatch.setattr(StoredClaims, "lock_domain", meet)


async def claims(world: World, *, holder_gone: bool = False) -> list[pb.CreateClaimResponse]:
    """Twelve organisations' claims of one name; with `holder_gone`, a thirteenth held it when they were made.

    While a pending claim holds the name, every prover has to change its row, which keeps them apart by itself.
    """
    holder = await world.claim("holder") if holder_gone else None
    made = [await world.claim(f"org{number}") for number in range(PROVERS)]
    if holder is not None:
        request = pb.RevokeClaimRequest(org_id=org_id("holder"), claim_id=holder.claim.claim_id, reason="r")
        await world.call(OPERATOR, "RevokeClaim", request)
    return made


async def race(world: World, made: list[pb.CreateClaimResponse]) -> Counter[pb.VerificationOutcome]:
    """All of them prove the name at once."""
    answers = await asyncio.gather(*(world.prove(one) for one in made))
    return Counter(answer.outcome for answer in answers)


@pytest.mark.parametrize("holder_gone", [False, True])
async def test_of_twelve_simultaneous_provers_one_is_verified_and_nobody_decides_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, holder_gone: bool
) -> None:
    decided = Counter[str]()
    grant = Conflicts.grant

    async def counted(*arguments: Any) -> Any:
        decided["all"] += 1
        return await grant(*arguments)

    monkeypatch.setattr(Conflicts, "grant", counted)
    made = await claims(world, holder_gone=holder_gone)
    assert await race(world, made) == {VERIFIED: 1, CONFLICT: PROVERS - 1}
    assert [status for status in world.statuses() if status != "revoked"] == ONE_AND_THE_REST
    # A deadlock or a lost race would have been decided again.
    assert decided["all"] == PROVERS
    assert len(world.facts("identity.claim.verified")) == 1
    conflicts = await world.conflicts()
    ((owner,),) = world.rows("SELECT claim_id::text FROM domain_claim WHERE status = 'verified'")
    assert len(conflicts) == PROVERS - 1
    assert all(owner in (one.claim.claim_id, one.against.claim_id) for one in conflicts)


@pytest.mark.usefixtures("without_lock")
async def test_the_unique_index_alone_lets_one_prover_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as alone:
        alone.setattr(StoredClaims, "lock_domain", pass_by)
        made = await claims(world, holder_gone=True)
    assert await race(world, made) == {VERIFIED: 1, CONFLICT: PROVERS - 1}
    assert world.statuses() == [*ONE_AND_THE_REST[:-1], "revoked", "verified"]


async def test_the_lock_alone_lets_one_prover_through(world: World) -> None:
    async with world.place.owner_engine.begin() as connection:
        await connection.exec_driver_sql("DROP INDEX ix_domain_claim_held")
    made = await claims(world, holder_gone=True)
    assert await race(world, made) == {VERIFIED: 1, CONFLICT: PROVERS - 1}
    assert world.statuses() == [*ONE_AND_THE_REST[:-1], "revoked", "verified"]


async def test_of_simultaneous_claims_one_holds_the_name(world: World) -> None:
    made = await asyncio.gather(*(world.claim(f"org{number}") for number in range(PROVERS)))
    assert Counter(one.claim.status for one in made) == {
        pb.CLAIM_STATUS_PENDING: 1,
        pb.CLAIM_STATUS_PENDING_CONFLICT: PROVERS - 1,
    }
    assert len(await world.conflicts()) == PROVERS - 1


@pytest.mark.usefixtures("without_lock")
async def test_the_unique_index_alone_lets_one_claim_hold_the_name(world: World) -> None:
    made = await asyncio.gather(*(world.claim(f"org{number}") for number in range(PROVERS)))
    assert Counter(one.claim.status for one in made) == {
        pb.CLAIM_STATUS_PENDING: 1,
        pb.CLAIM_STATUS_PENDING_CONFLICT: PROVERS - 1,
    }


async def test_racing_claims_of_an_organisation_stop_exactly_at_the_days_limit(world: World) -> None:
    setting = pb.SetGlobalSettingRequest(key="claims_daily_limit", value="5", reason="few")
    await world.call(OPERATOR, "SetGlobalSetting", setting)
    done = await asyncio.gather(
        *(world.claim("acme", f"name{number}.com") for number in range(20)), return_exceptions=True
    )
    reasons = Counter(getattr(one, "reason", "made") for one in done)
    assert reasons == {"made": 5, "CLAIM_RATE_LIMITED": 15}
    assert world.rows("SELECT count(*) FROM domain_claim") == [(5,)]


async def test_one_message_that_comes_many_times_at_once_proves_once(world: World) -> None:
    made = await world.claim("acme")
    message = world.mail(made.mail_to)
    calls = [world.submit(message) for _ in range(6)] + [world.submit(message, request_id="twin") for _ in range(6)]
    answers = await asyncio.gather(*calls)
    assert {(answer.outcome, answer.claim_id) for answer in answers} == {(VERIFIED, made.claim.claim_id)}
    assert world.attempts() == [("PROVED", True)]
    assert len(world.facts("identity.claim.verified")) == 1


async def test_a_conflict_that_is_settled_while_proofs_come_leaves_one_holder(world: World) -> None:
    holder = await world.verified("holder")
    made = [await world.claim(f"org{number}") for number in range(4)]
    conflicts = await world.conflicts()
    work: list[Any] = [world.prove(one) for one in made]
    work += [world.resolve(one, one.claim) for one in conflicts]
    revoke = pb.RevokeClaimRequest(org_id=org_id("holder"), claim_id=holder.claim_id, reason="r")
    work.append(world.call(OPERATOR, "RevokeClaim", revoke))
    done = await asyncio.gather(*work, return_exceptions=True)
    refused = {getattr(one, "reason", "") for one in done if isinstance(one, BaseException)}
    assert refused <= {"CONFLICT_RESOLVED", "CLAIM_REVOKED"}
    held = world.rows("SELECT count(*) FROM domain_claim WHERE domain = %s AND status = 'verified'", DOMAIN)
    assert held == [(1,)]


async def test_who_loses_again_and_again_is_told_to_come_back_and_nothing_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await world.claim("acme")

    async def lose(*_: Any) -> None:
        raise ClaimMoved

    with monkeypatch.context() as losing:
        losing.setattr(StoredClaims, "save_claim", lose)
        with pytest.raises(Unavailable) as refused:
            await world.prove(made)
    assert (refused.value.reason, refused.value.retry_after_s) == ("CLAIM_BUSY", 1)
    assert world.attempts() == []
    assert (await world.prove(made)).outcome == VERIFIED


async def pass_by(*_: Any) -> None:
    """Take no lock."""
