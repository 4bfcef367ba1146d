"""A scenario file as the list of calls that bring it about.

Two shapes are read: one plan for all with groups of organisations, and the full one with several plans,
price changes, entitlements and terms over time. Every id follows from the file and the prefix, and a call's request id
from what it asks for: applying a scenario again changes nothing, one that was ended or mended goes on where it has to,
and two scenarios meet only in what both ask for alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal as DecimalNumber
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client import naming
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal

from apportion_cli.scenario_form import problems_of

LIVE_REASON = "Local profile: the parity gate is not built yet; live by override."
BEGINNING = "2012-12-01T00:00:00Z"
"""From when the plans' first rows hold; a period's start before every organisation's assignment."""

PROBLEMS_MAX: Final = 20
"""Of what is wrong in a file are shown."""
REQUEST_ID_DIGITS: Final = 32
"""Hexadecimal digits of a request's content in its request id."""
PLAN_NAME_DIGITS: Final = 8
"""Hexadecimal digits of a short scenario's plan in its name."""


@dataclass(frozen=True)
class Step:
    """One call: `service.method(request)`."""

    service: str
    method: str
    request: Any
    """A message with a request id."""
    label: str


class ScenarioProblem(ValueError):
    """The file is no scenario that can be applied; the message says all that is wrong, a line each."""


def load(path: Path) -> dict[str, Any]:
    """Read a scenario. Raises ScenarioProblem when it is not one, or not as it should be."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_float=DecimalNumber, object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise ScenarioProblem(f"{path} is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise ScenarioProblem(f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except KeyError as error:
        raise ScenarioProblem(f"{path} is no scenario: {error} stands twice in one object.") from None
    problems = problems_of(content, text)
    if problems:
        more = [f"… and {len(problems) - PROBLEMS_MAX:,} more"] if len(problems) > PROBLEMS_MAX else []
        told = "\n".join(f"  {problem}" for problem in [*problems[:PROBLEMS_MAX], *more])
        raise ScenarioProblem(f"{path} is no scenario that can be applied; nothing was sent:\n{told}")
    found: dict[str, Any] = content
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields. Raises KeyError for one that stands twice: which one holds would be a guess."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise KeyError(name)
        found[name] = value
    return found


def steps(scenario: dict[str, Any], prefix: str = "") -> list[Step]:
    """Return the calls that bring a scenario about, in an order in which each finds what it needs."""
    full = scenario if "plans" in scenario else _widened(scenario)
    found = [
        *_catalog(full),
        *_orgs(full, prefix),
        *_terms(full, prefix),
        *_partners(full),
        *_partners_of_record(full, prefix),
        *_periods(full, prefix),
    ]
    for step in found:
        content = step.request.SerializeToString(deterministic=True)
        step.request.request_id = f"apply:{step.method}:{sha256(content).hexdigest()[:REQUEST_ID_DIGITS]}"
    return found


def short_plan_name(scenario: dict[str, Any]) -> str:
    """Return the name of a short scenario's plan: its own, or one that another plan does not have."""
    content = json.dumps([scenario["plan"], scenario["period"]["start"]], sort_keys=True, default=str)
    return str(scenario["plan"].get("name") or f"standard-{sha256(content.encode()).hexdigest()[:PLAN_NAME_DIGITS]}")


def instant(text: str) -> Timestamp:
    """Return a protobuf time of an ISO 8601 one."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text))
    return stamp


def _widened(scenario: dict[str, Any]) -> dict[str, Any]:
    """Return the short shape written out in the full one: everything from the period's start."""
    start = scenario["period"]["start"]
    plan = short_plan_name(scenario)
    groups = scenario["groups"]
    children = [org for group in groups.values() for org in group["children"]]
    mapped = scenario["mappings"]
    return {
        "beginning": start,
        "skus": {sku: {"type": row["type"], "unit": row["unit"]} for sku, row in scenario["plan"]["skus"].items()},
        "plans": {plan: scenario["plan"]},
        "price_changes": [],
        "orgs": {org: {"plan": plan, "assigned_at": start} for org in children},
        "billing_accounts": {
            group["billing_account"]: {"owner": name, "currency": scenario["plan"]["currency"]}
            for name, group in groups.items()
        },
        "mappings": [{"org": org, "effective_at": start, **mapped[org]} for org in children],
        "entitlements": [],
        "partners": {
            name: {**row, "tiers": [{"tier": row["tier"], "effective_at": start}]}
            for name, row in scenario["partners"].items()
        },
        "commission_rates": [
            {
                "tier": row["tier"],
                "match_kind": "sku",
                "match_value": row["sku"],
                "pct": row["pct"],
                "effective_at": start,
            }
            for row in scenario["commission_rates"]
        ],
        "partners_of_record": [{**row, "start_at": start, "end_at": None} for row in scenario["partners_of_record"]],
        "closed_periods": [],
    }


def _decimal(value: object) -> Decimal:
    return Decimal(value=str(value))


def _rows(skus: dict[str, Any]) -> Iterator[pricing.PlanSku]:
    for sku, row in skus.items():
        yield pricing.PlanSku(
            sku=sku,
            charge_model=f"CHARGE_MODEL_{row['charge_model'].upper()}",
            included_qty=_decimal(row["included_qty"]),
            overage_price=_decimal(row["overage_price"]),
            tiers=_tiers(row["tiers"]),
        )


def _tiers(rows: list[dict[str, Any]]) -> list[pricing.Tier]:
    return [pricing.Tier(threshold=_decimal(row["threshold"]), price=_decimal(row["price"])) for row in rows]


def _catalog(full: dict[str, Any]) -> Iterator[Step]:
    for sku, row in full["skus"].items():
        kind = f"SKU_TYPE_{row['type'].upper()}"
        request: Message = pricing.CreateSkuRequest(sku=pricing.Sku(sku=sku, type=kind, unit=row["unit"]))
        yield Step("pricing", "CreateSku", request, f"SKU {sku}")
    for name, plan in full["plans"].items():
        request = pricing.CreatePlanRequest(
            plan_id=str(naming.plan_id(name)),
            name=name,
            currency=plan["currency"],
            rows=_rows(plan["skus"]),
            effective_at=instant(full.get("beginning", BEGINNING)),
        )
        yield Step("pricing", "CreatePlan", request, f"plan {name}")
    for change in full["price_changes"]:
        row = {**full["plans"][change["plan"]]["skus"][change["sku"]], **change}
        request = pricing.SetPlanSkuRequest(
            plan_id=str(naming.plan_id(change["plan"])),
            row=next(_rows({change["sku"]: row})),
            effective_at=instant(change["effective_at"]),
        )
        yield Step("pricing", "SetPlanSku", request, f"price of {change['sku']} in {change['plan']}")
    request = pricing.SetEngineModeRequest(all_orgs=True, mode=pricing.ENGINE_MODE_LIVE, override_reason=LIVE_REASON)
    yield Step("pricing", "SetEngineMode", request, "rating live, by audited override")


def _orgs(full: dict[str, Any], prefix: str) -> Iterator[Step]:
    accounts = full["billing_accounts"]
    parents = {row["org"]: accounts[row["account"]]["owner"] for row in reversed(full["mappings"])}
    owners = [account["owner"] for account in accounts.values()]
    roots = dict.fromkeys([*owners, *(org for org in full["orgs"] if org not in parents)])
    children = [org for org in full["orgs"] if org not in roots]
    currencies = {account["owner"]: account["currency"] for account in accounts.values()}
    for org in (*roots, *children):
        request: Message = orgs.CreateOrgRequest(
            org_id=str(naming.org_id(org, prefix)),
            legal_name=f"{prefix}{org}",
            slug=f"{prefix}{org}".lower(),
            parent_org_id="" if org in roots else str(naming.org_id(parents[org], prefix)),
            currency=currencies.get(org, ""),
        )
        yield Step("orgs", "CreateOrg", request, f"organisation {prefix}{org}")
    for name, account in accounts.items():
        request = orgs.CreateBillingAccountRequest(
            billing_account_id=str(naming.account_id(name, prefix)),
            owner_org_id=str(naming.org_id(account["owner"], prefix)),
            name=f"{prefix}{name}",
            currency=account["currency"],
        )
        yield Step("orgs", "CreateBillingAccount", request, f"billing account {prefix}{name}")
    for row in full["mappings"]:
        request = orgs.MapOrgRequest(
            org_id=str(naming.org_id(row["org"], prefix)),
            billing_account_id=str(naming.account_id(row["account"], prefix)),
            allocation=f"ALLOCATION_{row['allocation'].upper()}",
            percent=None if row["percent"] is None else _decimal(row["percent"]),
            effective_at=instant(row["effective_at"]),
        )
        yield Step("orgs", "MapOrg", request, f"{prefix}{row['org']} billed on {prefix}{row['account']}")


def _terms(full: dict[str, Any], prefix: str) -> Iterator[Step]:
    for org, row in full["orgs"].items():
        if row["plan"] is None:
            continue
        request: Message = pricing.AssignPlanRequest(
            org_id=str(naming.org_id(org, prefix)),
            plan_id=str(naming.plan_id(row["plan"])),
            effective_at=instant(row["assigned_at"]),
        )
        yield Step("pricing", "AssignPlan", request, f"plan {row['plan']} for {prefix}{org}")
    for row in full["entitlements"]:
        kind, _, name = row["subject"].partition(":")
        request = pricing.SetEntitlementRequest(
            plan_id=str(naming.plan_id(row["plan"])),
            overrides=[_override(sku, values) for sku, values in row["overrides"].items()],
            effective_at=instant(row["effective_at"]),
        )
        if kind == "org":
            request.org_id = str(naming.org_id(name, prefix))
        else:
            request.billing_account_id = str(naming.account_id(name, prefix))
        yield Step("pricing", "SetEntitlement", request, f"terms of {row['subject']}")


def _override(sku: str, values: dict[str, Any]) -> pricing.Override:
    return pricing.Override(
        sku=sku,
        included_qty=_decimal(values["included_qty"]) if "included_qty" in values else None,
        overage_price=_decimal(values["overage_price"]) if "overage_price" in values else None,
        tiers=pricing.Tiers(tiers=_tiers(values["tiers"])) if "tiers" in values else None,
    )


def _partners(full: dict[str, Any]) -> Iterator[Step]:
    for name, row in full["partners"].items():
        first, *later = row["tiers"]
        request: Message = ledger.CreatePartnerRequest(
            partner_id=str(naming.partner_id(name)),
            name=row["name"],
            payout_currency=row["payout_currency"],
            tier=first["tier"],
            effective_at=instant(first["effective_at"]),
        )
        yield Step("ledger", "CreatePartner", request, f"partner {name}")
        for tier in later:
            request = ledger.SetPartnerTierRequest(
                partner_id=str(naming.partner_id(name)),
                tier=tier["tier"],
                effective_at=instant(tier["effective_at"]),
            )
            yield Step("ledger", "SetPartnerTier", request, f"{name} becomes {tier['tier']}")
    for row in full["commission_rates"]:
        request = ledger.SetCommissionRateRequest(
            tier=row["tier"],
            match_kind=f"MATCH_KIND_{row['match_kind'].upper()}",
            match_value=row["match_value"] or "",
            pct=_decimal(row["pct"]),
            effective_at=instant(row["effective_at"]),
        )
        yield Step("ledger", "SetCommissionRate", request, f"{row['tier']} gets {row['pct']} %")


def _partners_of_record(full: dict[str, Any], prefix: str) -> Iterator[Step]:
    for row in full["partners_of_record"]:
        kind, _, name = row["subject"].partition(":")
        by_org = kind == "org"
        subject = naming.org_id(name, prefix) if by_org else naming.account_id(name, prefix)
        request = ledger.AssignPartnerOfRecordRequest(
            subject_type=ledger.SUBJECT_TYPE_ORG if by_org else ledger.SUBJECT_TYPE_BILLING_ACCOUNT,
            subject_id=str(subject),
            partner_id=str(naming.partner_id(row["partner"])),
            start_at=instant(row["start_at"]),
            end_at=instant(row["end_at"]) if row["end_at"] else None,
        )
        yield Step("ledger", "AssignPartnerOfRecord", request, f"{row['partner']} of record for {row['subject']}")


def _periods(full: dict[str, Any], prefix: str) -> Iterator[Step]:
    for period in full["closed_periods"]:
        request = metering.ClosePeriodRequest(
            period=period,
            org_ids=[str(naming.org_id(org, prefix)) for org in full["orgs"]] if prefix else [],
            all_orgs=not prefix,
        )
        yield Step("metering", "ClosePeriod", request, f"close {period}")
