"""What pricing keeps of orgs' answers, and how seldom it asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from apportion_common.errors import Unavailable
from apportion_pricing.app.account_resolver import AccountResolver
from apportion_pricing.domain.accounts import AccountInterval, AccountsView, OrgsAnswer
from hypothesis import given
from hypothesis import strategies as st
from pricing_harness import DAY, DECEMBER, JANUARY, Orgs, id_of

A, B = id_of("AA"), id_of("BB")


@pytest.fixture
def orgs() -> Orgs:
    world = Orgs()
    world.map("AA", "first")
    world.map("AA", "second", JANUARY + DAY)
    world.map("BB", "first")
    return world


class SlowOrgs(Orgs):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def resolve(self, items: Sequence[tuple[bytes, int]], as_of_revision: int) -> OrgsAnswer:
        answer = await super().resolve(items, as_of_revision)
        await self.gate.wait()
        return answer


def account_at(view: AccountsView, org_id: bytes, at_us: int) -> bytes | None:
    interval = view.find(org_id, at_us)
    assert interval is not None
    return interval.account.account_id if interval.account else None


async def test_an_answer_is_kept_for_its_whole_interval(orgs: Orgs) -> None:
    accounts = AccountResolver(orgs)
    view = await accounts.confirm([(A, JANUARY), (A, JANUARY + DAY), (B, JANUARY)])
    assert account_at(view, A, JANUARY + DAY - 1) == id_of("first")
    assert account_at(view, A, JANUARY + DAY) == id_of("second")
    assert view.find(A, DECEMBER - 1) is None
    orgs.calls.clear()
    assert await accounts.confirm([(A, JANUARY + 5 * DAY), (B, JANUARY)]) is view
    assert orgs.calls == [(0, 0)]


async def test_a_new_revision_of_orgs_is_a_new_view_and_the_old_one_stays_as_it_was(orgs: Orgs) -> None:
    accounts = AccountResolver(orgs)
    old = await accounts.confirm([(A, JANUARY)])
    orgs.map("AA", "third", JANUARY)
    new = await accounts.confirm([(A, JANUARY)])
    assert new is not old
    assert (account_at(old, A, JANUARY), account_at(new, A, JANUARY)) == (id_of("first"), id_of("third"))
    await accounts.fill(old, [(A, JANUARY + DAY)])
    assert account_at(old, A, JANUARY + DAY) == id_of("second")
    assert orgs.calls[-1] == (1, old.revision)


async def test_lanes_that_wait_share_a_call_that_began_after_they_came() -> None:
    orgs = SlowOrgs()
    orgs.map("AA", "first")
    accounts = AccountResolver(orgs)
    first = asyncio.create_task(accounts.confirm([(A, JANUARY)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(accounts.confirm([(A, JANUARY)])) for _ in range(5)]
    orgs.map("AA", "third", JANUARY)
    orgs.gate.set()
    views = await asyncio.gather(first, *later)
    # The first one asked before the change; everyone who came meanwhile got one call, which began after it.
    assert [call for call in orgs.calls if call[1] == 0] == [(1, 0), (0, 0)]
    assert {account_at(view, A, JANUARY) for view in views[1:]} == {id_of("third")}


async def test_a_failure_reaches_all_who_wait_and_the_next_one_asks_again(orgs: Orgs) -> None:
    accounts = AccountResolver(orgs)
    orgs.down = True
    outcomes = await asyncio.gather(*(accounts.confirm([(A, JANUARY)]) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    orgs.down = False
    assert account_at(await accounts.confirm([(A, JANUARY)]), A, JANUARY) == id_of("first")


async def test_answers_that_make_no_sense_are_no_answers(orgs: Orgs) -> None:
    class Wrong:
        def __init__(self, answer: OrgsAnswer) -> None:
            self.answer = answer

        async def resolve(self, items: Sequence[tuple[bytes, int]], as_of_revision: int) -> OrgsAnswer:
            return self.answer

    elsewhere = AccountInterval(JANUARY + DAY, JANUARY + 2 * DAY, True, None)
    for answer in (OrgsAnswer(7, []), OrgsAnswer(7, [elsewhere])):
        with pytest.raises(Unavailable) as refused:
            await AccountResolver(Wrong(answer)).confirm([(A, JANUARY)])
        assert refused.value.reason == "ORGS_UNAVAILABLE"


@given(st.lists(st.integers(0, 30), max_size=8), st.lists(st.integers(-5, 40), min_size=1, max_size=12))
def test_whatever_is_asked_in_whatever_order_the_answers_are_those_of_orgs(starts: list[int], asked: list[int]) -> None:
    orgs = Orgs()
    for number, start in enumerate(starts):
        orgs.map("AA", f"account {number}", JANUARY + start)
    needs = [(A, JANUARY + offset) for offset in asked]

    async def check() -> None:
        accounts = AccountResolver(orgs)
        for need in needs:
            await accounts.confirm([need])
        view = await accounts.confirm(needs)
        for (org_id, at_us), interval in zip(needs, (await orgs.resolve(needs, 0)).intervals, strict=True):
            assert view.find(org_id, at_us) == interval

    asyncio.run(check())
