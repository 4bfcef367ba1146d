"""What cannot be charged yet waits as a dead letter, and is charged exactly once when its cause is mended."""

from __future__ import annotations

import asyncio
from uuid import UUID

from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_cli.ingest.rows import Row
from apportion_cli.scenario import Step, instant, load, short_plan_name
from apportion_client import naming
from apportion_client.services import CALL_TIMEOUT_S
from google.type.decimal_pb2 import Decimal
from harness import COMMITTED, FLIGHTS, System, org_of

START = "2013-01-01T00:00:00Z"


def row(request_id: str, org: str, sku: str, quantity: str = "7") -> Row:
    """A use in January."""
    return Row(1, request_id, org, "", sku, quantity, "2013-01-15T12:00:00Z")


async def requeue(system: System, org: UUID, request_id: str) -> int:
    """How many dead letters of an organisation are on their way again."""
    request = metering.RequeueDeadLettersRequest(
        filter=metering.DeadLetterFilter(org_id=str(org)), request_id=request_id
    )
    answer = await system.services.metering.RequeueDeadLetters(request, timeout=CALL_TIMEOUT_S)
    return int(answer.requeued_count)


async def only_letter(system: System, org: UUID) -> metering.DeadLetter:
    """The one dead letter of an organisation."""
    [letter] = await system.dead_letters(org_id=str(org))
    return letter


async def test_an_unknown_sku_is_charged_once_when_it_is_in_the_plan_and_requeued_twice(system: System) -> None:
    prefix, sku = "nosku-", "ACT-UNHEARD-OF"
    org = org_of("UA", prefix)
    await system.apply(FLIGHTS, prefix)
    await system.ingest([row("before", "UA", "OBJ-MILE"), row("unheard", "UA", sku)], prefix=prefix)
    await system.wait_drained()
    letter = await only_letter(system, org)
    assert (letter.reason, letter.request_id, letter.state) == (
        "UNKNOWN_SKU",
        "unheard",
        metering.DEAD_LETTER_STATE_OPEN,
    )
    assert (letter.event.sku, letter.event.quantity.value) == (sku, "7")
    assert [line.sku for line in await system.lines(org_id=str(org))] == ["OBJ-MILE"]

    # Known, but in no plan: refused again, for another reason, and open again.
    request = pricing.CreateSkuRequest(
        sku=pricing.Sku(sku=sku, type=pricing.SKU_TYPE_ACTION, unit="call"), request_id=f"{prefix}sku"
    )
    await system.services.pricing.CreateSku(request, timeout=CALL_TIMEOUT_S)
    assert await requeue(system, org, f"{prefix}early") == 1
    await system.wait_drained()
    letter = await only_letter(system, org)
    assert (letter.reason, letter.state) == ("NO_ENTITLEMENT", metering.DEAD_LETTER_STATE_OPEN)
    assert letter.attempts == 2

    plan_row = pricing.SetPlanSkuRequest(
        plan_id=str(naming.plan_id(short_plan_name(load(FLIGHTS / "scenario.json")))),
        row=pricing.PlanSku(
            sku=sku,
            charge_model=pricing.CHARGE_MODEL_PER_UNIT,
            included_qty=Decimal(value="0"),
            overage_price=Decimal(value="0.5"),
        ),
        effective_at=instant(START),
        request_id=f"{prefix}row",
    )
    await system.services.pricing.SetPlanSku(plan_row, timeout=CALL_TIMEOUT_S)
    counts = await asyncio.gather(requeue(system, org, f"{prefix}one"), requeue(system, org, f"{prefix}two"))
    assert sorted(counts) == [0, 1]
    await system.wait_drained()
    assert await requeue(system, org, f"{prefix}three") == 0
    assert sorted([await requeue(system, org, f"{prefix}one"), await requeue(system, org, f"{prefix}two")]) == [0, 1]
    await system.wait_drained()

    charged = [line for line in await system.lines(org_id=str(org)) if line.sku == sku]
    assert [(line.quantity.value, line.amount_gross.units, line.amount_gross.nanos) for line in charged] == [
        ("7", 3, 500_000_000)
    ]
    status = (await system.event_statuses(org, ["unheard"]))["unheard"]
    assert (status.state, status.event_id) == (metering.EVENT_STATE_POSTED, charged[0].event_id)
    assert (status.lane, status.batch_seq, status.entry_seq) == (
        charged[0].lane,
        charged[0].batch_seq,
        charged[0].entry_seq,
    )
    assert (await system.pipeline()).open_dead_letters.get("UNKNOWN_SKU", 0) == 0

    again, _ = await system.ingest([row("unheard", "UA", sku)], prefix=prefix, ack=COMMITTED)
    assert again.duplicates == 1
    await system.wait_drained()
    assert len(await system.lines(org_id=str(org))) == 2
    await system.check_ledger()


async def test_an_unknown_organisation_is_charged_once_when_it_exists_and_is_requeued(system: System) -> None:
    prefix = "noorg-"
    org = org_of("HA", prefix)
    withheld: list[Step] = []

    def without_it(steps: list[Step]) -> list[Step]:
        withheld.extend(step for step in steps if getattr(step.request, "org_id", "") == str(org))
        return [step for step in steps if step not in withheld]

    await system.apply(FLIGHTS, prefix, change=without_it)
    assert [step.method for step in withheld] == ["CreateOrg", "MapOrg", "AssignPlan"]
    await system.ingest([row(f"early-{number}", "HA", "OBJ-MILE") for number in range(3)], prefix=prefix)
    await system.wait_drained()
    letters = await system.dead_letters(org_id=str(org))
    assert [(letter.reason, letter.request_id) for letter in letters] == [
        ("UNKNOWN_ORG", f"early-{number}") for number in range(3)
    ]
    # Their ids are claimed: the same again is a no-op, other content is a mismatch.
    again, _ = await system.ingest(
        [row("early-0", "HA", "OBJ-MILE"), row("early-1", "HA", "OBJ-MILE", "8")], prefix=prefix, ack=COMMITTED
    )
    assert (again.accepted, again.duplicates, again.mismatches) == (0, 1, 1)

    for step in withheld:
        await getattr(getattr(system.services, step.service), step.method)(step.request, timeout=CALL_TIMEOUT_S)
    # Nothing happens by itself.
    assert await system.lines(org_id=str(org)) == []
    counts = await asyncio.gather(*(requeue(system, org, f"{prefix}{number}") for number in range(3)))
    assert sorted(counts) == [0, 0, 3]
    await system.wait_drained()
    lines = await system.lines(org_id=str(org))
    assert len(lines) == 3
    assert len({line.charge_id for line in lines}) == 3
    assert {line.billing_account_id for line in lines} == {str(naming.account_id("hawaiian", prefix))}
    open_ones = await system.dead_letters(org_id=str(org), state=metering.DEAD_LETTER_STATE_OPEN)
    assert [letter.reason for letter in open_ones] == ["PAYLOAD_MISMATCH"]
    await system.check_ledger()


async def test_a_discarded_dead_letter_is_never_charged(system: System) -> None:
    prefix = "given-up-"
    org = org_of("AA", prefix)
    await system.apply(FLIGHTS, prefix)
    await system.ingest([row("never", "AA", "ACT-NEVER")], prefix=prefix)
    await system.wait_drained()
    request = metering.DiscardDeadLettersRequest(
        filter=metering.DeadLetterFilter(org_id=str(org)), reason="A test of the producer.", request_id=f"{prefix}1"
    )
    answer = await system.services.metering.DiscardDeadLetters(request, timeout=CALL_TIMEOUT_S)
    assert answer.discarded_count == 1
    assert (await only_letter(system, org)).state == metering.DEAD_LETTER_STATE_DISCARDED
    assert await requeue(system, org, f"{prefix}2") == 0
    await system.wait_drained()
    assert await system.lines(org_id=str(org)) == []
