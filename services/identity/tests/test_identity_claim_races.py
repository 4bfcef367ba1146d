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
from apportion_identity.app.claim_contests import ClaimContests
from apportion_identity.store.claims import ClaimMoved, ClaimStore
from claims_harness import CONFLICT, DOMAIN, VERIFIED, ClaimsHarness
from identity_harness import OPERATOR, org_id

PROVERS = 12
ONE_AND_THE_REST = ["pending_conflict"] * (PROVERS - 1) + ["verified"]


@pytest.fixture
def harness(service_database: Callable[[str], ServiceDatabase]) -> ClaimsHarness:
    return ClaimsHarness(service_database("identity"))


@pytest.fixture
def without_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lock: instead, everybody waits until all connections are in their transactions, then goes on at once."""
    arrived, together = Counter[str](), asyncio.Event()

    async def meet(*_: Any) -> None:
        arrived["all"] += 1
        if arrived["all"] >= POOL_SIZE:
            together.set()
        await together.wait()

    monkeypatch.setattr(ClaimStore, "lock_domain", meet)


async def claims(harness: ClaimsHarness, *, holder_gone: bool = False) -> list[pb.CreateClaimResponse]:
    """Twelve organisations' claims of one name; with `holder_gone`, a thirteenth held it when they were made.

    While a pending claim holds the name, every prover has to change its row, which keeps them apart by itself.
    """
    holder = await harness.claim("holder") if holder_gone else None
    made = [await harness.claim(f"org{number}") for number in range(PROVERS)]
    if holder is not None:
        request = pb.RevokeClaimRequest(org_id=org_id("holder"), claim_id=holder.claim.claim_id, reason="r")
        await harness.call(OPERATOR, "RevokeClaim", request)
    return made


async def race(harness: ClaimsHarness, made: list[pb.CreateClaimResponse]) -> Counter[pb.VerificationOutcome]:
    """All of them prove the name at once."""
    answers = await asyncio.gather(*(harness.prove(one) for one in made))
    return Counter(answer.outcome for answer in answers)


@pytest.mark.parametrize("holder_gone", [False, True])
async def test_of_twelve_simultaneous_provers_one_is_verified_and_nobody_decides_twice(
    harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch, holder_gone: bool
) -> None:
    decided = Counter[str]()
    award = ClaimContests.award

    async def counted(*arguments: Any) -> Any:
        decided["all"] += 1
        return await award(*arguments)

    monkeypatch.setattr(ClaimContests, "award", counted)
    made = await claims(harness, holder_gone=holder_gone)
    assert await race(harness, made) == {VERIFIED: 1, CONFLICT: PROVERS - 1}
    assert [status for status in harness.statuses() if status != "revoked"] == ONE_AND_THE_REST
    # A deadlock or a lost race would have been decided again.
    assert decided["all"] == PROVERS
    assert len(harness.events("identity.claim.verified")) == 1
    conflicts = await harness.conflicts()
    ((owner,),) = harness.rows("SELECT claim_id::text FROM domain_claim WHERE status = 'verified'")
    assert len(conflicts) == PROVERS - 1
    assert all(owner in (one.claim.claim_id, one.against.claim_id) for one in conflicts)


@pytest.mark.usefixtures("without_lock")
async def test_the_unique_index_alone_lets_one_prover_through(
    harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as alone:
        alone.setattr(ClaimStore, "lock_domain", pass_by)
        made = await claims(harness, holder_gone=True)
    assert await race(harness, made) == {VERIFIED: 1, CONFLICT: PROVERS - 1}
    assert harness.statuses() == [*ONE_AND_THE_REST[:-1], "revoked", "verified"]


async def test_the_lock_alone_lets_one_prover_through(harness: ClaimsHarness) -> None:
    async with harness.place.owner_engine.begin() as connection:
        await connection.exec_driver_sql("DROP INDEX ix_domain_claim_held")
    made = await claims(harness, holder_gone=True)
    assert await race(harness, made) == {VERIFIED: 1, CONFLICT: PROVERS - 1}
    assert harness.statuses() == [*ONE_AND_THE_REST[:-1], "revoked", "verified"]


async def test_of_simultaneous_claims_one_holds_the_name(harness: ClaimsHarness) -> None:
    made = await asyncio.gather(*(harness.claim(f"org{number}") for number in range(PROVERS)))
    assert Counter(one.claim.status for one in made) == {
        pb.CLAIM_STATUS_PENDING: 1,
        pb.CLAIM_STATUS_PENDING_CONFLICT: PROVERS - 1,
    }
    assert len(await harness.conflicts()) == PROVERS - 1


@pytest.mark.usefixtures("without_lock")
async def test_the_unique_index_alone_lets_one_claim_hold_the_name(harness: ClaimsHarness) -> None:
    made = await asyncio.gather(*(harness.claim(f"org{number}") for number in range(PROVERS)))
    assert Counter(one.claim.status for one in made) == {
        pb.CLAIM_STATUS_PENDING: 1,
        pb.CLAIM_STATUS_PENDING_CONFLICT: PROVERS - 1,
    }


async def test_racing_claims_of_an_organisation_stop_exactly_at_the_days_limit(harness: ClaimsHarness) -> None:
    setting = pb.SetGlobalSettingRequest(key="claims_daily_limit", value="5", reason="few")
    await harness.call(OPERATOR, "SetGlobalSetting", setting)
    done = await asyncio.gather(
        *(harness.claim("acme", f"name{number}.com") for number in range(20)), return_exceptions=True
    )
    reasons = Counter(getattr(one, "reason", "made") for one in done)
    assert reasons == {"made": 5, "CLAIM_RATE_LIMITED": 15}
    assert harness.rows("SELECT count(*) FROM domain_claim") == [(5,)]


async def test_one_message_that_comes_many_times_at_once_proves_once(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    message = harness.mail(made.mail_to)
    calls = [harness.submit(message) for _ in range(6)] + [harness.submit(message, request_id="twin") for _ in range(6)]
    answers = await asyncio.gather(*calls)
    assert {(answer.outcome, answer.claim_id) for answer in answers} == {(VERIFIED, made.claim.claim_id)}
    assert harness.attempts() == [("PROVED", True)]
    assert len(harness.events("identity.claim.verified")) == 1


async def test_a_conflict_that_is_settled_while_proofs_come_leaves_one_holder(harness: ClaimsHarness) -> None:
    holder = await harness.verified("holder")
    made = [await harness.claim(f"org{number}") for number in range(4)]
    conflicts = await harness.conflicts()
    work: list[Any] = [harness.prove(one) for one in made]
    work += [harness.resolve(one, one.claim) for one in conflicts]
    revoke = pb.RevokeClaimRequest(org_id=org_id("holder"), claim_id=holder.claim_id, reason="r")
    work.append(harness.call(OPERATOR, "RevokeClaim", revoke))
    done = await asyncio.gather(*work, return_exceptions=True)
    rejected = {getattr(one, "reason", "") for one in done if isinstance(one, BaseException)}
    assert rejected <= {"CONFLICT_RESOLVED", "CLAIM_REVOKED"}
    held = harness.rows("SELECT count(*) FROM domain_claim WHERE domain = %s AND status = 'verified'", DOMAIN)
    assert held == [(1,)]


async def test_who_loses_again_and_again_is_told_to_come_back_and_nothing_is_written(
    harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await harness.claim("acme")

    async def lose(*_: Any) -> None:
        raise ClaimMoved

    with monkeypatch.context() as losing:
        losing.setattr(ClaimStore, "save_claim", lose)
        with pytest.raises(Unavailable) as rejected:
            await harness.prove(made)
    assert (rejected.value.reason, rejected.value.retry_after_s) == ("CLAIM_BUSY", 1)
    assert harness.attempts() == []
    assert (await harness.prove(made)).outcome == VERIFIED


async def pass_by(*_: Any) -> None:
    """Take no lock."""
