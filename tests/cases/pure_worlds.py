"""Reads the scenario files of the two data sets into the rows that the domain rules take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from apportion_common.decimals import PERCENT, parse_scaled
from apportion_ledger.domain.attribution import AttributionIndex, MatchKind, PartnerTierRow, PorRow, PorSubject, RateRow
from apportion_ledger.domain.payouts import parse_thresholds
from apportion_ledger.domain.terms import CommissionTerms, PayoutTerms
from apportion_metering.domain.times import parse_time
from apportion_orgs.domain.allocation import Allocation, check_percent
from apportion_orgs.domain.mappings import MappingRow
from apportion_pricing.domain.accounts import ALWAYS_US, FOREVER_US, AccountInterval, AccountsView, BillingAccount
from apportion_pricing.domain.catalog import Catalog
from apportion_pricing.domain.terms import (
    AssignmentRow,
    EntitlementRow,
    PlanRow,
    PlanSkuRow,
    SkuRow,
    SubjectKind,
    TermsRows,
    parse_override,
)
from apportion_pricing.domain.terms_index import TermsIndex
from apportion_pricing.domain.tiers import parse_included, parse_price, parse_tiers
from pure_flow import Account, World, id_of

ROOT = Path(__file__).parents[2]
HARD_MONTH = ROOT / "tests" / "data" / "hard-month"
FLIGHTS = ROOT / "examples" / "flights-2013-01"
BEGINNING = "2012-12-01T00:00:00Z"


def load(folder: Path) -> dict[str, Any]:
    """The scenario of a folder as parsed JSON."""
    scenario: dict[str, Any] = json.loads((folder / "scenario.json").read_text())
    return scenario


def hard_month_world(scenario: dict[str, Any]) -> World:
    """The world of the hard month."""
    plan_skus = _plan_skus(scenario["plans"], BEGINNING)
    for change in scenario["price_changes"]:
        before = next(r for r in plan_skus if (r.plan_id, r.sku) == (id_of(change["plan"]), change["sku"]))
        plan_skus.append(
            replace(
                before,
                overage_price=parse_price(change["overage_price"]),
                tiers=parse_tiers(change["tiers"]),
                effective_at_us=parse_time(change["effective_at"]),
                revision=before.revision + 100,
            )
        )
    mappings = [
        _mapping(number, row["org"], row["account"], row, row["effective_at"])
        for number, row in enumerate(scenario["mappings"], start=1)
    ]
    accounts = {name: Account(row["owner"], row["currency"]) for name, row in scenario["billing_accounts"].items()}
    names = [*scenario["orgs"], *scenario["partners"], *scenario["billing_accounts"]]
    names += [account["owner"] for account in scenario["billing_accounts"].values()]
    return World(
        catalog=_catalog(
            TermsRows(
                skus=[SkuRow(sku, row["type"]) for sku, row in scenario["skus"].items()],
                plans=[PlanRow(id_of(plan), row["currency"]) for plan, row in scenario["plans"].items()],
                plan_skus=plan_skus,
                assignments=[
                    AssignmentRow(id_of(org), id_of(row["plan"]), parse_time(row["assigned_at"]))
                    for org, row in scenario["orgs"].items()
                    if row["plan"]
                ],
                entitlements=_entitlements(scenario),
            )
        ),
        billing_accounts=_billing_accounts(scenario["orgs"], mappings, accounts),
        mappings=mappings,
        commission=_commission(
            scenario,
            AttributionIndex(
                [_por(number, row) for number, row in enumerate(scenario["partners_of_record"])],
                [
                    PartnerTierRow(id_of(name), tier["tier"], parse_time(tier["effective_at"]))
                    for name, row in scenario["partners"].items()
                    for tier in row["tiers"]
                ],
                [
                    RateRow(
                        row["tier"],
                        MatchKind(row["match_kind"]),
                        row["match_value"] or "",
                        parse_scaled(row["pct"], PERCENT),
                        parse_time(row["effective_at"]),
                    )
                    for row in scenario["commission_rates"]
                ],
            ),
        ),
        thresholds=parse_thresholds(scenario["real_time_threshold"]),
        accounts=accounts,
        names=_names(names),
        closed_periods=frozenset(scenario["closed_periods"]),
    )


def flights_world(scenario: dict[str, Any]) -> World:
    """The world of the flights: one plan, everything from the period's start."""
    start = scenario["period"]["start"]
    groups = scenario["groups"]
    orgs = [org for group in groups.values() for org in group["children"]]
    plans = {"plan": scenario["plan"]}
    mappings = [
        _mapping(number, org, scenario["mappings"][org]["account"], scenario["mappings"][org], start)
        for number, org in enumerate(orgs, start=1)
    ]
    accounts = {group["billing_account"]: Account(name, scenario["plan"]["currency"]) for name, group in groups.items()}
    return World(
        catalog=_catalog(
            TermsRows(
                skus=[SkuRow(sku, row["type"]) for sku, row in scenario["plan"]["skus"].items()],
                plans=[PlanRow(id_of("plan"), scenario["plan"]["currency"])],
                plan_skus=_plan_skus(plans, start),
                assignments=[AssignmentRow(id_of(org), id_of("plan"), parse_time(start)) for org in orgs],
            )
        ),
        billing_accounts=_billing_accounts(orgs, mappings, accounts),
        mappings=mappings,
        commission=_commission(
            scenario,
            AttributionIndex(
                [
                    _por(number, {**row, "start_at": start, "end_at": None})
                    for number, row in enumerate(scenario["partners_of_record"])
                ],
                [
                    PartnerTierRow(id_of(name), row["tier"], parse_time(start))
                    for name, row in scenario["partners"].items()
                ],
                [
                    RateRow(
                        row["tier"], MatchKind.SKU, row["sku"], parse_scaled(row["pct"], PERCENT), parse_time(start)
                    )
                    for row in scenario["commission_rates"]
                ],
            ),
        ),
        thresholds=parse_thresholds(scenario["real_time_threshold"]),
        accounts=accounts,
        names=_names([*orgs, *scenario["partners"], *groups]),
    )


def _plan_skus(plans: dict[str, Any], start: str) -> list[PlanSkuRow]:
    return [
        PlanSkuRow(
            id_of(plan),
            sku,
            row["charge_model"],
            parse_included(row["included_qty"]),
            parse_price(row["overage_price"]),
            parse_tiers(row["tiers"]),
            parse_time(start),
        )
        for plan, rows in plans.items()
        for sku, row in rows["skus"].items()
    ]


def _entitlements(scenario: dict[str, Any]) -> list[EntitlementRow]:
    rows = []
    for revision, row in enumerate(scenario["entitlements"], start=1):
        kind, _, name = row["subject"].partition(":")
        rows.append(
            EntitlementRow(
                SubjectKind(kind),
                id_of(name),
                id_of(row["plan"]),
                {sku: parse_override(values) for sku, values in row["overrides"].items()},
                parse_time(row["effective_at"]),
                revision,
            )
        )
    return rows


def _mapping(number: int, org: str, account: str, row: dict[str, Any], effective_at: str) -> MappingRow:
    allocation = Allocation(row["allocation"])
    percent = check_percent(allocation, row["percent"])
    return MappingRow(
        id_of(f"mapping {number}"), id_of(org), id_of(account), allocation, percent, parse_time(effective_at), number
    )


def _por(number: int, row: dict[str, Any]) -> PorRow:
    kind, _, name = row["subject"].partition(":")
    return PorRow(
        id_of(f"por {number}"),
        PorSubject.ORG if kind == "org" else PorSubject.ACCOUNT,
        id_of(name),
        id_of(row["partner"]),
        parse_time(row["start_at"]),
        parse_time(row["end_at"]) if row["end_at"] else None,
    )


def _catalog(rows: TermsRows) -> Catalog:
    return Catalog(0, rows, (), TermsIndex(rows))


def _commission(scenario: dict[str, Any], attribution: AttributionIndex) -> CommissionTerms:
    partners = {id_of(name): PayoutTerms(row["payout_currency"], False) for name, row in scenario["partners"].items()}
    return CommissionTerms(0, attribution, partners)


def _billing_accounts(
    orgs: Iterable[str], mappings: Sequence[MappingRow], accounts: Mapping[str, Account]
) -> AccountsView:
    """Return the accounts of all organisations over all time, as orgs answers piece by piece."""
    currencies = {id_of(name): account.currency for name, account in accounts.items()}
    view = AccountsView(1)
    for org in map(id_of, orgs):
        rows = sorted(
            (row for row in mappings if row.org_id == org), key=lambda row: (row.effective_at_us, row.revision)
        )
        starts = [ALWAYS_US, *(row.effective_at_us for row in rows)]
        held = [None, *(BillingAccount(row.account_id, row.mapping_id, currencies[row.account_id]) for row in rows)]
        for start_us, end_us, account in zip(starts, [*starts[1:], FOREVER_US], held, strict=True):
            if start_us < end_us:
                view.add(org, AccountInterval(start_us, end_us, True, account))
    return view


def _names(names: Iterable[str]) -> dict[bytes, str]:
    return {id_of(name): name for name in names}
