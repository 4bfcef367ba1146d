"""A scenario as calls: the same ids and request ids every time, in an order in which each finds what it needs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from apportion_cli import scenario
from apportion_client import naming

ROOT = Path(__file__).parents[3]
FLIGHTS = ROOT / "examples" / "flights-2013-01" / "scenario.json"
HARD_MONTH = ROOT / "tests" / "data" / "hard-month" / "scenario.json"

both = pytest.mark.parametrize("file", [FLIGHTS, HARD_MONTH], ids=["flights", "hard-month"])


@both
def test_the_calls_are_the_same_every_time_and_no_request_id_stands_twice(file):
    first, second = scenario.steps(scenario.load(file), "x-"), scenario.steps(scenario.load(file), "x-")
    assert [step.request for step in first] == [step.request for step in second]
    assert max(Counter(step.request.request_id for step in first).values()) == 1


@both
def test_what_is_shared_is_the_same_under_every_prefix_and_the_rest_is_not(file):
    content = scenario.load(file)
    shared = {"CreateSku", "CreatePlan", "SetPlanSku", "SetEngineMode"}
    shared |= {"CreatePartner", "SetPartnerTier", "SetCommissionRate"}
    plain, prefixed = scenario.steps(content), scenario.steps(content, "x-")
    assert len(plain) == len(prefixed)
    for one, other in zip(plain, prefixed, strict=True):
        assert (one.request == other.request) == (one.method in shared)
        assert (one.request.request_id == other.request.request_id) == (one.method in shared)


@both
def test_everything_that_a_call_names_was_made_before(file):
    made: set[str] = set()
    for step in scenario.steps(scenario.load(file), "x-"):
        request = step.request
        named = [
            getattr(request, field, "")
            for field in ("parent_org_id", "owner_org_id", "org_id", "billing_account_id", "plan_id", "partner_id")
        ]
        new = {
            "CreateOrg": "org_id",
            "CreateBillingAccount": "billing_account_id",
            "CreatePlan": "plan_id",
            "CreatePartner": "partner_id",
        }.get(step.method)
        own = getattr(request, new) if new else ""
        assert all(one in made for one in named if one and one != own), step
        made.add(own)


@both
def test_mappings_come_in_declared_order(file):
    content = scenario.load(file)
    calls = [step.request for step in scenario.steps(content) if step.method == "MapOrg"]
    accounts = content.get("billing_accounts") or {
        group["billing_account"]: {"declared_order": group["children"]} for group in content["groups"].values()
    }
    for account, row in accounts.items():
        ours = [call.org_id for call in calls if call.billing_account_id == str(naming.account_id(account))]
        assert list(dict.fromkeys(ours)) == [str(naming.org_id(org)) for org in row["declared_order"]]


def test_a_file_that_is_no_scenario_is_refused(tmp_path):
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps({"partners": {}}))
    with pytest.raises(ValueError, match="is no scenario: it lacks"):
        scenario.load(file)


def test_codes_become_the_same_ids_and_uuids_stay():
    own = "0190a6f8-0a6b-7c3d-8e1f-000000000001"
    assert str(naming.org_id(own)) == str(naming.org_id(own, "x-")) == own
    assert naming.org_id("AA") == naming.org_id("AA", "") != naming.org_id("AA", "x-")
    assert naming.project_id("AA", "EWR") != naming.project_id("UA", "EWR")
    assert str(naming.project_id("AA", own, "x-")) == own
    assert naming.project_id("AA", "") is None
