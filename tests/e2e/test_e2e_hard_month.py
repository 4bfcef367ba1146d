"""The hard month through the commands themselves, as a person types them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from apportion_cli.exit_codes import USAGE_REFUSED
from apportion_client.local_stack import DATA_FOLDER_SETTING
from apportion_dev.stack.environment import machine_environment
from harness import HARD_MONTH

APPORTION = Path(sys.executable).parent / "apportion"
SCENARIO = str(HARD_MONTH / "scenario.json")
EVENTS = str(HARD_MONTH / "events.csv.gz")
WEEKS = ("2013-W01", "2013-W02", "2013-W03", "2013-W04", "2013-W05")


class Shell:
    """Runs commands against the stack of one folder."""

    def __init__(self, folder: Path) -> None:
        self.environment = machine_environment() | {DATA_FOLDER_SETTING: str(folder)}

    async def run(self, *words: str) -> tuple[int, str]:
        """Exit code and everything that the command said."""
        process = await asyncio.create_subprocess_exec(
            APPORTION,
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def __call__(self, *words: str) -> str:
        """What a command says that must succeed."""
        code, said = await self.run(*words)
        assert code == 0, f"apportion {' '.join(words)} ended with {code}:\n{said[-4_000:]}"
        return said


@pytest_asyncio.fixture(loop_scope="session")
async def apportion(tmp_path: Path) -> AsyncIterator[Shell]:
    """The command, with a stack of its own up."""
    shell = Shell(tmp_path / "stack")
    await shell("stack", "up")
    yield shell
    await shell("stack", "down")


def right(said: str, section: str) -> int:
    """How many figures of a section were compared, all of them right."""
    found = re.search(rf"^{section}: ([\d,]+) of ([\d,]+) figures are right$", said, re.MULTILINE)
    assert found, f"no section {section} in:\n{said[:2_000]}"
    assert found[1] == found[2], said
    return int(found[1].replace(",", ""))


async def test_every_figure_of_the_hard_month_is_right_by_the_commands(apportion: Shell) -> None:
    await apportion("apply", SCENARIO)
    assert "0 rejected" in await apportion("ingest", EVENTS, "--send-unknown")
    code, said = await apportion.run("status", "--wait", "60")
    assert (code, "drained" in said, "35 dead letters open" in said) == (USAGE_REFUSED, True, True), said
    await apportion("sweep", *WEEKS)
    await apportion("close", "2013-01", "--all")
    assert "largest remainder" not in await apportion("invoice", "2013-01", "--finalize")
    said = await apportion("verify", SCENARIO, EVENTS)
    assert "figures are right." in said
    assert right(said, "dead_letters") == 35
    assert right(said, "duplicates") == 72
    assert right(said, "lines") == 200
    assert right(said, "lines_sha256") == 1
    for section in ("counts", "by_org_sku", "gross_total", "partners", "accounts"):
        assert right(said, section) > 0

    digest = await apportion("digest")
    code, again = await apportion.run("ingest", EVENTS, "--ack", "committed", "--send-unknown")
    assert (code, "0 accepted" in again) == (USAGE_REFUSED, True), again
    assert "drained" in await apportion("status", "--wait", "60", "--allow-dead-letters")
    await apportion("apply", SCENARIO)
    assert await apportion("digest") == digest
    assert "figures are right." in await apportion("verify", SCENARIO, EVENTS, "--brief")


async def test_a_command_without_a_stack_says_so_in_one_sentence(tmp_path: Path) -> None:
    code, said = await Shell(tmp_path / "nothing").run("status")
    assert code == 1
    assert "No local stack is up" in said
    assert "Traceback" not in said
