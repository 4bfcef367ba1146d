"""Who is billed on which account at an instant, and what is known of it under a revision."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import pytest
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.mappings import MappingRow
from google.protobuf.timestamp_pb2 import Timestamp
from orgs_harness import OrgsHarness, account_id, mapping, org_id, timestamp, us

from tests.oracles.orgs_mappings import MappingIndex

WRONG: tuple[tuple[dict[str, object], str], ...] = (
    ({"org_id": org_id("nobody")}, "ORG_NOT_FOUND"),
    ({"billing_account_id": account_id("none")}, "BILLING_ACCOUNT_NOT_FOUND"),
    ({"allocation": pb.ALLOCATION_SPLIT}, "ALLOCATION_PERCENT_MISSING"),
    ({"percent": {"value": "50"}}, "ALLOCATION_PERCENT_UNEXPECTED"),
    ({"allocation": pb.ALLOCATION_SPLIT, "percent": {"value": "100.0001"}}, "PERCENT_OUT_OF_RANGE"),
    ({"allocation": pb.ALLOCATION_SPLIT, "percent": {"value": "33.33333"}}, "PERCENT_TOO_PRECISE"),
    ({"allocation": pb.ALLOCATION_SPLIT, "percent": {"value": "NaN"}}, "PERCENT_MALFORMED"),
    ({"effective_at": Timestamp(seconds=-1)}, "TIME_OUT_OF_RANGE"),
    ({"effective_at": Timestamp(seconds=5_000_000_000)}, "TIME_OUT_OF_RANGE"),
)
"""What a request may say wrongly, and the reason that it gets."""


async def group(harness: OrgsHarness) -> None:
    """A root "top" with the child "shop", and the accounts "one" and "two"."""
    await harness.root("top")
    await harness.child("shop", "top")
    await harness.account("one", "top")
    await harness.account("two", "top", "JPY")


async def test_a_mapping_holds_from_its_own_instant_until_the_next_one(harness: OrgsHarness) -> None:
    await group(harness)
    await harness.map_org("shop", "one", "2013-01-08T00:00:00Z")
    await harness.map_org("shop", "two", "2013-01-15T00:00:00.000001Z")
    answer = await harness.resolve(
        ("shop", "2013-01-07T23:59:59.999999Z"),
        ("shop", "2013-01-08T00:00:00Z"),
        ("shop", "2013-01-15T00:00:00Z"),
        ("shop", "2013-01-15T00:00:00.000001Z"),
    )
    before, first, last_of_first, second = answer.results
    assert [r.billing_account_id for r in answer.results] == [
        "",
        account_id("one"),
        account_id("one"),
        account_id("two"),
    ]
    assert [r.currency for r in answer.results] == ["", "AUD", "AUD", "JPY"]
    assert (before.org_known, before.mapped, before.HasField("valid_from")) == (True, False, False)
    assert before.valid_until == timestamp("2013-01-08T00:00:00Z")
    assert first == last_of_first
    assert first.valid_from == timestamp("2013-01-08T00:00:00Z")
    assert first.valid_until == timestamp("2013-01-15T00:00:00.000001Z")
    assert second.valid_from == timestamp("2013-01-15T00:00:00.000001Z")
    assert not second.HasField("valid_until")


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_resolved_is_what_a_plain_index_of_the_mappings_returns(harness: OrgsHarness, seed: int) -> None:
    await group(harness)
    chance = random.Random(seed)
    days = [f"2013-{month:02d}-01T00:00:00Z" for month in range(1, 13)]
    rows: list[MappingRow] = []
    for day in chance.sample(days, 6):
        made = await harness.map_org("shop", chance.choice(["one", "two"]), day)
        shop, account = UUID(org_id("shop")).bytes, UUID(made.mapping.billing_account_id).bytes
        rows.append(MappingRow(b"", shop, account, Allocation.ABSORB, None, us(day), made.revision))
    for revision in {rows[0].revision, rows[3].revision, rows[-1].revision}:
        index = MappingIndex(rows, known_revision=revision)
        found = (await harness.resolve(*(("shop", day) for day in days), as_of=revision)).results
        expected = [index.in_force(UUID(org_id("shop")).bytes, us(day)) for day in days]
        assert [UUID(one.billing_account_id).bytes if one.mapped else None for one in found] == [
            None if row is None else row.account_id for row in expected
        ]


async def test_an_unknown_organisation_is_told_from_one_without_a_mapping(harness: OrgsHarness) -> None:
    await group(harness)
    shop, nobody = (await harness.resolve(("shop", "2013-01-01T00:00:00Z"), ("nobody", "2013-01-01T00:00:00Z"))).results
    assert (shop.org_known, shop.mapped) == (True, False)
    assert (nobody.org_known, nobody.mapped) == (False, False)


async def test_every_answer_names_its_revision_and_an_earlier_revision_answers_as_then(harness: OrgsHarness) -> None:
    await group(harness)
    at = "2013-02-01T00:00:00Z"
    first = await harness.map_org("shop", "one", "2013-01-01T00:00:00Z")
    second = await harness.map_org("shop", "two", "2013-01-10T00:00:00Z")
    assert second.revision == first.revision + 1
    assert (await harness.resolve()).revision == second.revision
    assert (await harness.resolve(("shop", at))).results[0].mapping_id == second.mapping.mapping_id
    then = await harness.resolve(("shop", at), as_of=first.revision)
    assert then.revision == first.revision
    assert then.results[0].mapping_id == first.mapping.mapping_id
    assert not then.results[0].HasField("valid_until")
    unmapped = await harness.resolve(("shop", at), as_of=first.revision - 1)
    assert (unmapped.results[0].org_known, unmapped.results[0].mapped) == (True, False)
    assert not (await harness.resolve(("shop", at), as_of=1)).results[0].org_known
    later = pb.ResolveBillingAccountsRequest(as_of_revision=second.revision + 1)
    assert (await harness.rejected("ResolveBillingAccounts", later)).reason == "REVISION_UNKNOWN"


async def test_a_thousand_items_are_answered_in_their_order(harness: OrgsHarness) -> None:
    await group(harness)
    await harness.map_org("shop", "one", "2013-01-10T00:00:00Z")
    items = [("shop" if n % 2 else "top", f"2013-01-{1 + n % 28:02d}T00:00:00Z") for n in range(1_000)]
    results = (await harness.resolve(*items)).results
    assert [r.org_id for r in results] == [org_id(name) for name, _ in items]
    assert [r.mapped for r in results] == [name == "top" or at >= "2013-01-10" for name, at in items]


async def test_a_mapping_may_be_backdated_and_only_one_begins_at_an_instant(harness: OrgsHarness) -> None:
    await group(harness)
    await harness.map_org("shop", "two", "2013-02-01T00:00:00Z")
    await harness.map_org("shop", "one", "2012-12-01T00:00:00Z")
    resolved = (await harness.resolve(("shop", "2013-01-15T00:00:00Z"))).results[0]
    assert resolved.billing_account_id == account_id("one")
    assert resolved.valid_until == timestamp("2013-02-01T00:00:00Z")
    again = mapping("shop", "one", "2013-02-01T00:00:00Z")
    assert (await harness.rejected("MapOrg", again)).reason == "MAPPING_EXISTS"


@pytest.mark.parametrize(
    ("at", "allocation", "percent", "rejected"),
    [
        ("2013-01-15T00:00:00Z", "chargeback", None, True),
        ("2013-01-15T00:00:00Z", "split", "50", True),
        ("2013-01-15T00:00:00Z", "absorb", None, False),
        ("2013-02-01T00:00:00Z", "split", "50", False),
        ("2012-12-15T00:00:00Z", "chargeback", None, False),
    ],
)
async def test_within_an_account_the_allocation_changes_only_at_a_periods_start(
    harness: OrgsHarness, at: str, allocation: str, percent: str | None, rejected: bool
) -> None:
    await group(harness)
    await harness.map_org("shop", "one", "2013-01-01T00:00:00Z")
    request = mapping("shop", "one", at, allocation, percent)
    if rejected:
        assert (await harness.rejected("MapOrg", request)).reason == "ALLOCATION_NOT_PERIOD_START"
    else:
        await harness.call("MapOrg", request)


async def test_another_accounts_terms_may_begin_in_mid_period_but_not_differ_on_the_way_back(
    harness: OrgsHarness,
) -> None:
    await group(harness)
    await harness.map_org("shop", "one", "2013-01-01T00:00:00Z")
    await harness.map_org("shop", "two", "2013-01-08T00:00:00Z", "chargeback")
    back = mapping("shop", "one", "2013-01-15T00:00:00Z", "split", "10")
    assert (await harness.rejected("MapOrg", back)).reason == "ALLOCATION_NOT_PERIOD_START"
    await harness.map_org("shop", "one", "2013-01-15T00:00:00Z")


async def test_the_order_of_an_account_is_that_in_which_its_mappings_were_declared(harness: OrgsHarness) -> None:
    await group(harness)
    for name in ("z", "a", "m"):
        await harness.root(name)
    for name, month in (("z", 6), ("a", 3), ("m", 9)):
        await harness.map_org(name, "one", f"2013-{month:02d}-01T00:00:00Z")
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListMappingsRequest(billing_account_id=account_id("one"), page_size=1, page_token=token)
        page = await harness.call("ListMappings", request)
        seen += [row.org_id for row in page.mappings]
        token = page.next_page_token
        if not token:
            break
    assert seen == [org_id(name) for name in ("z", "a", "m")]
    of_org = await harness.call("ListMappings", pb.ListMappingsRequest(org_id=org_id("a")))
    assert [row.effective_at.ToJsonString() for row in of_org.mappings] == [
        "1970-01-01T00:00:00Z",
        "2013-03-01T00:00:00Z",
    ]


async def test_mappings_made_at_once_have_revisions_and_places_without_gaps(harness: OrgsHarness) -> None:
    await group(harness)
    names = [f"n{number}" for number in range(8)]
    for name in names:
        await harness.root(name)
    before = (await harness.resolve()).revision
    made = await asyncio.gather(*(harness.map_org(name, "one", "2013-01-01T00:00:00Z") for name in names))
    assert sorted(m.revision for m in made) == [before + n for n in range(1, 9)]
    assert harness.rows(
        "SELECT array_agg(declared_order ORDER BY revision) FROM org_billing_mapping WHERE billing_account_id = %s",
        account_id("one"),
    ) == [(list(range(1, 9)),)]


async def test_a_mapping_that_cannot_be_right_is_rejected(harness: OrgsHarness) -> None:
    await group(harness)
    revision = (await harness.resolve()).revision
    for change, reason in WRONG:
        request = mapping("shop", "one", "2013-01-01T00:00:00Z")
        for name in change:
            request.ClearField(name)
        request.MergeFrom(pb.MapOrgRequest(**change))  # type: ignore[arg-type]
        assert (await harness.rejected("MapOrg", request)).reason == reason
    assert (await harness.resolve()).revision == revision


async def test_the_database_prevents_a_change_of_a_mapping(harness: OrgsHarness) -> None:
    await group(harness)
    for statement in ("UPDATE org_billing_mapping SET percent = NULL", "DELETE FROM org_billing_mapping"):
        with pytest.raises(Exception, match="never changed or deleted"):
            async with harness.service_database.owner_engine.begin() as connection:
                await connection.exec_driver_sql(statement)
