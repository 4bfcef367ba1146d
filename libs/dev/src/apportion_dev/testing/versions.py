"""Which PostgreSQL versions this machine has, for the tests that run on several of them.

`python -m apportion_dev.testing.versions` prints a line for each version that the product supports: its number, and
the folder of its programs where it was found. `scripts/test_matrix.sh` reads them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from apportion_dev.local.postgres_binaries import (
    BINARY_FOLDER_SETTING,
    PostgresBinaries,
    PostgresNotFoundError,
    find_postgres,
)

SUPPORTED: Final = (15, 16, 17, 18)
"""The major versions that the migrations are tested on, oldest first."""
OLDEST: Final = SUPPORTED[0]
FOLDERS_SETTING: Final = "APPORTION_POSTGRES_BINS"
"""Folders of programs that are looked at first, separated as in PATH."""
_SYSTEM_FOLDERS: Final = {
    Path("/usr/lib/postgresql"): "{}/bin",
    Path("/usr"): "pgsql-{}/bin",
    Path("/usr/local/opt"): "postgresql@{}/bin",
    Path("/opt/homebrew/opt"): "postgresql@{}/bin",
}


def find_version(major: int, environ: Mapping[str, str] = os.environ) -> PostgresBinaries | None:
    """Return the first programs of a major version that run here: named, packaged, or the system's; None without
    any.
    """
    for environment in _places(major, environ):
        try:
            found = find_postgres(environment)
        except PostgresNotFoundError:
            continue
        if found.major == major:
            return found
    return None


def describe_oldest(environ: Mapping[str, str] = os.environ) -> str:
    """Return a line of the test header: where the oldest version lies, or that nothing runs on it."""
    found = find_version(OLDEST, environ)
    if found is None:
        return f"PostgreSQL {OLDEST}: not found, not run; {FOLDERS_SETTING} names folders to look in"
    return f"PostgreSQL {OLDEST}: {found.version} in {found.bin}, on which `make test` runs the migrations' gates too"


def _places(major: int, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield environments for `find_postgres`, each of which leads it to one place."""
    named = environ.get(FOLDERS_SETTING, "").split(os.pathsep)
    for folder in (*named, environ.get(BINARY_FOLDER_SETTING, "")):
        if folder:
            yield {BINARY_FOLDER_SETTING: folder}
    yield {}
    for prefix, pattern in _SYSTEM_FOLDERS.items():
        yield {BINARY_FOLDER_SETTING: str(prefix / pattern.format(major))}


def main() -> None:
    """Print what was found."""
    for major in SUPPORTED:
        found = find_version(major)
        sys.stdout.write(f"{major} {found.bin if found else ''}".rstrip() + "\n")


if __name__ == "__main__":
    main()
