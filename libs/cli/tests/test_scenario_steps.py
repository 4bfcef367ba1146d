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


def test_codes_become_the_same_ids_and_uuids_stay():
    own = "0190a6f8-0a6b-7c3d-8e1f-000000000001"
    assert str(naming.org_id(own)) == str(naming.org_id(own, "x-")) == own
    assert naming.org_id("AA") == naming.org_id("AA", "") != naming.org_id("AA", "x-")
    assert naming.project_id("AA", "EWR") != naming.project_id("UA", "EWR")
    assert str(naming.project_id("AA", own, "x-")) == own
    assert naming.project_id("AA", "") is None


SHORT = json.loads((ROOT / "examples" / "own-product" / "scenario.json").read_text())


def written(tmp_path: Path, content: object) -> Path:
    """A scenario file, a key a line."""
    file = tmp_path / "scenario.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return file


def test_two_scenarios_share_a_request_id_only_where_they_ask_for_the_same(tmp_path):
    one = json.loads(json.dumps(SHORT))
    # A plan without a name has one that follows from its content.
    del one["plan"]["name"]
    other = json.loads(json.dumps(one))
    other["plan"]["skus"]["ACT-SMS"]["overage_price"] = "0.05"
    other["partners"]["nova"]["name"] = "Nova"
    other["mappings"]["acme-shop"]["allocation"] = "chargeback"
    first, second = scenario.steps(scenario.load(written(tmp_path, one))), scenario.steps(other)
    requests: dict[str, list[object]] = {}
    for step in (*first, *second):
        requests.setdefault(step.request.request_id, []).append(step.request)
    assert all(request == those[0] for those in requests.values() for request in those)
    differing = {step.method for step in second} - {step.method for step in second if step in first}
    assert {step.method for step in second if step not in first} >= {"CreatePlan", "CreatePartner", "MapOrg"}, differing
    plans = [step.request.plan_id for step in (*first, *second) if step.method == "CreatePlan"]
    assert len(set(plans)) == len(plans)


def test_a_row_that_is_put_in_before_others_leaves_their_request_ids_as_they_were():
    full = json.loads(HARD_MONTH.read_text())
    before = {step.request.request_id for step in scenario.steps(full)}
    full["commission_rates"].insert(
        0,
        {
            "tier": "new",
            "match_kind": "default",
            "match_value": None,
            "pct": "1",
            "effective_at": "2013-01-01T00:00:00Z",
        },
    )
    after = {step.request.request_id for step in scenario.steps(full)}
    assert before < after
    assert len(after - before) == 1


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("period", "start"), "2025-03-01", 'period > start: "2025-03-01" is not a time with an offset'),
        (("plan", "currency"), "AUS", 'plan > currency: "AUS" is not a currency'),
        (("plan", "skus", "ACT-SMS", "charge_model"), "perunit", '"perunit" is none of per_unit, graduated'),
        (("plan", "skus", "ACT-SMS", "overage_price"), "1,5", '"1,5" is not a number'),
        (("plan", "skus", "VAL-EMAIL", "tiers", 0, "price"), True, "number 1 > price: true is not a number"),
        (("groups", "acme", "children"), "acme-shop", "groups > acme > children: It must be a list"),
        (("mappings", "acme-club", "allocation"), "half", '"half" is none of absorb, chargeback, split'),
        (("mappings", "acme-club", "percent"), None, "A split needs a percent"),
        (("mappings", "acme-shop", "percent"), "5", "Only a split has a percent"),
        (("mappings", "acme-club", "account"), "acmee", 'The file has no billing account "acmee"'),
        (("partners", "nova", "name"), " ", "is no text"),
        (("partners_of_record", 0, "partner"), "novva", 'The file has no partner "novva"'),
        (("partners_of_record", 0, "subject"), "acme", 'is not "account:CODE" or "org:CODE"'),
    ],
)
def test_what_is_wrong_in_a_scenario_is_said_with_its_line_and_key_in_the_files_own_words(
    tmp_path, path, value, problem
):
    content = json.loads(json.dumps(SHORT))
    place = content
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    file = written(tmp_path, content)
    with pytest.raises(scenario.ScenarioProblem) as caught:
        scenario.load(file)
    found = str(caught.value)
    assert problem in found
    assert "nothing was sent" in found
    for foreign in ("ParseError", "KeyError", "google", "protobuf", "apportion."):
        assert foreign not in found
    line = next(line for line in found.splitlines() if problem in line)
    number = int(line.split()[1].rstrip(","))
    key = next(part for part in reversed(path) if isinstance(part, str))
    assert f'"{key}":' in file.read_text().splitlines()[number - 1]


def test_all_that_is_wrong_is_said_at_once_and_a_key_that_lacks_is_named(tmp_path):
    content = json.loads(json.dumps(SHORT))
    del content["partners"]["nova"]["tier"]
    del content["groups"]
    content["period"]["start"] = 5
    with pytest.raises(scenario.ScenarioProblem) as caught:
        scenario.load(written(tmp_path, content))
    assert "partners > nova: It lacks tier." in str(caught.value)
    assert "the file: It lacks groups." in str(caught.value)
    assert "period > start: 5 is not a time" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"period": {"start": ', "is not JSON: line 1, column 22"),
        ('{"partners": {}, "partners": {}}', "'partners' stands twice"),
        ("[]", "It must be an object"),
        ("3", "It must be an object"),
    ],
)
def test_a_file_that_is_no_scenario_is_said_to_be_none(tmp_path, text, problem):
    with pytest.raises(scenario.ScenarioProblem) as caught:
        scenario.load(written(tmp_path, text))
    assert problem in str(caught.value)


def test_the_examples_have_no_problem():
    for file in [*(ROOT / "examples").rglob("scenario.json"), HARD_MONTH]:
        assert scenario.load(file)
