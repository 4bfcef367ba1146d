"""The plan file gives the only order, and must agree with the revisions that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from apportion_migrate.plan import PLAN_FILE, PlanError, find_root, load_plan
from migration_toys import Toy, write_revision


def test_baselines_come_first_and_then_the_five_revisions_in_the_order_of_the_plan() -> None:
    steps = [(step.number, step.service, step.revision) for step in load_plan(find_root({})).steps]
    assert steps == [
        (1, "identity", "identity_baseline"),
        (2, "ledger", "ledger_baseline"),
        (3, "pricing", "pricing_baseline"),
        (4, "metering", "metering_baseline"),
        (5, "orgs", "orgs_baseline"),
        (6, "identity", "20250920_01_domain_claims_email"),
        (7, "ledger", "20250920_02_por_commission_ledger"),
        (8, "pricing", "20250920_03_business_model_entitlements"),
        (9, "metering", "20250920_04_metering_events"),
        (10, "orgs", "20250920_05_org_hierarchy_and_billing_accounts"),
    ]


def test_a_plan_that_agrees_with_the_revisions_passes(toy: Toy) -> None:
    toy.plan.check()


def test_a_revision_that_the_plan_does_not_name_is_refused(toy: Toy) -> None:
    write_revision(toy.plan.root, "alpha", "alpha_3", "alpha_2", "pass", "pass")
    with pytest.raises(PlanError, match="alpha_3"):
        toy.plan.check()


def test_a_branch_in_a_services_revisions_is_refused(toy: Toy) -> None:
    write_revision(toy.plan.root, "beta", "beta_other", "beta_1", "pass", "pass")
    with pytest.raises(PlanError, match="no one line"):
        toy.plan.check()


def test_a_step_that_names_no_service_is_refused(toy: Toy) -> None:
    file = toy.plan.root / PLAN_FILE
    file.write_text(file.read_text().replace('service = "beta"\n', ""))
    with pytest.raises(PlanError, match="must have"):
        load_plan(toy.plan.root)


def test_a_revision_that_is_named_twice_is_refused(toy: Toy) -> None:
    file = toy.plan.root / PLAN_FILE
    file.write_text(file.read_text() * 2)
    with pytest.raises(PlanError, match="twice"):
        load_plan(toy.plan.root)


def test_the_checkout_is_where_the_setting_says(toy: Toy) -> None:
    assert find_root({"APPORTION_ROOT": str(toy.plan.root)}) == toy.plan.root.resolve()


def test_a_setting_that_names_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="APPORTION_ROOT"):
        find_root({"APPORTION_ROOT": str(tmp_path)})
