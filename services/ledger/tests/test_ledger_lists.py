"""Lists of terms: each item once and in order whatever the page's size, filtered, and never empty by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.caller import FINANCE, OPERATOR, SERVICE, USER, Caller
from apportion_common.errors import ApportionError, PermissionDenied
from apportion_common.grpc.policy import policies_of
from apportion_ledger.wiring import SERVICE_NAME
from ledger_harness import CONTEXT, LedgerHarness, timestamp

NOBODY = str(uuid4())


@dataclass(frozen=True)
class Listing:
    """A list: what it is asked with, where its items are, and the order that they come in."""

    method: str
    items: str
    order: Callable[[Any], Any]
    count: int

    def request(self, **fields: Any) -> Any:
        return getattr(pb, f"{self.method}Request")(**fields)


LISTINGS = [
    Listing("ListPartners", "partners", lambda one: UUID(one.partner_id), 3),
    Listing("ListPartnerTiers", "tiers", lambda one: (UUID(one.partner_id), one.revision), 5),
    Listing("ListCommissionRates", "rates", lambda one: UUID(one.rate_id), 4),
    Listing("ListPartnersOfRecord", "partners_of_record", lambda one: UUID(one.por_id), 4),
]
LISTED = pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.method)


@dataclass
class World:
    """A ledger with some of everything."""

    ledger: LedgerHarness
    partners: list[str]
    orgs: list[str]
    account: str

    async def pages(self, listing: Listing, size: int = 0, **fields: Any) -> list[list[Any]]:
        found: list[list[Any]] = []
        token = ""
        while True:
            request = listing.request(page_size=size, page_token=token, **fields)
            answer = await getattr(self.ledger.rpc, listing.method)(request, CONTEXT)
            found.append(list(getattr(answer, listing.items)))
            token = answer.next_page_token
            if not token:
                return found

    async def all(self, method: str, **fields: Any) -> list[Any]:
        (listing,) = [one for one in LISTINGS if one.method == method]
        whole = [item for page in await self.pages(listing, **fields) for item in page]
        assert [item for page in await self.pages(listing, 1, **fields) for item in page] == whole
        return whole

    async def reason(self, method: str, **fields: Any) -> str:
        with pytest.raises(ApportionError) as rejection:
            await getattr(self.ledger.rpc, method)(getattr(pb, f"{method}Request")(**fields), CONTEXT)
        return rejection.value.reason


@pytest.fixture
async def world(ledger: LedgerHarness) -> World:
    partners = []
    for name in ("Nova Partners", "Harbour", "nova two"):
        request = pb.CreatePartnerRequest(
            name=name,
            payout_currency="AUD",
            tier="gold",
            effective_at=timestamp("2013-01-01"),
            request_id=ledger.request_id(),
        )
        partners.append((await ledger.rpc.CreatePartner(request, CONTEXT)).partner.partner_id)
    for tier, since in (("silver", "2013-03-01"), ("bronze", "2013-02-01")):
        change = pb.SetPartnerTierRequest(
            partner_id=partners[0], tier=tier, effective_at=timestamp(since), request_id=ledger.request_id()
        )
        await ledger.rpc.SetPartnerTier(change, CONTEXT)
    await ledger.rate("10")
    await ledger.rate("11", kind=pb.MATCH_KIND_SKU, value="ACT-SMS")
    await ledger.rate("12", kind=pb.MATCH_KIND_SKU_TYPE, value="action", since="2013-05-01")
    await ledger.rate("5.25", tier="silver")
    orgs, account = [uuid4(), uuid4()], uuid4()
    await ledger.por(UUID(partners[0]), org=orgs[0], start="2013-01-01", end="2013-02-01")
    await ledger.por(UUID(partners[1]), org=orgs[0], start="2013-02-01")
    await ledger.por(UUID(partners[1]), org=orgs[1], start="2013-01-01")
    await ledger.por(UUID(partners[0]), account=account, start="2013-01-01")
    return World(ledger, partners, [str(org) for org in orgs], str(account))


@LISTED
async def test_each_item_comes_once_and_in_order_whatever_the_size_of_a_page(world: World, listing: Listing) -> None:
    for size in range(listing.count + 2):
        found = await world.pages(listing, size)
        items = [listing.order(item) for page in found for item in page]
        assert items == sorted(set(items))
        assert len(items) == listing.count
        assert all(len(page) == size for page in found[:-1])


async def test_a_filter_selects_and_pages_what_it_selects(world: World) -> None:
    first, second, _ = world.partners
    assert {one.name for one in await world.all("ListPartners", search="NOVA")} == {"Nova Partners", "nova two"}
    assert await world.all("ListPartners", search="%") == []
    tiers = await world.all("ListPartnerTiers", partner_id=first)
    assert [one.tier for one in tiers] == ["gold", "silver", "bronze"]
    rates = await world.all("ListCommissionRates", tier="gold")
    assert sorted(one.pct.value for one in rates) == ["10", "11", "12"]
    assert [one.pct.value for one in await world.all("ListCommissionRates", match_kind=pb.MATCH_KIND_SKU)] == ["11"]
    assert [one.pct.value for one in await world.all("ListCommissionRates", match_value="action")] == ["12"]
    assert len(await world.all("ListPartnersOfRecord", partner_id=second)) == 2
    by_org = {"subject_type": pb.SUBJECT_TYPE_ORG, "subject_id": world.orgs[0]}
    assert len(await world.all("ListPartnersOfRecord", **by_org)) == 2
    for at, partner in (("2013-01-31T23:59:59", first), ("2013-02-01", second)):
        (held,) = await world.all("ListPartnersOfRecord", **by_org, at=timestamp(at))
        assert held.partner_id == partner
    by_account = {"subject_type": pb.SUBJECT_TYPE_BILLING_ACCOUNT, "subject_id": world.account}
    assert len(await world.all("ListPartnersOfRecord", **by_account)) == 1
    assert await world.all("ListPartnersOfRecord", at=timestamp("2012-01-01")) == []


async def test_a_filter_by_what_does_not_exist_is_not_found(world: World) -> None:
    for method in ("ListPartnerTiers", "ListPartnersOfRecord", "ListSettlements", "GetPartner"):
        assert await world.reason(method, partner_id=NOBODY) == "PARTNER_NOT_FOUND"
    assert await world.reason("ListLines", filter=pb.LineFilter(partner_id=NOBODY)) == "PARTNER_NOT_FOUND"
    assert await world.reason("ListPartnersOfRecord", subject_id=world.account) == "SUBJECT_MISSING"
    assert await world.reason("ListPartnersOfRecord", subject_type=pb.SUBJECT_TYPE_ORG) == "SUBJECT_MISSING"


@LISTED
async def test_a_list_of_nothing_is_empty_and_a_token_of_nothing_malformed(
    ledger: LedgerHarness, listing: Listing
) -> None:
    world = World(ledger, [], [], "")
    assert await world.pages(listing) == [[]]
    for token in ("nonsense", "W10=", "WyJhIiwiYiJd", "WzFd"):
        assert await world.reason(listing.method, page_token=token) == "PAGE_TOKEN_MALFORMED"


async def test_a_partner_is_shown_with_the_tier_that_it_has_at_an_instant(world: World) -> None:
    for at, tier in (("2012-12-31", ""), ("2013-01-01", "gold"), ("2013-02-15", "bronze"), ("2013-03-01", "silver")):
        request = pb.GetPartnerRequest(partner_id=world.partners[0], at=timestamp(at))
        answer = await world.ledger.rpc.GetPartner(request, CONTEXT)
        assert (answer.partner.name, answer.tier) == ("Nova Partners", tier)
    now = await world.ledger.rpc.GetPartner(pb.GetPartnerRequest(partner_id=world.partners[0]), CONTEXT)
    assert now.tier == "silver"


async def test_a_partner_is_found_by_name_in_either_case_and_by_id_and_never_guessed(world: World) -> None:
    first, second, third = world.partners
    request = pb.LookupPartnersRequest(names=["nova partners", "Harbour", second, "NOVA TWO", "Nova Partner", NOBODY])
    matches = (await world.ledger.rpc.LookupPartners(request, CONTEXT)).matches
    assert [[one.partner_id for one in match.partners] for match in matches] == [
        [first],
        [second],
        [second],
        [third],
        [],
        [],
    ]
    assert matches[4].nearest[0] == "Nova Partners"
    again = pb.CreatePartnerRequest(
        name="harbour",
        payout_currency="AUD",
        tier="gold",
        effective_at=timestamp("2013-01-01"),
        request_id=world.ledger.request_id(),
    )
    other = (await world.ledger.rpc.CreatePartner(again, CONTEXT)).partner.partner_id
    request = pb.LookupPartnersRequest(names=["Harbour", "harbour", "HARBOUR"])
    matches = (await world.ledger.rpc.LookupPartners(request, CONTEXT)).matches
    found = [sorted(one.partner_id for one in match.partners) for match in matches]
    assert found == [[second], [other], sorted([second, other])]


@pytest.mark.parametrize("method", [*(listing.method for listing in LISTINGS), "GetPartner", "LookupPartners"])
def test_partners_and_their_terms_are_for_finance_and_operators_alone(method: str) -> None:
    policy = policies_of([SERVICE_NAME])[f"/{SERVICE_NAME}/{method}"]
    for role in (FINANCE, OPERATOR):
        policy.check_role(Caller("one", frozenset({role})))
    for role in (USER, SERVICE):
        with pytest.raises(PermissionDenied):
            policy.check_role(Caller("one", frozenset({role})))
