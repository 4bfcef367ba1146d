"""Lists of what there is: each item once, in order, whatever the page's size, filtered, and never empty by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.caller import FINANCE, OPERATOR, SERVICE, USER, Caller
from apportion_common.errors import PermissionDenied
from apportion_common.grpc.policy import policies_of
from apportion_orgs.wiring import SERVICE_NAME
from orgs_harness import OrgsHarness, org_id

ORGS = ["acme", "acme-club", "acme-shop", "acme-shop-north", "zebra"]
"""By slug; those whose name goes on from acme's are below it."""
ACCOUNTS = ["acme Ltd", "zebra Ltd", "main", "Main 2", "100%"]
"""In the order in which they are made, the roots' own first."""


@dataclass(frozen=True)
class Listing:
    """A list, how its items are called, and all of them in order; what fields select, and which error others get."""

    method: str
    request: Callable[..., Any]
    items: str
    name: Callable[[Any], str]
    all: list[str]
    selections: list[tuple[dict[str, Any], list[str]]]
    unknown: list[tuple[dict[str, Any], str]]


def slug(one: pb.Org) -> str:
    return one.slug


def name(one: pb.BillingAccount) -> str:
    return one.name


LISTINGS = [
    Listing(
        "ListOrgs",
        pb.ListOrgsRequest,
        "orgs",
        slug,
        ORGS,
        [
            ({"parent_org_id": org_id("acme")}, ["acme-club", "acme-shop"]),
            ({"parent_org_id": org_id("acme-shop")}, ["acme-shop-north"]),
            ({"parent_org_id": org_id("zebra")}, []),
            ({"slug_prefix": "acme-s"}, ["acme-shop", "acme-shop-north"]),
            ({"slug_prefix": "acme_s"}, []),
            ({"search": "SHOP"}, ["acme-shop", "acme-shop-north"]),
            ({"search": "zebra l"}, ["zebra"]),
            ({"search": "%"}, []),
            ({"parent_org_id": org_id("acme"), "search": "club"}, ["acme-club"]),
        ],
        [({"parent_org_id": str(uuid4())}, "ORG_NOT_FOUND")],
    ),
    Listing(
        "ListBillingAccounts",
        pb.ListBillingAccountsRequest,
        "accounts",
        name,
        ACCOUNTS,
        [
            ({"owner_org_id": org_id("acme")}, ["acme Ltd", "main", "Main 2", "100%"]),
            ({"owner_org_id": org_id("acme-shop")}, []),
            ({"search": "MAIN"}, ["main", "Main 2"]),
            ({"search": "%"}, ["100%"]),
        ],
        [({"owner_org_id": str(uuid4())}, "ORG_NOT_FOUND")],
    ),
]
LISTED = pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.method)


@pytest.fixture
async def filled(harness: OrgsHarness) -> OrgsHarness:
    for root in ("acme", "zebra"):
        await harness.root(root)
    for child, parent in (("acme-shop", "acme"), ("acme-club", "acme"), ("acme-shop-north", "acme-shop")):
        await harness.child(child, parent)
    for account in ACCOUNTS[2:]:
        await harness.account(account, "acme")
    return harness


async def pages(harness: OrgsHarness, listing: Listing, size: int, **fields: Any) -> list[list[str]]:
    found: list[list[str]] = []
    token = ""
    while True:
        answer = await harness.call(listing.method, listing.request(page_size=size, page_token=token, **fields))
        found.append([listing.name(item) for item in getattr(answer, listing.items)])
        token = answer.next_page_token
        if not token:
            return found


@LISTED
async def test_each_item_comes_once_and_in_order_whatever_the_size_of_a_page(
    filled: OrgsHarness, listing: Listing
) -> None:
    for size in range(7):
        found = await pages(filled, listing, size)
        assert [item for page in found for item in page] == listing.all
        assert all(len(page) == size for page in found[:-1])


@LISTED
async def test_a_filter_selects_and_pages_what_it_selects(filled: OrgsHarness, listing: Listing) -> None:
    for fields, expected in listing.selections:
        for size in (0, 1):
            assert [item for page in await pages(filled, listing, size, **fields) for item in page] == expected, fields


@LISTED
async def test_a_filter_by_what_does_not_exist_is_not_found(filled: OrgsHarness, listing: Listing) -> None:
    for fields, reason in listing.unknown:
        assert (await filled.rejected(listing.method, listing.request(**fields))).reason == reason


@LISTED
async def test_a_list_of_nothing_is_empty_and_a_token_of_nothing_malformed(
    harness: OrgsHarness, listing: Listing
) -> None:
    assert await pages(harness, listing, 0) == [[]]
    for token in ("nonsense", "W10=", "WyJhIiwiYiJd", "WzFd"):
        rejection = await harness.rejected(listing.method, listing.request(page_token=token))
        assert rejection.reason == "PAGE_TOKEN_MALFORMED"


@pytest.mark.parametrize("method", ["ListMappings", "ListInvoices"])
async def test_older_lists_say_not_found_too(filled: OrgsHarness, method: str) -> None:
    request = getattr(pb, f"{method}Request")
    rejection = await filled.rejected(method, request(billing_account_id=str(uuid4())))
    assert rejection.reason == "BILLING_ACCOUNT_NOT_FOUND"
    if method == "ListMappings":
        assert (await filled.rejected(method, request(org_id=str(uuid4())))).reason == "ORG_NOT_FOUND"


@pytest.mark.parametrize("method", [listing.method for listing in LISTINGS])
def test_lists_of_everybody_are_for_the_platform_alone(method: str) -> None:
    policy = policies_of([SERVICE_NAME])[f"/{SERVICE_NAME}/{method}"]
    for role in (SERVICE, OPERATOR):
        policy.check_role(Caller("one", frozenset({role})))
    for role in (USER, FINANCE):
        with pytest.raises(PermissionDenied):
            policy.check_role(Caller("one", frozenset({role})))
