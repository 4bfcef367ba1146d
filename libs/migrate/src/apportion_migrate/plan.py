"""The ordered plan: which revision of which service comes when, and in which installed package it lies."""

from __future__ import annotations

import importlib.util
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

PLAN_FILE: Final = Path(__file__).with_name("plan.toml")
"""The plan that is installed with this package."""
PLAN_SETTING: Final = "APPORTION_MIGRATION_PLAN"
"""The environment variable that names another plan file, for a rehearsal."""
BASE: Final = "base"
"""The state before the first step, as Alembic calls it too."""

_STEP_KEYS: Final = frozenset({"title", "service", "baseline", "revision"})


class PlanError(RuntimeError):
    """The plan file is missing or malformed, or does not agree with the services' revisions."""


@dataclass(frozen=True, slots=True)
class Step:
    """One revision of one service in its place of the whole plan; numbers begin at 1."""

    number: int
    title: str
    service: str
    revision: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their only order: every service's baseline first, then the plan's revisions.

    A part of it, for some of the services, has their steps alone, with the numbers of the whole.
    """

    file: Path
    steps: tuple[Step, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """The services in the order in which the plan first names them."""
        return tuple(dict.fromkeys(step.service for step in self.steps))

    def part(self, services: Collection[str]) -> Plan:
        """Return the plan of some of its services alone; PlanError for a service that it does not have, or for none."""
        strangers = sorted(set(services) - set(self.services))
        if strangers or not services:
            named = ", ".join(strangers) or "nothing"
            raise PlanError(f"The plan has no service {named}; it has {', '.join(self.services)}.")
        return replace(self, steps=tuple(step for step in self.steps if step.service in services))

    def steps_to(self, revision: str | None) -> tuple[Step, ...]:
        """Return the steps up to a revision and its own, all for None; PlanError when the plan has no such revision."""
        if revision is None:
            return self.steps
        return self.steps[: self.steps.index(self.step(revision)) + 1]

    def steps_beyond(self, revision: str) -> tuple[Step, ...]:
        """Return the steps after a revision, all for BASE; PlanError when the plan has no such revision."""
        return self.steps if revision == BASE else self.steps[self.steps.index(self.step(revision)) + 1 :]

    def steps_of(self, service: str) -> tuple[Step, ...]:
        """Return the steps of one service, in the plan's order."""
        return tuple(step for step in self.steps if step.service == service)

    def step(self, revision: str) -> Step:
        """Return the step to a revision; PlanError when the plan has none."""
        for step in self.steps:
            if step.revision == revision:
                return step
        known = ", ".join(step.revision for step in self.steps)
        raise PlanError(f"The plan has no revision {revision}; it has {known}.")

    def alembic_config(self, service: str) -> Config:
        """Return a fresh Alembic configuration of a service's environment; PlanError when it is not installed."""
        return alembic_config(service)

    def script(self, service: str) -> ScriptDirectory:
        """Return the revisions of a service."""
        return ScriptDirectory.from_config(self.alembic_config(service))

    def revision_of(self, step: Step) -> Script:
        """Return a step's revision as Alembic has loaded it."""
        return self.script(step.service).get_revision(step.revision)

    def check(self) -> None:
        """See that every service is installed with one line of revisions, and that the steps walk each to its end.

        Raises PlanError naming what is amiss.
        """
        self.require_installed()
        for service in self.services:
            planned = [step.revision for step in self.steps_of(service)]
            try:
                walk = list(self.script(service).walk_revisions())
            except CommandError as error:
                raise PlanError(f"The revisions of {service} are no one line: {error}") from error
            present = [script.revision for script in reversed(walk)]
            if any(script.is_branch_point or script.is_merge_point for script in walk):
                raise PlanError(f"The revisions of {service} are no one line.")
            if planned != present:
                raise PlanError(f"The plan has {planned} for {service}, whose revisions are {present}.")

    def require_installed(self) -> None:
        """See that every service's package is installed; PlanError names all that are not."""
        missing = [package_name(service) for service in self.services if _installed_folder(service) is None]
        if missing:
            raise PlanError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: install what the plan"
                " names, or say with --service which of the services are meant."
            )


def package_name(service: str) -> str:
    """Return the name of a service's package, as it is imported."""
    return f"apportion_{service}"


def package_folder(service: str) -> Path:
    """Return the folder of a service's installed package; PlanError when there is none.

    The package is found and not imported: migrations need nothing of it but its tables.
    """
    folder = _installed_folder(service)
    if folder is None:
        raise PlanError(f"The plan names {service}, but the package {package_name(service)} is not installed.")
    return folder


def _installed_folder(service: str) -> Path | None:
    """Return the folder of a service's package, None when it is not installed."""
    spec = importlib.util.find_spec(package_name(service))
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def alembic_config(service: str) -> Config:
    """Return a fresh Alembic configuration of a service's migrations; PlanError when it has none."""
    folder = package_folder(service) / "migrations"
    if not folder.is_dir():
        raise PlanError(f"The plan names {service}, but there is no {folder}.")
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s")
    return config


def load_plan(file: Path | None = None) -> Plan:
    """Read a plan: the file, else what APPORTION_MIGRATION_PLAN names, else the installed one.

    Raises PlanError when it is malformed or names a revision twice.
    """
    if file is None:
        named = os.environ.get(PLAN_SETTING)
        file = Path(named) if named else PLAN_FILE
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"{file} cannot be read: {error}") from error
    entries = [_entry(table, file) for table in document.get("step", [])]
    if not entries:
        raise PlanError(f"{file} has no steps.")
    baselines = dict.fromkeys((entry["service"], entry["baseline"]) for entry in entries)
    ordered = [("Baseline", service, baseline) for service, baseline in baselines]
    ordered += [(entry["title"], entry["service"], entry["revision"]) for entry in entries]
    if len({(service, revision) for _, service, revision in ordered}) != len(ordered):
        raise PlanError(f"{file} names a revision twice.")
    steps = (Step(number, *fields) for number, fields in enumerate(ordered, start=1))
    return Plan(file, tuple(steps))


def _entry(table: Mapping[str, object], file: Path) -> dict[str, str]:
    """Return one step of the file, with exactly the keys it must have."""
    texts = {key: value for key, value in table.items() if isinstance(value, str) and value}
    if set(table) != _STEP_KEYS or len(texts) != len(table):
        raise PlanError(f"A step of {file} must have {', '.join(sorted(_STEP_KEYS))} as text, and nothing else.")
    return texts
