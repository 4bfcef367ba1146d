"""Where the code stands, read as syntax trees: what the house rules look at."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from apportion_common.settings import SERVICES

ROOT = Path(__file__).resolve().parents[2]
COMMON = ROOT / "libs" / "common" / "src" / "apportion_common"
CLI = ROOT / "libs" / "cli" / "src" / "apportion_cli"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One module of the product."""

    path: Path
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        """Where a node stands, to be read in a failure."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def package(service: str) -> Path:
    """The folder of a service's package."""
    return ROOT / "services" / service / "src" / f"apportion_{service}"


@cache
def _parsed(path: Path) -> Source:
    return Source(path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def sources(*places: Path) -> list[Source]:
    """The modules below some folders, or modules themselves, in order."""
    files = {file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))}
    return [_parsed(file) for file in sorted(files)]


def product() -> list[Source]:
    """Every module that runs in production, and the command line."""
    return sources(COMMON, CLI, *(package(service) for service in SERVICES))


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods of a tree."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; an empty text for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else f"?.{node.attr}"
    return ""


def tracked_files() -> list[Path]:
    """Every file of the repository that git knows of or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def expect_none(found: Iterable[str]) -> None:
    """Fail with one violation a line, unless there is none."""
    listed = sorted(found)
    assert not listed, "\n" + "\n".join(listed)
