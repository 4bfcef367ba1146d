"""A closed period opens again only while no invoice of it is final, also when both are asked for at once."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.errors import FailedPrecondition
from apportion_dev.testing.databases import DatabaseFactory
from orgs_harness import OrgsHarness, org_id
from psycopg import errors

PERIOD = "2013-01"


async def group(harness: OrgsHarness, account: str, *orgs: str) -> None:
    """An account of "owner" with orgs that have a line each in a period that is closed."""
    if not harness.rows("SELECT 1 FROM organization"):
        await harness.root("owner")
    await harness.account(account, "owner")
    for name in orgs:
        await harness.root(name)
        await harness.map_org(name, account, "2013-01-01T00:00:00Z")
        harness.ledger.post(account, name, "2013-01-02T00:00:00Z", 10**9)
    harness.ledger.closed.add(PERIOD)


def reopening(*orgs: str, request_id: str = "") -> pb.ReopenPeriodRequest:
    return pb.ReopenPeriodRequest(period=PERIOD, org_ids=map(org_id, orgs), reason="a slip", request_id=request_id)


def close(harness: OrgsHarness, org: str) -> None:
    """The ledger has the organisation's period closed again."""
    number, _ = harness.ledger.reopened[PERIOD][UUID(org_id(org)).bytes]
    harness.ledger.reopened[PERIOD][UUID(org_id(org)).bytes] = number, True


async def test_a_period_opens_again_and_is_final_only_when_it_has_closed_again(harness: OrgsHarness) -> None:
    await group(harness, "group", "a", "b")
    draft = await harness.generate("group")
    answer: pb.ReopenPeriodResponse = await harness.call("ReopenPeriod", reopening("a", request_id="again"))
    assert [(each.org_id, each.number) for each in answer.reopenings] == [(org_id("a"), 1)]
    request = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    assert (await harness.rejected("FinalizeInvoice", request)).reason == "PERIOD_OPEN"
    close(harness, "a")
    assert (await harness.finalize(draft)).state == pb.INVOICE_STATE_FINAL
    refused = await harness.rejected("ReopenPeriod", reopening("b"))
    assert (refused.reason, refused.metadata["period"]) == ("PERIOD_FINAL", PERIOD)
    assert await harness.call("ReopenPeriod", reopening("a", request_id="again")) == answer
    actions = harness.rows("SELECT resource, after ->> 'reason' FROM audit_entry WHERE action = 'period.reopen'")
    assert actions == [(f"period/{PERIOD}", "a slip")]
    assert (await harness.rejected("ReopenPeriod", reopening("nobody"))).reason == "ORG_NOT_FOUND"


async def test_a_reopening_that_metering_was_not_told_of_keeps_the_period_from_being_final_until_it_is(
    harness: OrgsHarness,
) -> None:
    await group(harness, "group", "a")
    draft = await harness.generate("group")
    harness.metering.down = True
    assert (await harness.rejected("ReopenPeriod", reopening("a", request_id="x"))).reason == "DEPENDENCY_UNAVAILABLE"
    request = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    refused = await harness.rejected("FinalizeInvoice", request)
    assert (refused.reason, "has not reached the ledger" in str(refused)) == ("PERIOD_OPEN", True)
    harness.metering.down = False
    await harness.call("ReopenPeriod", reopening("a", request_id="x"))
    assert harness.rows("SELECT number FROM period_reopening") == [(1,)]
    close(harness, "a")
    assert (await harness.finalize(draft)).state == pb.INVOICE_STATE_FINAL


async def test_the_last_of_several_reopenings_counts(harness: OrgsHarness) -> None:
    await group(harness, "group", "a")
    draft = await harness.generate("group")
    for number in (1, 2):
        answer: pb.ReopenPeriodResponse = await harness.call("ReopenPeriod", reopening("a"))
        assert answer.reopenings[0].number == number
    harness.ledger.reopened[PERIOD][UUID(org_id("a")).bytes] = 1, True
    request = pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)
    assert (await harness.rejected("FinalizeInvoice", request)).reason == "PERIOD_OPEN"


@pytest.mark.parametrize("seed", range(6))
async def test_of_finalising_and_reopening_at_once_exactly_one_happens(harness: OrgsHarness, seed: int) -> None:
    rng = random.Random(seed)
    harness.metering.delay_s = rng.choice((0, 0.02, 0.2))
    accounts = {f"account {number}": (f"a{number}", f"b{number}") for number in range(4)}
    drafts = []
    for account, orgs in accounts.items():
        await group(harness, account, *orgs)
        drafts.append(await harness.generate(account))

    async def attempt(method: str, request: Any) -> bool:
        await asyncio.sleep(rng.random() * 0.03)
        try:
            await harness.call(method, request)
        except FailedPrecondition:
            return False
        return True

    outcomes = await asyncio.gather(
        *(attempt("FinalizeInvoice", pb.FinalizeInvoiceRequest(invoice_id=draft.invoice_id)) for draft in drafts),
        *(attempt("ReopenPeriod", reopening(rng.choice(orgs))) for orgs in accounts.values()),
    )
    finals, reopenings = outcomes[: len(drafts)], outcomes[len(drafts) :]
    assert [final != reopened for final, reopened in zip(finals, reopenings, strict=True)] == [True] * len(drafts)
    assert harness.rows("SELECT count(*) FROM invoice WHERE state = 'final'") == [(sum(finals),)]


async def test_what_was_reopened_is_never_changed(harness: OrgsHarness) -> None:
    await group(harness, "group", "a")
    await harness.call("ReopenPeriod", reopening("a"))
    for tampering in ("UPDATE period_reopening SET number = 2", "DELETE FROM period_reopening"):
        with pytest.raises(errors.DatabaseError):
            harness.rows(tampering)


def test_the_revision_for_reopenings_goes_back(database_factory: DatabaseFactory) -> None:
    database = database_factory.blank("orgs")
    config = database_factory.alembic_config(database)
    command.upgrade(config, "20261130_13_org_period_reopenings")
    command.downgrade(config, "20250920_05_org_hierarchy_and_billing_accounts")
    command.upgrade(config, "20261130_13_org_period_reopenings")
