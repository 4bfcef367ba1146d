"""The migrations run on every PostgreSQL that is to be had, and what was not to be had is said."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from apportion_dev.local.postgres_binaries import BINARY_FOLDER_SETTING
from apportion_dev.testing import servers, versions
from apportion_dev.testing.servers import PackagedPostgres, choose_postgres
from apportion_dev.testing.versions import FOLDERS_SETTING, describe_oldest, find_version

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = Path("scripts/test_matrix.sh")


def programs(folder: Path, version: str) -> Path:
    """A folder whose programs say that they are of a version."""
    folder.mkdir(parents=True)
    write_program(folder / "postgres", f'echo "postgres (PostgreSQL) {version}"')
    write_program(folder / "initdb", "exit 1")
    return folder


def write_program(file: Path, body: str) -> None:
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the system's versions lie: nothing is there yet."""
    folder = tmp_path / "system"
    monkeypatch.setattr(versions, "_SYSTEM_FOLDERS", {folder: "{}/bin"})
    return folder


def test_a_version_is_found_where_it_is_named_before_the_system_has_it(system: Path, tmp_path: Path) -> None:
    theirs = programs(system / "16/bin", "16.1")
    newer, ours = programs(tmp_path / "a", "17.2"), programs(tmp_path / "b", "16.9")
    environ = {FOLDERS_SETTING: f"{newer}{os.pathsep}{ours}"}
    found = find_version(16, environ)
    assert found is not None
    assert (found.bin, found.version) == (ours, "16.9")
    unnamed = find_version(16, {})
    assert unnamed is not None
    assert unnamed.bin == theirs


def test_programs_of_another_version_are_not_taken_for_the_one_that_is_asked_for(system: Path) -> None:
    programs(system / "15/bin", "14.9")
    programs(system / "16/bin", "17.0")
    assert find_version(15, {}) is None
    assert find_version(16, {}) is None


def test_the_test_header_says_where_the_oldest_version_is_or_that_nothing_runs_on_it(system: Path) -> None:
    assert describe_oldest({}).startswith("PostgreSQL 15: not found, not run")
    folder = programs(system / "15/bin", "15.4")
    assert describe_oldest({}).startswith(f"PostgreSQL 15: 15.4 in {folder}, on which `make test` runs")


def test_named_programs_are_used_although_containers_are_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "docker_answers", lambda: True)
    environ = {BINARY_FOLDER_SETTING: str(programs(tmp_path / "named", "15.4"))}
    chosen = choose_postgres(lambda: tmp_path, environ)
    assert isinstance(chosen, PackagedPostgres)
    assert chosen.description.startswith("15.4 from")
    assert not isinstance(choose_postgres(lambda: tmp_path, {}), PackagedPostgres)


def matrix(folder: Path, found: str, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines of the script where these versions are found; tests fail on 16 and say on what they ran."""
    (folder / SCRIPT.parent).mkdir()
    shutil.copy(ROOT / SCRIPT, folder / SCRIPT)
    (folder / ".venv/bin").mkdir(parents=True)
    write_program(folder / ".venv/bin/python", f"printf '{found}'")
    ran = 'echo "ran on $APPORTION_POSTGRES_BIN${APPORTION_TEST_POSTGRES_ADMIN_URL:-}"'
    write_program(folder / ".venv/bin/pytest", f'cat >/dev/null; {ran}; test "$APPORTION_POSTGRES_BIN" != /16')
    environ = {**os.environ, "APPORTION_TEST_POSTGRES_ADMIN_URL": "postgresql://elsewhere"}
    done = subprocess.run(
        ["sh", str(folder / SCRIPT), *arguments], env=environ, capture_output=True, text=True, check=False
    )
    return done.returncode, [line for line in done.stdout.splitlines() if line]


def test_each_version_that_is_found_is_run_and_those_that_are_not_are_named(tmp_path: Path) -> None:
    code, said = matrix(tmp_path, r"15 /15\n16\n17\n18 /18\n")
    assert code == 0
    assert [line for line in said if line.startswith("ran")] == ["ran on /15", "ran on /18"]
    assert said[-2:] == ["== PostgreSQL 16: not found, not run", "== PostgreSQL 17: not found, not run"]


def test_a_failure_on_one_version_does_not_keep_the_others_from_being_run(tmp_path: Path) -> None:
    code, said = matrix(tmp_path, r"15 /15\n16 /16\n17\n18 /18\n")
    assert code == 1
    assert [line for line in said if line.startswith("ran")] == ["ran on /15", "ran on /16", "ran on /18"]
    assert said[-1] == "== failed on PostgreSQL 16"


def test_the_oldest_version_alone_is_run_where_it_is_found(tmp_path: Path) -> None:
    code, said = matrix(tmp_path, r"15 /15\n16 /16\n", "oldest")
    assert (code, said) == (0, ["== the migrations on PostgreSQL 15", "ran on /15"])


def test_an_oldest_version_that_is_not_found_is_said_and_is_no_failure(tmp_path: Path) -> None:
    assert matrix(tmp_path, r"15\n16 /16\n", "oldest") == (0, ["== PostgreSQL 15: not found, not run"])
