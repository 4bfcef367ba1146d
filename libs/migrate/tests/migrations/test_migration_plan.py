"""The plan file gives the only order, and must agree with the revisions that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from apportion_migrate.plan import PLAN_FILE, PLAN_SETTING, PlanError, load_plan
from migration_toys import Toy, write_revision


def test_baselines_come_first_and_then_the_five_revisions_in_the_order_of_the_plan() -> None:
    steps = [(step.number, step.service, step.revision) for step in load_plan(PLAN_FILE).steps][:10]
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
    write_revision(toy.root, "alpha", "alpha_3", "alpha_2", "pass", "pass")
    with pytest.raises(PlanError, match="alpha_3"):
        toy.plan.check()


def test_a_branch_in_a_services_revisions_is_refused(toy: Toy) -> None:
    write_revision(toy.root, "beta", "beta_other", "beta_1", "pass", "pass")
    with pytest.raises(PlanError, match="no one line"):
        toy.plan.check()


def test_a_step_that_names_no_service_is_refused(toy: Toy) -> None:
    file = toy.plan.file
    file.write_text(file.read_text().replace('service = "beta"\n', ""))
    with pytest.raises(PlanError, match="must have"):
        load_plan(file)


def test_a_revision_that_is_named_twice_is_refused(toy: Toy) -> None:
    file = toy.plan.file
    file.write_text(file.read_text() * 2)
    with pytest.raises(PlanError, match="twice"):
        load_plan(file)


def test_the_plan_is_the_one_that_the_setting_names(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_SETTING, str(toy.plan.file))
    assert load_plan() == toy.plan


def test_a_setting_that_names_no_plan_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAN_SETTING, str(tmp_path / "none.toml"))
    with pytest.raises(PlanError, match=r"none\.toml"):
        load_plan()


def test_a_service_that_is_not_installed_is_named(toy: Toy) -> None:
    toy.plan.file.write_text(toy.plan.file.read_text().replace('service = "beta"', 'service = "gamma"'))
    with pytest.raises(PlanError, match="apportion_gamma is not installed"):
        load_plan(toy.plan.file).check()
