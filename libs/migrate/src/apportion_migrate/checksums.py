"""Applied revisions never change: a checksum of each revision's SQL, in the database and in a checked-in manifest.

The checksum is over everything that a revision runs, both ways: also over what the helpers in `ops` and the shared
tables' DDL contribute, so that a change of a helper shows as a change of every revision that uses it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from apportion_migrate.statements import revision_statements

MANIFEST_FILE: Final = Path("deploy/migration-checksums.json")
CHECKSUM_TABLE: Final = "alembic_version_checksum"
MAIN_BRANCHES: Final = ("origin/main", "main")

CREATE_CHECKSUM_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {CHECKSUM_TABLE} (
    revision text NOT NULL,
    checksum text NOT NULL,
    adopted boolean NOT NULL DEFAULT false,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT {CHECKSUM_TABLE}_pkc PRIMARY KEY (revision)
)
"""
"""Lies beside alembic_version; `adopted` says that the revision's tables stood before and were not made by it."""

_REVISION: Final = re.compile(r"[A-Za-z0-9_.-]+")

Manifest = dict[str, dict[str, str]]
"""Service → revision → checksum."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a database says of a revision that was applied to it."""

    checksum: str
    adopted: bool


def checksum(script: Script, service: str) -> str:
    """Return the checksum of a revision of a service: SHA-256 in hexadecimal over its statements, both ways."""
    digest = hashlib.sha256()
    for way in ("up", "down"):
        for statement in revision_statements(script, service, way):
            digest.update(f"{way}\0{_plain(statement)}\0".encode())
    return digest.hexdigest()


def checksums(script: ScriptDirectory, service: str) -> dict[str, str]:
    """Return the checksum of every revision of a service, from the first on."""
    walk = reversed(list(script.walk_revisions()))
    return {revision.revision: checksum(revision, service) for revision in walk}


def recorded(connection: Connection) -> dict[str, Applied]:
    """Return the checksums that a database has of its applied revisions; empty when it has no table for them."""
    if connection.exec_driver_sql("SELECT to_regclass(%s)", (CHECKSUM_TABLE,)).scalar_one() is None:
        return {}
    rows = connection.exec_driver_sql(f"SELECT revision, checksum, adopted FROM {CHECKSUM_TABLE}")  # noqa: S608
    return {revision: Applied(text, adopted) for revision, text, adopted in rows}


def insert_statement(revision: str, text: str, *, adopted: bool) -> str:
    """Return the statement that records a revision as applied (or adopted) with a checksum."""
    return (
        f"INSERT INTO {CHECKSUM_TABLE} (revision, checksum, adopted) "  # noqa: S608 (checked below)
        f"VALUES ('{_checked(revision)}', '{_checked(text)}', {str(adopted).lower()}) "
        "ON CONFLICT (revision) DO UPDATE SET checksum = excluded.checksum, adopted = excluded.adopted, "
        "applied_at = excluded.applied_at"
    )


def delete_statement(revision: str) -> str:
    """Return the statement that forgets a revision that was undone."""
    return f"DELETE FROM {CHECKSUM_TABLE} WHERE revision = '{_checked(revision)}'"  # noqa: S608


def load_manifest(root: Path) -> Manifest:
    """Return the checked-in checksums; empty when there is no file yet."""
    file = root / MANIFEST_FILE
    if not file.is_file():
        return {}
    return _manifest(file.read_text(encoding="utf-8"))


def merged_manifest(root: Path) -> Manifest:
    """Return the checksums that main has where this checkout left it; empty outside of a repository.

    On main itself that is its last commit but one: what was let in once is never another revision again.
    """
    main = next((name for name in MAIN_BRANCHES if _git(root, "rev-parse", "--verify", "--quiet", name)), "HEAD")
    base = _git(root, "merge-base", "HEAD", main)
    if base and base == _git(root, "rev-parse", "HEAD"):
        base = _git(root, "rev-parse", "--verify", "--quiet", "HEAD~1")
    text = _git(root, "show", f"{base}:{MANIFEST_FILE}") if base else ""
    return _manifest(text) if text else {}


def changed(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return one line for each revision of `before` that is gone or another one `now`; new revisions are no change."""
    return [
        f"{service} {revision}: {'gone' if revision not in now.get(service, {}) else 'changed'}"
        for service, revisions in before.items()
        for revision, text in revisions.items()
        if now.get(service, {}).get(revision) != text
    ]


def _manifest(text: str) -> Manifest:
    return {service: dict(revisions) for service, revisions in json.loads(text).items()}


def _git(root: Path, *arguments: str) -> str:
    """Return what git says of a checkout; empty where it has nothing to say or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _plain(statement: str) -> str:
    """Return a statement without the differences that an editor makes: runs of white space count as one."""
    return " ".join(statement.split())


def _checked(text: str) -> str:
    """Return text that may stand between quotes, checked because it goes into SQL as it is."""
    if _REVISION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no revision.")
    return text
