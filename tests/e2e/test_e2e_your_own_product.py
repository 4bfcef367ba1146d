"""A newcomer's pages, command by command: what a page says that a command prints is what it prints.

In a block of `console`, a line after `$ ` is a command, and the lines up to the next one are what it prints: `‹…›` for
what differs from run to run, a line of `…` alone for any lines. A block below `<!-- file: NAME -->` is that file.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from apportion_dev.stack.environment import machine_environment
from harness import ROOT

PAGE = ROOT / "docs" / "your-own-product.md"
README = ROOT / "README.md"
EXAMPLE = ROOT / "examples" / "own-product"
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Command:
    """A command of a page, and the lines that it prints there."""

    line: str
    printed: list[str]


def commands(page: Path) -> list[Command]:
    """Every command of a page, in its order."""
    found: list[Command] = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["kind"] != "console":
            continue
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                found.append(Command(line.removeprefix("$ "), []))
            else:
                found[-1].printed.append(line.rstrip())
    return found


def files(page: Path) -> dict[str, str]:
    """The files that a page has its reader write, by name."""
    blocks = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return {block["file"]: block["text"] for block in blocks if block["file"]}


def pattern(printed: list[str]) -> re.Pattern[str]:
    """What matches the lines that a command is said to print, without the blanks at their ends."""
    lines = (r"(?:.*\n)*?" if line == "…" else re.sub(r"‹[^›]*›", r".+?", re.escape(line)) + r"\n" for line in printed)
    return re.compile("".join(lines))


class Checkout:
    """A folder that looks like a fresh checkout, in which a page's commands run one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for entry in ROOT.iterdir():
            if entry.name not in (".local", ".git", "own"):
                (folder / entry.name).symlink_to(entry)

    async def run(self, command: str) -> tuple[int, str, str]:
        """Exit code, and what the command printed on stdout and on stderr."""
        environment = machine_environment()
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        process = await asyncio.create_subprocess_shell(
            command,
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def follow(self, page: Path) -> None:
        """Write a page's files and run its commands; fails at the first that prints something else."""
        for name, text in files(page).items():
            file = self.folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        for command in commands(page):
            code, out, err = await self.run(command.line)
            assert code == 0, f"{command.line} ended with {code}:\n{out}{err}"
            said = "".join(f"{line.rstrip()}\n" for line in out.splitlines())
            expected = "\n".join(command.printed)
            assert pattern(command.printed).fullmatch(said), f"$ {command.line}\n{said}\nis not\n{expected}\n{err}"


@pytest_asyncio.fixture(loop_scope="session")
async def checkout(tmp_path: Path) -> AsyncIterator[Checkout]:
    """A checkout whose stack, if one is up, ends with the test."""
    made = Checkout(tmp_path)
    yield made
    await made.run("apportion stack down")


@pytest.mark.parametrize("page", [PAGE, README], ids=lambda page: page.name)
async def test_every_command_of_the_page_prints_what_the_page_says(checkout: Checkout, page: Path) -> None:
    assert len(commands(page)) >= 10
    await checkout.follow(page)


def test_the_readmes_files_are_those_of_the_page() -> None:
    written = {Path(name).name: text for name, text in files(PAGE).items()}
    assert written == {file.name: file.read_text(encoding="utf-8") for file in EXAMPLE.iterdir()}


def test_nobody_has_to_type_an_id() -> None:
    uuid = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)
    assert not [page.name for page in (PAGE, README) if uuid.search(page.read_text(encoding="utf-8"))]
