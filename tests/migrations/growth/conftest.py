"""A copy of the tree, in which a revision can be added."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
PARTS: Final = ("conftest.py", "pyproject.toml", "deploy", "libs", "scripts", "services", "tests")
RUN_TIMEOUT_S: Final = 280


@dataclass(frozen=True)
class Tree:
    """A copy of the tree, whose packages come before the installed ones in every process that it starts."""

    root: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the copy."""
        sources = [*self.root.glob("libs/*/src"), *self.root.glob("services/*/src")]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )

    def scaffold(self, service: str, name: str) -> subprocess.CompletedProcess[str]:
        """Scaffold a revision, as `make new-revision` does."""
        return self.run("scripts/new_revision.py", "--service", service, "--name", name)

    def pytest(self, *arguments: str) -> tuple[int, str]:
        """Run tests of the copy; the exit code and what they said."""
        done = self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Copy what a revision is made of and judged by."""
    root = tmp_path / "tree"
    root.mkdir()

    def ignored(_folder: str, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in ("__pycache__", ".local") or name.endswith(".egg-info")]

    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, root / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, root / part)
    return Tree(root)
