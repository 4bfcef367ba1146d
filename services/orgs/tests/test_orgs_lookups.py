"""Names of organisations and accounts: found in either case or by id, and never a guess."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.caller import Caller, acting_as
from apportion_common.errors import ApportionError
from orgs_harness import OrgsHarness, account_id, org_id


async def orgs_as(harness: OrgsHarness, caller: Caller, *names: str) -> list[pb.OrgMatch]:
    with acting_as(caller):
        answer = await harness.rpcs.LookupOrgs(pb.LookupOrgsRequest(names=names), None)
    return list(answer.matches)


async def accounts(harness: OrgsHarness, *names: str) -> list[list[str]]:
    answer = await harness.call("LookupBillingAccounts", pb.LookupBillingAccountsRequest(names=names))
    return [[account.billing_account_id for account in match.accounts] for match in answer.matches]


async def orgs(harness: OrgsHarness, *names: str) -> list[Any]:
    answer = await harness.call("LookupOrgs", pb.LookupOrgsRequest(names=names))
    return [match.org.org_id or list(match.nearest) for match in answer.matches]


async def test_an_organisation_is_found_by_its_slug_in_either_case_and_by_its_id(harness: OrgsHarness) -> None:
    await harness.root("acme")
    await harness.root("AA")
    own = org_id("acme")
    assert await orgs(harness, "acme", "ACME", " acme ", own, own.upper(), "AA", "aa") == [own] * 5 + [org_id("AA")] * 2


async def test_a_name_that_nobody_has_finds_nothing_and_is_told_what_comes_nearest(harness: OrgsHarness) -> None:
    for name in ("acme", "acme-shop", "zebra"):
        await harness.root(name)
    assert await orgs(harness, "acm") == [["acme"]]
    assert (await orgs(harness, "acme-shp"))[0][0] == "acme-shop"
    assert await orgs(harness, "Acme Ltd") == [["acme"]]
    assert await orgs(harness, "nothing-like-it", org_id("nobody"), "%", "a" * 200) == [[], [], [], []]


async def test_an_id_stands_for_itself_before_a_slug_that_looks_like_one(harness: OrgsHarness) -> None:
    await harness.root("acme")
    other = await harness.call("CreateOrg", pb.CreateOrgRequest(legal_name="Odd", slug=org_id("acme")))
    odd = await harness.call("CreateOrg", pb.CreateOrgRequest(legal_name="Odd", slug=org_id("nobody")))
    assert other.org.org_id != org_id("acme")
    assert await orgs(harness, org_id("acme"), org_id("nobody")) == [org_id("acme"), odd.org.org_id]


async def test_who_belongs_to_an_organisation_finds_it_and_those_below_it_alone(harness: OrgsHarness) -> None:
    await harness.root("acme")
    await harness.child("acme-shop", "acme")
    await harness.root("other")
    own = Caller("user:1", frozenset({"user"}), org_id=UUID(org_id("acme")))
    found = await orgs_as(harness, own, "acme", "acme-shop", "other", org_id("other"), "othe")
    assert [match.org.slug for match in found] == ["acme", "acme-shop", "", "", ""]
    assert not [name for match in found for name in match.nearest if name != "acme"]
    for role in ("finance", "service", "operator"):
        assert (await orgs_as(harness, Caller("p", frozenset({role})), "other"))[0].org.slug == "other"
    with pytest.raises(ApportionError) as nobody:
        await orgs_as(harness, Caller("user:2", frozenset()), "acme")
    assert nobody.value.reason == "ORG_FORBIDDEN"


async def test_an_account_is_found_by_name_by_owner_and_name_and_by_id(harness: OrgsHarness) -> None:
    await harness.root("acme")
    await harness.root("other")
    await harness.account("main", "acme")
    second = await harness.call(
        "CreateBillingAccount",
        pb.CreateBillingAccountRequest(owner_org_id=org_id("other"), name="Main", currency="EUR"),
    )
    theirs = second.billing_account.billing_account_id
    mine = account_id("main")
    assert await accounts(harness, "main", "Main", "acme/main", "OTHER/MAIN", mine) == [
        [mine], [theirs], [mine], [theirs], [mine],
    ]  # fmt: skip
    assert sorted((await accounts(harness, "MAIN"))[0]) == sorted([mine, theirs])
    assert await accounts(harness, "acme/nothing", org_id("acme")) == [[], []]


async def test_an_account_that_came_by_itself_gives_way_to_one_that_was_made(harness: OrgsHarness) -> None:
    await harness.root("acme")
    (default,) = await accounts(harness, "acme Ltd")
    assert len(default) == 1
    await harness.call(
        "CreateBillingAccount",
        pb.CreateBillingAccountRequest(
            billing_account_id=account_id("a"), owner_org_id=org_id("acme"), name="acme Ltd", currency="AUD"
        ),
    )
    assert await accounts(harness, "acme Ltd", default[0]) == [[account_id("a")], default]


async def test_who_belongs_to_an_organisation_finds_its_accounts_alone(harness: OrgsHarness) -> None:
    await harness.root("acme")
    await harness.root("other")
    await harness.account("main", "acme")
    await harness.account("hidden", "other")
    request = pb.LookupBillingAccountsRequest(names=["main", "hidden", account_id("hidden"), "hidde"])
    with acting_as(Caller("user:1", frozenset({"user"}), org_id=UUID(org_id("acme")))):
        answer = await harness.rpcs.LookupBillingAccounts(request, None)
    assert [len(match.accounts) for match in answer.matches] == [1, 0, 0, 0]
    assert not [name for match in answer.matches for name in match.nearest]
