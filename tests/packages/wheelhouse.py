"""The workspace's wheels, and virtual environments with some of them and what those declare: nothing else, no network.

Third-party packages are those of the running environment, which the lock file made: their files are linked, package by
package along the declared requirements, so that an undeclared one is missing.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes
from importlib.util import cache_from_source
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
BUILD_TIMEOUT_S = 300
OURS = "apportion-"


@dataclass(frozen=True)
class Wheels:
    """The wheels of the workspace, by the name of their distribution."""

    files: dict[str, Path]

    def requirements(self, name: str) -> list[Requirement]:
        """Return what a wheel declares that it needs, on this machine and without extras."""
        with ZipFile(self.files[name]) as wheel:
            (metadata,) = [entry for entry in wheel.namelist() if entry.endswith(".dist-info/METADATA")]
            lines = message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist", [])
        return _that_apply(lines, extras=[""])

    def closure(self, names: Iterable[str]) -> list[str]:
        """Return the wheels that these need of the workspace, themselves among them."""
        found: list[str] = []
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.append(name)
                waiting += [need.name for need in self.requirements(name) if need.name.startswith(OURS)]
        return sorted(found)


@dataclass(frozen=True)
class Installed:
    """A virtual environment with some of the wheels."""

    folder: Path
    wheels: list[str]
    third_party: list[str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, with no other variables than a search path and those given."""
        return subprocess.run(
            [self.folder / "bin" / words[0], *words[1:]],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **(environ or {})},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )


def build_wheels(folder: Path) -> Wheels:
    """Build every wheel of the workspace."""
    _uv("build", "--wheel", "--all-packages", "--out-dir", str(folder), cwd=ROOT)
    files = {canonicalize_name(file.name.partition("-")[0]): file for file in folder.glob("*.whl")}
    return Wheels(dict(files))


def install(wheels: Wheels, folder: Path, *names: str) -> Installed:
    """Make a virtual environment with these wheels and all that they declare."""
    venv.create(folder, symlinks=True)
    ours = wheels.closure(names)
    third_party = _third_party(need for name in ours for need in wheels.requirements(name))
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for name in third_party:
        _link(importlib.metadata.distribution(name), site)
    python = str(folder / "bin" / "python")
    _uv("pip", "install", "--python", python, "--no-index", "--no-deps", *(str(wheels.files[name]) for name in ours))
    _uv("pip", "check", "--python", python)
    return Installed(folder, ours, third_party)


def _third_party(needs: Iterable[Requirement]) -> list[str]:
    """The distributions of the running environment that requirements lead to, but for the workspace's own."""
    waiting = [(need.name, extra) for need in needs for extra in ("", *need.extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        key = (canonicalize_name(name), extra)
        if key in seen or key[0].startswith(OURS):
            continue
        seen.add(key)
        lines = importlib.metadata.distribution(name).requires or []
        waiting += [(need.name, wanted) for need in _that_apply(lines, [extra]) for wanted in ("", *need.extras)]
    return sorted({name for name, _ in seen})


def _that_apply(lines: Iterable[str], extras: list[str]) -> list[Requirement]:
    """The requirements whose markers hold on this machine, with one of the extras ("" for none)."""
    needs = [Requirement(line) for line in lines]
    return [
        need for need in needs if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def _link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Link a distribution's files and what bytecode there is of them; not its scripts, which name an interpreter."""
    for file in distribution.files or []:
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        source = Path(str(distribution.locate_file(file)))
        places = [(source, site / file)]
        if source.suffix == ".py":
            places.append((Path(cache_from_source(str(source))), Path(cache_from_source(str(site / file)))))
        for there, here in places:
            if there.exists():
                here.parent.mkdir(parents=True, exist_ok=True)
                here.symlink_to(there)


def _uv(*words: str, cwd: Path | None = None) -> None:
    """Run uv without the network; its own words are the failure's."""
    done = subprocess.run(
        [UV, *words, "--offline", "--quiet"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"uv {' '.join(words[:2])}:\n{done.stdout}{done.stderr}"
