"""Making and reading organisations."""

from __future__ import annotations

import asyncio

from apportion.common.v1.audit_pb2 import AuditQuery
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion.orgs.v1 import orgs_service_pb2 as pb
from orgs_harness import OrgsHarness, account_id, org_id

WRONG = (
    ({"parent_org_id": org_id("nobody")}, "ORG_NOT_FOUND"),
    ({"default_timezone": "Mars/Olympus"}, "TIMEZONE_UNKNOWN"),
    ({"default_timezone": "../../etc/passwd"}, "TIMEZONE_UNKNOWN"),
    ({"default_timezone": "Europe"}, "TIMEZONE_UNKNOWN"),
    ({"currency": "ZZZ"}, "CURRENCY_UNKNOWN"),
    ({"parent_org_id": "no id"}, "ID_MALFORMED"),
)
"""What a request may say wrongly, and the reason that it gets."""


async def test_a_root_has_a_default_account_that_absorbs_what_it_uses_from_1970_on(harness: OrgsHarness) -> None:
    created = await harness.root("acme", currency="JPY")
    assert (created.org.slug, created.org.visibility, created.revision) == ("acme", pb.VISIBILITY_PRIVATE, 1)
    resolved = (await harness.resolve(("acme", "1970-01-01T00:00:00Z"))).results[0]
    assert (resolved.org_known, resolved.mapped, resolved.currency) == (True, True, "JPY")
    account = await harness.call(
        "GetBillingAccount", pb.GetBillingAccountRequest(billing_account_id=resolved.billing_account_id)
    )
    assert account.billing_account.owner_org_id == org_id("acme")


async def test_a_child_has_no_mapping_until_it_is_mapped(harness: OrgsHarness) -> None:
    await harness.root("acme")
    await harness.child("shop", "acme")
    resolved = (await harness.resolve(("shop", "2013-01-05T00:00:00Z"))).results[0]
    assert (resolved.org_known, resolved.mapped) == (True, False)
    assert not resolved.HasField("valid_from")
    assert not resolved.HasField("valid_until")


async def test_a_repeated_request_returns_the_first_answer_and_another_body_is_rejected(harness: OrgsHarness) -> None:
    request = pb.CreateOrgRequest(legal_name="Acme", slug="acme", request_id="once")
    first = await harness.call("CreateOrg", request)
    assert await harness.call("CreateOrg", request) == first
    assert harness.rows("SELECT count(*) FROM organization") == [(1,)]
    other = pb.CreateOrgRequest(legal_name="Acme", slug="other", request_id="once")
    assert (await harness.rejected("CreateOrg", other)).reason == "REQUEST_ID_REUSED"


async def test_a_chosen_id_is_kept_and_the_same_organisation_again_changes_nothing(harness: OrgsHarness) -> None:
    first = await harness.root("acme")
    again = await harness.root("acme")
    assert again == first
    taken = pb.CreateOrgRequest(org_id=org_id("acme"), legal_name="Other", slug="acme")
    assert (await harness.rejected("CreateOrg", taken)).reason == "ORG_EXISTS"
    currency = pb.CreateOrgRequest(org_id=org_id("acme"), legal_name="acme Ltd", slug="acme", currency="JPY")
    assert (await harness.rejected("CreateOrg", currency)).reason == "ORG_EXISTS"
    slug = pb.CreateOrgRequest(legal_name="Other", slug="acme")
    assert (await harness.rejected("CreateOrg", slug)).reason == "ORG_SLUG_TAKEN"
    assert harness.rows("SELECT revision FROM config_head") == [(1,)]


async def test_of_two_that_want_one_slug_at_the_same_time_one_is_rejected(harness: OrgsHarness) -> None:
    requests = [pb.CreateOrgRequest(legal_name=f"Acme {n}", slug="acme") for n in range(4)]
    results = await asyncio.gather(*(harness.call("CreateOrg", r) for r in requests), return_exceptions=True)
    assert sorted(getattr(result, "reason", "made") for result in results) == ["ORG_SLUG_TAKEN"] * 3 + ["made"]


async def test_what_cannot_be_right_is_rejected_with_its_reason(harness: OrgsHarness) -> None:
    for fields, reason in WRONG:
        request = pb.CreateOrgRequest(legal_name="A", slug="a", **fields)
        assert (await harness.rejected("CreateOrg", request)).reason == reason
    assert harness.rows("SELECT count(*) FROM organization") == [(0,)]


async def test_what_is_made_is_audited_without_personal_values_and_announced(harness: OrgsHarness) -> None:
    await harness.root(
        "acme", billing_email="bill@acme.example", tax_id="51824753556", default_timezone="Australia/Sydney"
    )
    entries = (await harness.call("ListAudit", pb.ListAuditRequest(query=AuditQuery(org_id=org_id("acme"))))).entries
    assert [(e.action, e.resource, e.actor) for e in entries] == [
        ("org.create", f"organization/{org_id('acme')}", "tester")
    ]
    assert "bill@" not in str(entries[0].after)
    assert "51824753556" not in str(entries[0].after)
    ((subject, payload),) = harness.rows("SELECT subject, payload FROM outbox")
    envelope = EventEnvelope.FromString(bytes(payload))
    created = pb.OrgCreated()
    assert envelope.payload.Unpack(created)
    assert (subject, envelope.type, created.org.slug) == ("events.orgs.org.created", "orgs.org.created", "acme")
    assert (created.owner_user_id, created.owner_email) == ("", "")


async def test_the_announcement_alone_names_the_first_owner(harness: OrgsHarness) -> None:
    ada = org_id("ada")
    await harness.root("acme", owner_user_id=ada, owner_email="ada@acme.example")
    ((payload,),) = harness.rows("SELECT payload FROM outbox")
    created = pb.OrgCreated()
    assert EventEnvelope.FromString(bytes(payload)).payload.Unpack(created)
    assert (created.owner_user_id, created.owner_email) == (ada, "ada@acme.example")
    for table in ("organization", "audit_entry", "request_record"):
        assert not any("ada@" in row or ada in row for (row,) in harness.rows(f"SELECT {table}::text FROM {table}"))


async def test_an_organisation_is_read_back_or_not_found(harness: OrgsHarness) -> None:
    created = await harness.root("acme", tax_id="1", visibility=pb.VISIBILITY_PARTNERS)
    assert (await harness.call("GetOrg", pb.GetOrgRequest(org_id=org_id("acme")))).org == created.org
    assert (await harness.rejected("GetOrg", pb.GetOrgRequest(org_id=org_id("nobody")))).reason == "ORG_NOT_FOUND"


async def test_an_account_needs_an_owner_and_a_known_currency_and_keeps_its_id(harness: OrgsHarness) -> None:
    await harness.root("acme")
    first = await harness.account("group", "acme")
    assert await harness.account("group", "acme") == first
    other = pb.CreateBillingAccountRequest(
        billing_account_id=account_id("group"), owner_org_id=org_id("acme"), name="group", currency="JPY"
    )
    assert (await harness.rejected("CreateBillingAccount", other)).reason == "BILLING_ACCOUNT_EXISTS"
    nobody = pb.CreateBillingAccountRequest(owner_org_id=org_id("nobody"), name="x", currency="AUD")
    assert (await harness.rejected("CreateBillingAccount", nobody)).reason == "ORG_NOT_FOUND"
    currency = pb.CreateBillingAccountRequest(owner_org_id=org_id("acme"), name="x", currency="XXX")
    assert (await harness.rejected("CreateBillingAccount", currency)).reason == "CURRENCY_UNKNOWN"
    missing = pb.GetBillingAccountRequest(billing_account_id=account_id("none"))
    assert (await harness.rejected("GetBillingAccount", missing)).reason == "BILLING_ACCOUNT_NOT_FOUND"


async def test_an_account_is_audited_with_what_it_is(harness: OrgsHarness) -> None:
    await harness.root("acme")
    await harness.account("group", "acme")
    query = AuditQuery(resource=f"billing_account/{account_id('group')}")
    (entry,) = (await harness.call("ListAudit", pb.ListAuditRequest(query=query))).entries
    assert (entry.action, entry.org_id, dict(entry.after)) == (
        "billing_account.create",
        org_id("acme"),
        {
            "billing_account_id": account_id("group"),
            "owner_org_id": org_id("acme"),
            "name": "group",
            "currency": "AUD",
        },
    )
