"""Every dead letter that is said to be requeueable is: its cause is mended, and a line comes of it.

Of UNKNOWN_ORG, UNKNOWN_SKU and NO_ENTITLEMENT `test_e2e_dead_letters` tells; PAYLOAD_MISMATCH and UNDECODABLE are not
requeueable, and stay open.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import grpc
import pytest
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_cli.ingest.rows import Row
from apportion_cli.scenario import instant, load, short_plan_name
from apportion_client import naming
from apportion_client.services import CALL_TIMEOUT_S
from google.type.decimal_pb2 import Decimal
from harness import FLIGHTS, System, org_of, until

START = "2013-01-01T00:00:00Z"
SKU = "ACT-REPAIR"
TIMEOUT_S = 60


def row(request_id: str, quantity: str, at: str, org: str = "UA") -> Row:
    return Row(1, request_id, org, "", SKU, quantity, at)


async def requeue(system: System, org: UUID, request_id: str, into_period: str = "") -> int:
    """How many dead letters of an organisation are on their way again, when they have arrived."""
    request = metering.RequeueDeadLettersRequest(
        filter=metering.DeadLetterFilter(org_id=str(org)), into_period=into_period, request_id=request_id
    )
    answer = await system.services.metering.RequeueDeadLetters(request, timeout=CALL_TIMEOUT_S)
    await system.wait_drained()
    return int(answer.requeued_count)


async def reasons(system: System, org: UUID) -> list[str]:
    """Why an organisation's dead letters are open."""
    open_ones = await system.dead_letters(org_id=str(org), state=metering.DEAD_LETTER_STATE_OPEN)
    return sorted(letter.reason for letter in open_ones)


async def line_of(system: System, org: UUID, request_id: str) -> ledger.LedgerLine:
    """The one line of an event."""
    status = (await system.event_statuses(org, [request_id]))[request_id]
    [line] = [line for line in await system.lines(org_id=str(org)) if line.event_id == status.event_id]
    return line


async def priced(system: System, prefix: str) -> None:
    """A SKU at 1, in everybody's plan."""
    sku = pricing.CreateSkuRequest(
        sku=pricing.Sku(sku=SKU, type=pricing.SKU_TYPE_ACTION, unit="use"), request_id="repair-sku"
    )
    await system.services.pricing.CreateSku(sku, timeout=CALL_TIMEOUT_S)
    plan_row = pricing.SetPlanSkuRequest(
        plan_id=str(naming.plan_id(short_plan_name(load(FLIGHTS / "scenario.json")))),
        row=pricing.PlanSku(
            sku=SKU,
            charge_model=pricing.CHARGE_MODEL_PER_UNIT,
            included_qty=Decimal(value="0"),
            overage_price=Decimal(value="1"),
        ),
        effective_at=instant(START),
        request_id="repair-row",
    )
    await system.apply(FLIGHTS, prefix)
    await system.services.pricing.SetPlanSku(plan_row, timeout=CALL_TIMEOUT_S)


async def test_late_usage_and_corrections_become_lines_when_their_cause_is_mended(system: System) -> None:
    prefix = "repair-"
    org = org_of("UA", prefix)
    await priced(system, prefix)
    dearer = pricing.SetEntitlementRequest(
        org_id=str(org),
        plan_id=str(naming.plan_id(short_plan_name(load(FLIGHTS / "scenario.json")))),
        overrides=[pricing.Override(sku=SKU, overage_price=Decimal(value="2"))],
        effective_at=instant("2013-01-20T00:00:00Z"),
        request_id=f"{prefix}dearer",
    )
    await system.services.pricing.SetEntitlement(dearer, timeout=CALL_TIMEOUT_S)
    before, after = "2013-01-10T00:00:00Z", "2013-01-25T00:00:00Z"

    # At 2 each the correction takes back 120 of the 100 that were charged at 1; and 900 were never used.
    corrections = [row("a", "100", before), row("dear", "-60", after), row("many", "-900", before)]
    await system.ingest(corrections, prefix=prefix)
    await system.wait_drained()
    assert await reasons(system, org) == ["CORRECTION_BELOW_ZERO", "CORRECTION_EXCEEDS_CHARGED"]
    await system.ingest([row("b", "1000", after)], prefix=prefix)
    await system.wait_drained()
    assert await requeue(system, org, f"{prefix}corrections") == 2
    assert await reasons(system, org) == []
    assert [(await line_of(system, org, name)).amount_gross.units for name in ("dear", "many")] == [-120, -900]
    # What is left is taken back at whatever was charged for it, 1,080 in all.
    await system.ingest([row("rest", "-140", before)], prefix=prefix)
    await system.wait_drained()
    assert (await line_of(system, org, "rest")).amount_gross.units == -1080

    slip = metering.ClosePeriodRequest(period="2013-01", org_ids=[str(org)], request_id=f"{prefix}close")
    assert list((await system.services.metering.ClosePeriod(slip, timeout=CALL_TIMEOUT_S)).org_ids_without_usage) == []
    await system.wait_closed("2013-01", [str(org)])
    await system.ingest([row("late", "3", after)], prefix=prefix)
    await system.wait_drained()
    assert await reasons(system, org) == ["PERIOD_CLOSED"]
    present = datetime.now(UTC).strftime("%Y-%m")
    assert await requeue(system, org, f"{prefix}late") == 1
    late = await line_of(system, org, "late")
    assert (late.period, late.billed_period, late.late) == ("2013-01", present, True)
    assert (late.event_time, late.amount_gross.units) == (instant(after), 6)
    await system.ingest([row("later", "3", before)], prefix=prefix)
    await system.wait_drained()
    assert await requeue(system, org, f"{prefix}later", "2013-03") == 1
    later = await line_of(system, org, "later")
    assert (later.period, later.billed_period, later.amount_gross.units) == ("2013-01", "2013-03", 3)

    # Opened again, the month takes its usage as its own; closed again, it is closed.
    reopen = orgs.ReopenPeriodRequest(
        period="2013-01", org_ids=[str(org)], reason="a slip", request_id=f"{prefix}reopen"
    )
    await system.services.orgs.ReopenPeriod(reopen, timeout=CALL_TIMEOUT_S)

    async def opened() -> bool:
        request = ledger.FixWatermarkRequest(period="2013-01")
        answer = await system.services.ledger.FixWatermark(request, timeout=CALL_TIMEOUT_S)
        return [(each.org_id, each.reopening, each.closed) for each in answer.reopened] == [(str(org), 1, False)]

    await until(opened, TIMEOUT_S, "2013-01 is open again")
    await system.ingest([row("again", "1", before)], prefix=prefix)
    await system.wait_drained()
    again = await line_of(system, org, "again")
    assert (again.period, again.billed_period, again.late) == ("2013-01", "", False)
    close = metering.ClosePeriodRequest(period="2013-01", org_ids=[str(org)], request_id=f"{prefix}close-again")
    await system.services.metering.ClosePeriod(close, timeout=CALL_TIMEOUT_S)
    await system.wait_closed("2013-01", [str(org)])
    early = metering.ClosePeriodRequest(period=present, org_ids=[str(org)], request_id=f"{prefix}early")
    with pytest.raises(grpc.aio.AioRpcError) as slipped:
        await system.services.metering.ClosePeriod(early, timeout=CALL_TIMEOUT_S)
    assert slipped.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await system.check_ledger()


async def test_an_event_of_the_future_becomes_a_line_when_its_time_has_come(system: System) -> None:
    prefix = "repair-future-"
    org = org_of("UA", prefix)
    await priced(system, prefix)
    ahead = (datetime.now(UTC) + timedelta(minutes=5, seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await system.ingest([row("soon", "2", ahead)], prefix=prefix)
    await system.wait_drained()
    assert await reasons(system, org) == ["EVENT_IN_FUTURE"]
    for attempt in range(30):
        await requeue(system, org, f"{prefix}{attempt}")
        if await reasons(system, org) == []:
            break
        await asyncio.sleep(2)
    assert (await line_of(system, org, "soon")).period == ahead[:7]


async def test_an_event_that_could_not_be_rated_becomes_a_line_when_its_account_has_the_plans_currency(
    system: System,
) -> None:
    prefix = "repair-currency-"
    org = org_of("UA", prefix)
    await priced(system, prefix)
    foreign, home = naming.account_id("foreign", prefix), naming.account_id("home", prefix)
    for account, currency in ((foreign, "USD"), (home, "AUD")):
        made = orgs.CreateBillingAccountRequest(
            billing_account_id=str(account),
            owner_org_id=str(org),
            name=currency,
            currency=currency,
            request_id=f"{prefix}{currency}",
        )
        await system.services.orgs.CreateBillingAccount(made, timeout=CALL_TIMEOUT_S)

    async def map_to(account: UUID, at: str) -> None:
        mapping = orgs.MapOrgRequest(
            org_id=str(org),
            billing_account_id=str(account),
            allocation=orgs.ALLOCATION_ABSORB,
            effective_at=instant(at),
            request_id=f"{prefix}{at}",
        )
        await system.services.orgs.MapOrg(mapping, timeout=CALL_TIMEOUT_S)

    await map_to(foreign, "2013-01-05T00:00:00Z")
    await system.ingest([row("odd", "2", "2013-01-15T00:00:00Z")], prefix=prefix)
    await system.wait_drained()
    assert await reasons(system, org) == ["PROCESSING_FAILED"]
    await map_to(home, "2013-01-14T00:00:00Z")
    assert await requeue(system, org, f"{prefix}odd") == 1
    line = await line_of(system, org, "odd")
    assert (line.billing_account_id, line.amount_gross.units) == (str(home), 2)
