"""Lists of terms: each item once and in order whatever the page's size, filtered, and never empty by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion_common.caller import FINANCE, OPERATOR, SERVICE, USER, Caller
from apportion_common.errors import ApportionError, PermissionDenied
from apportion_common.grpc.policy import policies_of
from apportion_pricing.wiring import SERVICE_NAME
from pricing_harness import DECEMBER, FEBRUARY, JANUARY, PricingHarness, graduated, per_unit, text_of

PLANS = ["Basic", "Gold", "basic two"]


@dataclass(frozen=True)
class Listing:
    """A list: what it is asked with, where its items are, and the order that they come in."""

    method: str
    items: str
    order: Callable[[Any], Any]
    count: int
    fields: tuple[tuple[str, str], ...] = ()

    def request(self, **fields: Any) -> Any:
        return getattr(pb, f"{self.method}Request")(**{**dict(self.fields), **fields})


LISTINGS = [
    Listing("ListPlans", "plans", lambda one: one.name, 3),
    Listing("ListPlanRows", "rows", lambda one: (one.row.sku, one.revision), 4, (("plan_id", text_of("Basic")),)),
    Listing("ListAssignments", "assignments", lambda one: (one.revision, one.org_id), 4),
    Listing("ListEngineModes", "modes", lambda one: one.revision, 3),
]
LISTED = pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.method)


@pytest.fixture
async def filled(harness: PricingHarness) -> PricingHarness:
    await harness.sku("ACT-SMS")
    await harness.sku("VAL-EMAIL")
    await harness.plan("Gold", currency="EUR")
    await harness.plan("Basic", per_unit("ACT-SMS", "0.04"), graduated("VAL-EMAIL", "0.02", ("1000", "0.015")))
    await harness.plan("basic two")
    await harness.set_row("Basic", per_unit("ACT-SMS", "0.05"), FEBRUARY)
    await harness.set_row("Basic", per_unit("ACT-SMS", "0.03"), JANUARY)
    for org, plan in (("acme", "Basic"), ("other", "Gold"), ("acme", "basic two"), ("third", "Basic")):
        harness.orgs.map(org, f"account of {org}", currency="EUR" if plan == "Gold" else "AUD")
        await harness.assign(org, plan, JANUARY if plan == "basic two" else DECEMBER)
    await harness.mode(pb.ENGINE_MODE_SHADOW)
    await harness.mode(pb.ENGINE_MODE_LIVE, org="acme", reason="tried out")
    await harness.mode(pb.ENGINE_MODE_OFF, org="acme")
    return harness


async def pages(harness: PricingHarness, listing: Listing, size: int = 0, **fields: Any) -> list[list[Any]]:
    found: list[list[Any]] = []
    token = ""
    while True:
        request = listing.request(page_size=size, page_token=token, **fields)
        answer = await getattr(harness.rpc, listing.method)(request, None)
        found.append(list(getattr(answer, listing.items)))
        token = answer.next_page_token
        if not token:
            return found


async def everything(harness: PricingHarness, method: str, **fields: Any) -> list[Any]:
    (listing,) = [one for one in LISTINGS if one.method == method]
    whole = [item for page in await pages(harness, listing, **fields) for item in page]
    assert [item for page in await pages(harness, listing, 1, **fields) for item in page] == whole
    return whole


async def reason(harness: PricingHarness, method: str, **fields: Any) -> str:
    with pytest.raises(ApportionError) as rejection:
        await getattr(harness.rpc, method)(getattr(pb, f"{method}Request")(**fields), None)
    return rejection.value.reason


@LISTED
async def test_each_item_comes_once_and_in_order_whatever_the_size_of_a_page(
    filled: PricingHarness, listing: Listing
) -> None:
    for size in range(listing.count + 2):
        found = await pages(filled, listing, size)
        items = [listing.order(item) for page in found for item in page]
        assert items == sorted(set(items))
        assert len(items) == listing.count
        assert all(len(page) == size for page in found[:-1])


async def test_a_filter_selects_and_pages_what_it_selects(filled: PricingHarness) -> None:
    assert [one.name for one in await everything(filled, "ListPlans")] == PLANS
    assert [one.name for one in await everything(filled, "ListPlans", search="BASIC")] == ["Basic", "basic two"]
    assert await everything(filled, "ListPlans", search="%") == []
    rows = await everything(filled, "ListPlanRows", sku="ACT-SMS")
    assert [(one.row.overage_price.value, one.effective_at.seconds) for one in rows] == [
        ("0.04", DECEMBER // 10**6),
        ("0.05", FEBRUARY // 10**6),
        ("0.03", JANUARY // 10**6),
    ]
    (tiered,) = await everything(filled, "ListPlanRows", sku="VAL-EMAIL")
    assert [tier.price.value for tier in tiered.row.tiers] == ["0.015"]
    assert await everything(filled, "ListPlanRows", plan_id=text_of("Gold")) == []
    own = await everything(filled, "ListAssignments", org_id=text_of("acme"))
    assert [one.plan_id for one in own] == [text_of("Basic"), text_of("basic two")]
    of_plan = await everything(filled, "ListAssignments", plan_id=text_of("Basic"))
    assert {one.org_id for one in of_plan} == {text_of("acme"), text_of("third")}
    modes = await everything(filled, "ListEngineModes", org_id=text_of("acme"))
    assert [(one.mode, one.override_reason) for one in modes] == [
        (pb.ENGINE_MODE_LIVE, "tried out"),
        (pb.ENGINE_MODE_OFF, "a test"),
    ]
    assert (await everything(filled, "ListEngineModes"))[0].org_id == ""


async def test_a_filter_by_what_does_not_exist_is_not_found(filled: PricingHarness) -> None:
    for method in ("ListPlanRows", "ListAssignments", "GetPlan"):
        assert await reason(filled, method, plan_id=text_of("no plan")) == "PLAN_NOT_FOUND"


@LISTED
async def test_a_list_of_nothing_is_empty_and_a_token_of_nothing_malformed(
    harness: PricingHarness, listing: Listing
) -> None:
    await harness.plan("Basic")
    found = await pages(harness, listing)
    assert [len(page) for page in found] == [1 if listing.method == "ListPlans" else 0]
    for token in ("nonsense", "W10=", "WyJhIiwiYiIsImMiXQ==", "WzFd"):
        assert await reason(harness, listing.method, page_token=token, **dict(listing.fields)) == "PAGE_TOKEN_MALFORMED"


async def test_a_plan_is_found_by_name_in_either_case_and_by_id_and_never_guessed(filled: PricingHarness) -> None:
    names = ["Basic", "BASIC", text_of("Gold"), "gold ", "Goldd", text_of("no plan")]
    matches = (await filled.rpc.LookupPlans(pb.LookupPlansRequest(names=names), None)).matches
    assert [[one.name for one in match.plans] for match in matches] == [
        ["Basic"], ["Basic"], ["Gold"], ["Gold"], [], [],
    ]  # fmt: skip
    assert list(matches[4].nearest) == ["Gold"]
    await filled.plan("BASIC")
    names = ["Basic", "BASIC", "basic"]
    matches = (await filled.rpc.LookupPlans(pb.LookupPlansRequest(names=names), None)).matches
    assert [sorted(one.name for one in match.plans) for match in matches] == [["Basic"], ["BASIC"], ["BASIC", "Basic"]]


@pytest.mark.parametrize("method", [*(listing.method for listing in LISTINGS), "LookupPlans"])
def test_plans_and_who_has_them_are_for_the_platform_alone(method: str) -> None:
    policy = policies_of([SERVICE_NAME])[f"/{SERVICE_NAME}/{method}"]
    for role in (SERVICE, OPERATOR):
        policy.check_role(Caller("one", frozenset({role})))
    for role in (USER, FINANCE):
        with pytest.raises(PermissionDenied):
            policy.check_role(Caller("one", frozenset({role})))
