"""The RPCs of terms on a real database: append-only rows with revisions, refusals, and where values come from."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg.errors
import pytest
import sqlalchemy.exc
from apportion.common.v1.audit_pb2 import AuditQuery
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion_common.errors import (
    AlreadyExists,
    ApportionError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unavailable,
)
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_pricing.limits import TIERS_MAX
from google.type.money_pb2 import Money
from pricing_harness import (
    DAY,
    DECEMBER,
    FEBRUARY,
    JANUARY,
    UNIT,
    Event,
    PricingHarness,
    at,
    dec,
    graduated,
    money,
    override,
    per_unit,
    request_id,
    text_of,
)

TIERS_TOO_LONG = [(str(number), "1") for number in range(1, TIERS_MAX + 2)]
PLAN, ACCOUNT, ORG = pb.VALUE_SOURCE_PLAN, pb.VALUE_SOURCE_BILLING_ACCOUNT, pb.VALUE_SOURCE_ORG


@pytest.fixture
async def shop(harness: PricingHarness) -> PricingHarness:
    """One organisation, its account, and a plan of two SKUs from December on."""
    await harness.sku("OBJ-KM")
    await harness.sku("VAL-BAG", pb.SKU_TYPE_VALIDATION)
    await harness.sku("ACT-LOUNGE", pb.SKU_TYPE_ACTION)
    harness.orgs.map("AA", "group")
    await harness.plan("plan", per_unit("OBJ-KM", "0.02", "3"), graduated("VAL-BAG", "1.5", ("10", "1"), ("20", "0.5")))
    await harness.assign("AA", "plan")
    return harness


async def effective(harness: PricingHarness, org: str = "AA", at_us: int = JANUARY) -> dict[str, tuple[Any, ...]]:
    found = await harness.rpc.GetEffectiveEntitlements(
        pb.GetEffectiveEntitlementsRequest(org_id=text_of(org), at=at(at_us)), None
    )
    return {
        row.sku: (
            (row.included_qty.value, row.included_qty_source),
            (row.overage_price.value, row.overage_price_source),
            ([(tier.threshold.value, tier.price.value) for tier in row.tiers], row.tiers_source),
        )
        for row in found.entitlements
    }


async def audited(harness: PricingHarness, resource: str) -> list[Any]:
    found = await harness.rpc.ListAudit(pb.ListAuditRequest(query=AuditQuery(resource=resource)), None)
    return list(found.entries)


async def test_skus_are_listed_by_name_page_by_page(shop: PricingHarness) -> None:
    first = await shop.rpc.ListSkus(pb.ListSkusRequest(page_size=2), None)
    second = await shop.rpc.ListSkus(pb.ListSkusRequest(page_size=2, page_token=first.next_page_token), None)
    assert [sku.sku for sku in first.skus] == ["ACT-LOUNGE", "OBJ-KM"]
    assert [(sku.sku, sku.type, sku.unit) for sku in second.skus] == [("VAL-BAG", pb.SKU_TYPE_VALIDATION, "unit")]
    assert second.next_page_token == ""


async def test_a_sku_exists_once(shop: PricingHarness) -> None:
    with pytest.raises(AlreadyExists) as refused:
        await shop.sku("OBJ-KM")
    assert refused.value.reason == "SKU_EXISTS"


async def test_a_repeated_request_gives_the_first_answer_and_another_body_is_refused(shop: PricingHarness) -> None:
    request = pb.CreateSkuRequest(sku=pb.Sku(sku="HST-BYTE", type=pb.SKU_TYPE_HOSTING, unit="byte"), request_id="same")
    first = await shop.rpc.CreateSku(request, None)
    assert await shop.rpc.CreateSku(request, None) == first
    request.sku.unit = "bit"
    with pytest.raises(AlreadyExists) as refused:
        await shop.rpc.CreateSku(request, None)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert len(await audited(shop, "product_sku/HST-BYTE")) == 1


async def test_revisions_follow_one_another_without_gaps_also_under_many_writers(shop: PricingHarness) -> None:
    (before,) = (await shop.rows("SELECT revision FROM config_head"))[0]
    await asyncio.gather(*(shop.sku(f"SKU-{number}") for number in range(8)), return_exceptions=False)
    revisions = await shop.rows("SELECT revision FROM product_sku WHERE sku LIKE 'SKU-%' ORDER BY 1")
    assert [revision for (revision,) in revisions] == list(range(before + 1, before + 9))


async def test_a_refused_change_uses_no_revision_and_leaves_no_audit_entry(shop: PricingHarness) -> None:
    before = await shop.rows("SELECT revision, (SELECT count(*) FROM audit_entry) FROM config_head")
    with pytest.raises(FailedPrecondition):
        await shop.set_row("plan", per_unit("OBJ-KM", "0.02", "4"), JANUARY + DAY)
    assert await shop.rows("SELECT revision, (SELECT count(*) FROM audit_entry) FROM config_head") == before


@pytest.mark.parametrize(
    ("rows", "reason", "field"),
    [
        ([per_unit("NO-SUCH", "1")], "UNKNOWN_SKU", "rows[0].sku"),
        ([per_unit("OBJ-KM", "1"), per_unit("OBJ-KM", "2")], "SKU_REPEATED", "rows[1].sku"),
        ([per_unit("OBJ-KM", "-0.01")], "PRICE_NEGATIVE", "rows[0].overage_price"),
        ([per_unit("OBJ-KM", "NaN")], "PRICE_MALFORMED", "rows[0].overage_price"),
        ([per_unit("OBJ-KM", "0.0000000000001")], "PRICE_TOO_PRECISE", "rows[0].overage_price"),
        ([per_unit("OBJ-KM", "1e18")], "PRICE_OUT_OF_RANGE", "rows[0].overage_price"),
        ([per_unit("OBJ-KM", "1", "many")], "QUANTITY_MALFORMED", "rows[0].included_qty"),
        ([per_unit("OBJ-KM", "1", "0.0000000001")], "QUANTITY_TOO_PRECISE", "rows[0].included_qty"),
        ([per_unit("OBJ-KM", "1", "-1")], "INCLUDED_NEGATIVE", "rows[0].included_qty"),
        ([per_unit("OBJ-KM", "1", "1e400")], "QUANTITY_OUT_OF_RANGE", "rows[0].included_qty"),
        ([graduated("OBJ-KM", "1", ("20", "1"), ("10", "1"))], "TIERS_UNSORTED", "rows[0].tiers"),
        ([graduated("OBJ-KM", "1", ("10", "1"), ("10", "2"))], "TIERS_DUPLICATE", "rows[0].tiers"),
        ([graduated("OBJ-KM", "1", ("10", "-1"))], "PRICE_NEGATIVE", "rows[0].tiers"),
        ([graduated("OBJ-KM", "1", ("0", "1"))], "TIERS_THRESHOLD_NOT_POSITIVE", "rows[0].tiers"),
        ([graduated("OBJ-KM", "1", *TIERS_TOO_LONG)], "TIERS_TOO_MANY", "rows[0].tiers"),
    ],
)
async def test_a_plan_with_rows_that_cannot_be_is_refused(
    shop: PricingHarness, rows: list[pb.PlanSku], reason: str, field: str
) -> None:
    with pytest.raises((InvalidArgument, OutOfRange)) as refused:
        await shop.plan("other", *rows)
    assert (refused.value.reason, refused.value.field) == (reason, field)


async def test_a_row_that_is_charged_per_unit_has_no_tiers(shop: PricingHarness) -> None:
    row = per_unit("OBJ-KM", "1")
    row.tiers.add(threshold=dec("10"), price=dec("1"))
    for call, field in ((shop.plan("other", row), "rows[0].tiers"), (shop.set_row("plan", row, JANUARY), "row.tiers")):
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert (refused.value.reason, refused.value.field) == ("TIERS_NOT_GRADUATED", field)


async def test_a_plan_has_a_known_currency_a_free_name_and_begins_with_a_period(shop: PricingHarness) -> None:
    with pytest.raises(InvalidArgument) as unknown:
        await shop.plan("other", currency="XXX")
    with pytest.raises(AlreadyExists) as taken:
        await shop.plan("plan")
    with pytest.raises(FailedPrecondition) as within:
        await shop.plan("other", effective_at_us=JANUARY + 1)
    assert [error.value.reason for error in (unknown, taken, within)] == [
        "CURRENCY_UNKNOWN",
        "PLAN_EXISTS",
        "EFFECTIVE_AT_NOT_PERIOD_START",
    ]


async def test_a_plan_is_read_as_of_an_instant_with_the_rows_then_in_force(shop: PricingHarness) -> None:
    await shop.set_row("plan", per_unit("OBJ-KM", "0.05", "3"), JANUARY + DAY)
    prices = []
    for at_us in (DECEMBER - 1, JANUARY, JANUARY + DAY):
        found = await shop.rpc.GetPlan(pb.GetPlanRequest(plan_id=text_of("plan"), at=at(at_us)), None)
        prices.append({row.sku: row.overage_price.value for row in found.plan.rows})
    assert prices == [{}, {"OBJ-KM": "0.02", "VAL-BAG": "1.5"}, {"OBJ-KM": "0.05", "VAL-BAG": "1.5"}]
    with pytest.raises(NotFound) as missing:
        await shop.rpc.GetPlan(pb.GetPlanRequest(plan_id=text_of("other")), None)
    assert missing.value.reason == "PLAN_NOT_FOUND"


async def test_a_plan_with_a_base_price_and_a_drawn_id_is_read_back(shop: PricingHarness) -> None:
    request = pb.CreatePlanRequest(
        name="base",
        currency="AUD",
        base_price=Money(currency_code="AUD", units=9, nanos=500_000_000),
        effective_at=at(JANUARY),
        request_id=request_id(),
    )
    made = await shop.rpc.CreatePlan(request, None)
    found = await shop.rpc.GetPlan(pb.GetPlanRequest(plan_id=made.plan.plan_id), None)
    assert found.plan == made.plan
    assert money(found.plan.base_price) == 9 * UNIT + UNIT // 2
    request.base_price.currency_code, request.request_id = "JPY", request_id()
    with pytest.raises(InvalidArgument) as refused:
        await shop.rpc.CreatePlan(request, None)
    assert refused.value.reason == "BASE_PRICE_CURRENCY_DIFFERS"


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (Money(currency_code="AUD", units=1, nanos=-1), "MONEY_MALFORMED"),
        (Money(currency_code="AUD", nanos=1_000_000_000), "MONEY_MALFORMED"),
        (Money(currency_code="AUD", units=10**18), "AMOUNT_OUT_OF_RANGE"),
        (Money(currency_code="AUX", units=1), "CURRENCY_UNKNOWN"),
    ],
)
async def test_a_base_price_that_is_no_amount_of_money_is_refused(
    shop: PricingHarness, price: Money, reason: str
) -> None:
    request = pb.CreatePlanRequest(
        name="base", currency="AUD", base_price=price, effective_at=at(JANUARY), request_id=request_id()
    )
    with pytest.raises((InvalidArgument, OutOfRange)) as refused:
        await shop.rpc.CreatePlan(request, None)
    assert (refused.value.reason, refused.value.field) == (reason, "base_price")


async def test_prices_change_within_a_period_and_everything_else_at_its_start(shop: PricingHarness) -> None:
    within = JANUARY + DAY
    await shop.set_row("plan", per_unit("OBJ-KM", "0.05", "3"), within)
    await shop.set_row("plan", graduated("VAL-BAG", "2", ("10", "3"), ("20", "4")), within)
    for row in (
        per_unit("OBJ-KM", "0.05", "4"),
        graduated("OBJ-KM", "0.05", included="3"),
        graduated("VAL-BAG", "2", ("10", "3"), ("21", "4")),
        per_unit("ACT-LOUNGE", "1"),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            await shop.set_row("plan", row, within + 1)
        assert refused.value.reason == "EFFECTIVE_AT_NOT_PERIOD_START"
        await shop.set_row("plan", row, FEBRUARY)
    with pytest.raises(NotFound):
        await shop.set_row("other", per_unit("OBJ-KM", "1"), FEBRUARY)


async def test_an_assignment_begins_with_a_period_in_the_accounts_currency(shop: PricingHarness) -> None:
    await shop.plan("yen", currency="JPY")
    rejections: list[ApportionError] = []
    for plan, at_us in (("plan", JANUARY + 1), ("yen", JANUARY), ("other", JANUARY)):
        with pytest.raises(ApportionError) as refused:
            await shop.assign("AA", plan, at_us)
        rejections.append(refused.value)
    assert [(error.code, error.reason) for error in rejections] == [
        ("FAILED_PRECONDITION", "EFFECTIVE_AT_NOT_PERIOD_START"),
        ("FAILED_PRECONDITION", "CURRENCY_MISMATCH"),
        ("NOT_FOUND", "PLAN_NOT_FOUND"),
    ]
    await shop.assign("not known to orgs yet", "yen", JANUARY)
    shop.orgs.down = True
    with pytest.raises(Unavailable):
        await shop.assign("AA", "plan", FEBRUARY)


async def test_values_resolve_one_by_one_from_organisation_account_and_plan(shop: PricingHarness) -> None:
    await shop.entitle("plan", override("OBJ-KM", included="7", price="0.9"), account="group")
    await shop.entitle("plan", override("OBJ-KM", price="0.8"), override("VAL-BAG", tiers=[("5", "0.1")]), org="AA")
    assert await effective(shop) == {
        "OBJ-KM": (("7", ACCOUNT), ("0.8", ORG), ([], PLAN)),
        "VAL-BAG": (("0", PLAN), ("1.5", PLAN), ([("5", "0.1")], ORG)),
    }
    found = await shop.rpc.GetEffectiveEntitlements(
        pb.GetEffectiveEntitlementsRequest(org_id=text_of("AA"), at=at(JANUARY)), None
    )
    assert (found.plan_id, found.billing_account_id, found.currency) == (text_of("plan"), text_of("group"), "AUD")
    assert found.revision == (await shop.rows("SELECT revision FROM config_head"))[0][0]


async def test_a_later_row_of_a_subject_replaces_the_earlier_one_as_a_whole(shop: PricingHarness) -> None:
    await shop.entitle("plan", override("OBJ-KM", price="0.9"), override("VAL-BAG", price="9"), org="AA")
    await shop.entitle("plan", override("OBJ-KM", price="0.7"), org="AA", effective_at_us=JANUARY + DAY)
    before, after = await effective(shop, at_us=JANUARY + DAY - 1), await effective(shop, at_us=JANUARY + DAY)
    assert (before["OBJ-KM"][1], before["VAL-BAG"][1]) == (("0.9", ORG), ("9", ORG))
    assert (after["OBJ-KM"][1], after["VAL-BAG"][1]) == (("0.7", ORG), ("1.5", PLAN))


async def test_an_override_within_a_period_may_change_prices_only(shop: PricingHarness) -> None:
    for wrong in (override("OBJ-KM", included="4"), override("VAL-BAG", tiers=[("11", "1"), ("20", "0.5")])):
        with pytest.raises(FailedPrecondition) as refused:
            await shop.entitle("plan", wrong, org="AA", effective_at_us=JANUARY + DAY)
        assert refused.value.reason == "EFFECTIVE_AT_NOT_PERIOD_START"
    await shop.entitle(
        "plan", override("VAL-BAG", tiers=[("10", "7"), ("20", "8")]), org="AA", effective_at_us=JANUARY + DAY
    )
    await shop.entitle("plan", override("OBJ-KM", included="4"), org="AA", effective_at_us=FEBRUARY)
    with pytest.raises(FailedPrecondition):
        await shop.entitle("plan", org="AA", effective_at_us=FEBRUARY + DAY)


@pytest.mark.parametrize(
    ("wrong", "reason", "field"),
    [
        (override("ACT-LOUNGE", price="1"), "UNKNOWN_SKU", "overrides[0].sku"),
        (override("OBJ-KM", price="-1"), "PRICE_NEGATIVE", "overrides[0].overage_price"),
        (override("OBJ-KM", included="-1"), "INCLUDED_NEGATIVE", "overrides[0].included_qty"),
        (override("OBJ-KM", tiers=[("1", "1")]), "TIERS_NOT_GRADUATED", "overrides[0].tiers"),
        (override("VAL-BAG", tiers=[("2", "1"), ("1", "1")]), "TIERS_UNSORTED", "overrides[0].tiers"),
        (override("OBJ-KM"), "OVERRIDE_EMPTY", "overrides[0]"),
    ],
)
async def test_an_override_that_cannot_be_is_refused(
    shop: PricingHarness, wrong: pb.Override, reason: str, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.entitle("plan", wrong, org="AA")
    assert (refused.value.reason, refused.value.field) == (reason, field)


async def test_entitlements_show_what_is_used_up_in_the_period(shop: PricingHarness) -> None:
    await shop.rate(Event("AA", "OBJ-KM", 2 * UNIT + UNIT // 2, JANUARY), Event("AA", "OBJ-KM", UNIT, FEBRUARY))
    found = await shop.rpc.GetEffectiveEntitlements(
        pb.GetEffectiveEntitlementsRequest(org_id=text_of("AA"), at=at(JANUARY + DAY)), None
    )
    assert {row.sku: row.used_qty.value for row in found.entitlements} == {"OBJ-KM": "2.5", "VAL-BAG": "0"}


async def test_an_organisation_without_a_plan_gets_nothing_and_an_unknown_one_is_not_found(
    shop: PricingHarness,
) -> None:
    shop.orgs.add("ZZ")
    assert await effective(shop, "ZZ") == {}
    assert await effective(shop, "AA", DECEMBER - 1) == {}
    with pytest.raises(NotFound) as refused:
        await effective(shop, "nobody")
    assert refused.value.reason == "ORG_NOT_FOUND"


async def test_live_without_a_proof_needs_a_profile_that_allows_it_and_a_reason(shop: PricingHarness) -> None:
    with pytest.raises(FailedPrecondition) as no_reason:
        await shop.mode(pb.ENGINE_MODE_LIVE, reason="  ")
    shop.gate_override = None
    shop.restart()
    with pytest.raises(FailedPrecondition) as no_profile:
        await shop.mode(pb.ENGINE_MODE_LIVE, reason="we want to")
    assert no_reason.value.reason == no_profile.value.reason == "PARITY_NOT_PROVED"
    assert await shop.rows("SELECT count(*) FROM engine_mode") == [(0,)]


async def test_the_database_refuses_live_without_proof_or_reason(shop: PricingHarness) -> None:
    statement = "INSERT INTO engine_mode (mode, override_reason, revision, created_by) VALUES ('live', ' ', 99, 'x')"
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="ck_engine_mode_live_proved"):
        await shop.rows(statement)


async def test_an_override_of_the_gate_is_audited_with_its_reason(shop: PricingHarness) -> None:
    await shop.mode(pb.ENGINE_MODE_SHADOW, "AA")
    await shop.mode(pb.ENGINE_MODE_LIVE, "AA", "the first month")
    newest, oldest = await audited(shop, f"engine_mode/{text_of('AA')}")
    assert (newest.action, oldest.action) == ("engine_mode.override", "engine_mode.set")
    assert dict(newest.after)["override_reason"] == "the first month"
    assert dict(newest.before)["mode"] == "shadow"
    assert newest.org_id == text_of("AA")


async def test_terms_are_never_changed_or_deleted(shop: PricingHarness) -> None:
    await shop.entitle("plan", override("OBJ-KM", price="0.9"), org="AA")
    await shop.mode(pb.ENGINE_MODE_LIVE)
    for table in ("plan_sku", "org_business_model", "org_entitlement", "engine_mode"):
        for statement in (f"UPDATE {table} SET revision = 0", f"DELETE FROM {table}"):
            async with shop.database.engine.connect() as connection:
                with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"):
                    await connection.exec_driver_sql(statement)


async def test_the_owner_cannot_change_terms_either(service_database: MakeServiceDatabase) -> None:
    database = service_database("pricing")
    harness = PricingHarness(database.database())
    await harness.mode(pb.ENGINE_MODE_LIVE)
    for statement in ("UPDATE engine_mode SET mode = 'off'", "DELETE FROM engine_mode", "TRUNCATE engine_mode"):
        async with database.owner_engine.connect() as connection:
            with pytest.raises(sqlalchemy.exc.DBAPIError) as refused:
                await connection.exec_driver_sql(statement)
            assert isinstance(refused.value.orig, psycopg.errors.RestrictViolation)


async def test_every_change_of_terms_is_audited_once(shop: PricingHarness) -> None:
    await shop.set_row("plan", per_unit("OBJ-KM", "0.05", "3"), JANUARY + DAY)
    await shop.entitle("plan", override("OBJ-KM", price="0.9"), org="AA")
    actions = [entry.action for entry in (await shop.rpc.ListAudit(pb.ListAuditRequest(), None)).entries]
    assert sorted(actions) == sorted(
        ["sku.create"] * 3 + ["plan.create", "plan.assign", "plan_sku.set", "entitlement.set"]
    )
    (entry,) = await audited(shop, f"plan_sku/{text_of('plan')}/OBJ-KM")
    assert (dict(entry.before)["overage_price"], dict(entry.after)["overage_price"]) == ("0.02", "0.05")


async def test_charges_are_listed_in_the_order_of_rating_page_by_page(shop: PricingHarness) -> None:
    await shop.live()
    await shop.rate(*[Event("AA", "OBJ-KM", UNIT, JANUARY + second) for second in range(5)])
    shop.orgs.map("other", "group")
    await shop.assign("other", "plan")
    await shop.rate(Event("other", "OBJ-KM", UNIT, JANUARY))
    seen: list[pb.Charge] = []
    token = ""
    while True:
        page = await shop.rpc.ListCharges(
            pb.ListChargesRequest(org_id=text_of("AA"), page_size=2, page_token=token), None
        )
        seen += page.charges
        token = page.next_page_token
        if not token:
            break
    assert [charge.entry_seq for charge in seen] == [1, 2, 3, 4, 5]
    assert [charge.quantity_before.value for charge in seen] == ["0", "1", "2", "3", "4"]
    assert [money(charge.amount) for charge in seen] == [0, 0, 0, 20_000_000, 20_000_000]
    assert {(charge.mode, charge.org_id, charge.period) for charge in seen} == {
        (pb.ENGINE_MODE_LIVE, text_of("AA"), "2013-01")
    }
    everything = await shop.rpc.ListCharges(pb.ListChargesRequest(), None)
    assert len(everything.charges) == 6
    for wrong in ("x", "bm9uc2Vuc2U=", "WyIxIiwiMSIsInVzYWdlIl0=", "WyItMSIsIjEiLCJ1c2FnZSIsIjAiXQ=="):
        with pytest.raises(InvalidArgument) as refused:
            await shop.rpc.ListCharges(pb.ListChargesRequest(page_token=wrong), None)
        assert refused.value.reason == "PAGE_TOKEN_MALFORMED"
