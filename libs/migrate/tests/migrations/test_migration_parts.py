"""Where only some of the plan's services are installed, `--service` names them, and nothing else is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from apportion_migrate import conductor
from apportion_migrate.plan import PlanError
from apportion_migrate.steps import Progress
from migration_toys import Toy


def steps(heard: list[Progress], kind: str) -> list[tuple[int, str]]:
    return [(progress.step.number, progress.step.revision) for progress in heard if progress.kind == kind]


def up(toy: Toy, *services: str, to: str | None = None) -> list[Progress]:
    heard: list[Progress] = []
    conductor.up(toy.plan.part(services), to=to, report=heard.append, environ=toy.environ)
    return heard


def command(toy: Toy, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "apportion_migrate.command", *words],
        env={**os.environ, **toy.environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def without_alpha(toy: Toy) -> None:
    """Take alpha's package and URL away, so that whatever works needs neither."""
    shutil.rmtree(toy.root / "apportion_alpha")
    del toy.environ["ALPHA_MIGRATION_DATABASE_URL"]


def test_a_part_of_the_plan_has_the_numbers_of_the_whole(toy: Toy) -> None:
    part = toy.plan.part(["beta"])
    assert [(step.number, step.revision) for step in part.steps] == [(2, "beta_1"), (4, "beta_2")]
    assert part.services == ("beta",)
    assert [step.revision for step in part.steps_to("beta_1")] == ["beta_1"]
    assert [step.revision for step in part.steps_beyond("beta_1")] == ["beta_2"]
    assert toy.plan.part(["beta", "alpha"]) == toy.plan


@pytest.mark.parametrize(("services", "named"), [(["gamma"], "gamma"), ([], "nothing"), (["beta", "gamma"], "gamma")])
def test_a_service_that_the_plan_does_not_have_is_refused(toy: Toy, services: list[str], named: str) -> None:
    with pytest.raises(PlanError, match=f"no service {named}; it has alpha, beta"):
        toy.plan.part(services)


def test_one_service_goes_up_and_back_alone_and_the_whole_plan_goes_on_from_there(toy: Toy) -> None:
    assert steps(up(toy, "beta"), "applied") == [(2, "beta_1"), (4, "beta_2")]
    assert conductor.status(toy.plan, toy.environ).versions == {"alpha": None, "beta": "beta_2"}
    assert steps(up(toy, "alpha", to="alpha_1"), "applied") == [(1, "alpha_1")]
    heard: list[Progress] = []
    conductor.down(toy.plan.part(["beta"]), to="beta_1", report=heard.append, environ=toy.environ)
    assert steps(heard, "undone") == [(4, "beta_2")]
    assert steps(up(toy, "alpha", "beta"), "applied") == [(3, "alpha_2"), (4, "beta_2")]
    assert conductor.status(toy.plan, toy.environ).complete


def test_a_part_stops_after_a_revision_of_its_own_only(toy: Toy) -> None:
    with pytest.raises(PlanError, match="no revision alpha_1; it has beta_1, beta_2"):
        up(toy, "beta", to="alpha_1")
    assert conductor.status(toy.plan, toy.environ).versions == {"alpha": None, "beta": None}


def test_a_service_that_is_not_installed_is_named_with_the_way_around_it(toy: Toy) -> None:
    without_alpha(toy)
    for words in (
        ("up",),
        ("down", "--to", "base"),
        ("status",),
        ("plan",),
        ("sql",),
        ("preflight",),
        ("resolve",),
        ("seed",),
        ("data", "run"),
        ("data", "status"),
        ("data", "pause"),
        ("wait", "--service", "alpha", "--at-least", "alpha_1"),
        ("up", "--service", "alpha", "--service", "beta"),
    ):
        done = command(toy, *words)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert "apportion_alpha is not installed" in said
        assert "--service" in said


def test_every_command_does_its_work_for_the_services_that_are_installed(toy: Toy) -> None:
    without_alpha(toy)
    (toy.root / "apportion_beta" / "migrations" / "preflight.py").write_text("CHECKS = ()\nFIXES = ()\n")
    said: dict[str, list[dict[str, object]]] = {}
    for words in ("plan", "preflight", "up", "status", "data run", "data status", "data pause", "resolve", "seed"):
        done = command(toy, *words.split(), "--service", "beta")
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        said[words] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["step"], line["revision"]) for line in said["plan"]] == [(2, "beta_1"), (4, "beta_2")]
    assert [line["step"] for line in said["up"] if line["event"] == "applied"] == [2, 4]
    assert said["status"][-1]["complete"] is True
    written = command(toy, "sql", "--service", "beta")
    assert [line for line in written.stdout.splitlines() if line.startswith("-- Step")] == [
        "-- Step 2: beta to beta_1 (Baseline)",
        "-- Step 4: beta to beta_2 (beta)",
    ]
    assert command(toy, "wait", "--service", "beta", "--at-least", "beta_2").returncode == 0
    back = command(toy, "down", "--service", "beta", "--to", "base", "--destroy", "beta_1")
    assert [json.loads(line)["step"] for line in back.stdout.splitlines() if '"undone"' in line] == [4, 2]
