"""The commands, as processes of their own, on a stack of stand-ins: nothing is ever left running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import apportion_migrate
import pytest
from apportion_client.local_stack import READY, StackState, running_state, running_supervisor
from apportion_client.settings import SERVICES
from apportion_dev.local.process import process_exists
from apportion_dev.stack.layout import Layout

pytestmark = pytest.mark.stack

FAKE = Path(__file__).with_name("fake_service.py")
WAIT_S = 120
CLI = [sys.executable, "-c", "from apportion_dev.stack.commands import app; app()"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with stand-ins for the packages that the stack starts, put before the real ones."""
    path = Path(tempfile.mkdtemp(prefix="apportion-test-"))
    path.chmod(0o711)
    packages = path / "packages"
    for service in SERVICES:
        package = packages / f"apportion_{service}"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        main = (
            f"import runpy, sys\nsys.argv = ['fake', '{service}']\nrunpy.run_path({str(FAKE)!r}, run_name='__main__')\n"
        )
        (package / "__main__.py").write_text(main, encoding="utf-8")
    overlay = packages / "apportion_migrate"
    overlay.mkdir()
    real = str(Path(apportion_migrate.__file__).parent)
    (overlay / "__init__.py").write_text(f"__path__.append({real!r})\n", encoding="utf-8")
    (overlay / "command.py").write_text("print('migrated')\n", encoding="utf-8")
    yield path
    down = subprocess.run([*CLI, "down"], env=environment(path), check=False, capture_output=True, text=True)
    assert down.returncode == 0, down.stderr
    shutil.rmtree(path)


def environment(folder: Path, **more: str) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(folder / "packages"),
        "APPORTION_LOCAL_DIR": str(folder / "data"),
        "TMPDIR": "/tmp",
        **more,
    }


def cli(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        env=environment(folder, **more),
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        stdin=subprocess.DEVNULL,
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "It never came true."
        time.sleep(0.05)


def wait_ready(layout: Layout) -> StackState:
    def ready() -> bool:
        found = running_state(layout.root)
        return found is not None and found.phase == READY

    until(ready)
    state = running_state(layout.root)
    assert state is not None
    return state


def none_left(state: StackState) -> bool:
    return not any(process_exists(pid) for pid in [*state.pids.values(), state.supervisor_pid])


def test_up_is_idempotent_guides_and_shows_no_secret_and_down_ends_everything(folder: Path) -> None:
    layout = Layout(folder / "data")
    first = cli(folder, "up")
    assert first.returncode == 0, first.stderr
    state = wait_ready(layout)
    again = cli(folder, "up")
    assert again.stdout == first.stdout
    for expected in (
        *state.addresses.values(),
        "apportion call apportion.metering.v1",
        "import grpc",
        state.token_file,
    ):
        assert expected in first.stdout
    secret = Path(state.token_file).read_text(encoding="ascii")
    assert secret not in first.stdout
    shown = cli(folder, "status")
    assert shown.returncode == 0
    assert state.smtp_address in shown.stdout
    assert "serving" in cli(folder, "logs", "ledger").stdout
    assert cli(folder, "logs", "billing").returncode == 1
    assert cli(folder, "token", "--org", str(uuid4()), "--role", "Admin").stdout.count(".") == 2
    assert cli(folder, "down").returncode == 0
    assert none_left(state)
    assert cli(folder, "down").returncode == 0
    assert cli(folder, "status").returncode == 1


@pytest.mark.parametrize("mode", [0o711, 0o700], ids=["a folder that all can enter", "a private folder"])
def test_nothing_is_left_in_the_temporary_folder_and_the_data_stays(folder: Path, mode: int) -> None:
    temporary, home = folder / "temporary", folder / "home"
    temporary.mkdir(mode=0o755)
    home.mkdir(mode=mode)
    places = {"TMPDIR": str(temporary), "APPORTION_LOCAL_DIR": str(home / "data")}
    made: set[int] = set()
    for _ in range(2):
        try:
            up = cli(folder, "up", **places)
            assert up.returncode == 0, up.stderr
        finally:
            assert cli(folder, "down", **places).returncode == 0
        assert list(temporary.iterdir()) == []
        made.add((home / "data" / "postgres" / "data" / "PG_VERSION").stat().st_mtime_ns)
    assert len(made) == 1, "The second life has the data of the first."
    done = cli(folder, "exec", "--", "true", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []


def test_up_says_what_it_waits_for_and_no_longer_than_the_setting_allows(folder: Path) -> None:
    slow = folder / "packages" / "apportion_orgs" / "__main__.py"
    served = slow.read_text(encoding="utf-8")
    slow.write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    late = cli(folder, "up", APPORTION_READY_TIMEOUT_S="8")
    assert late.returncode == 1
    assert "orgs still starting (load " in late.stderr
    # On a machine with more to do than it can, the limit is longer, and is said.
    assert re.search(r"orgs was not ready within \d+ s \([^)]*APPORTION_READY_TIMEOUT_S", late.stderr), late.stderr
    slow.write_text(served, encoding="utf-8")
    up = cli(folder, "up")
    assert (up.returncode, "Waiting until identity, " in up.stderr) == (0, True)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon"])
def test_a_wrong_time_to_get_ready_is_refused(folder: Path, text: str) -> None:
    for command in (["up"], ["run"], ["exec", "--", "true"]):
        refused = cli(folder, *command, APPORTION_READY_TIMEOUT_S=text)
        assert refused.returncode == 2
        assert "APPORTION_READY_TIMEOUT_S must be a whole number of seconds above zero" in refused.stderr


def test_nothing_survives_a_killed_supervisor_and_up_starts_again(folder: Path) -> None:
    assert cli(folder, "up").returncode == 0
    state = wait_ready(Layout(folder / "data"))
    os.kill(state.pids["orgs"], signal.SIGSTOP)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    until(lambda: none_left(state))
    assert "No stack is up" in cli(folder, "status").stdout
    assert cli(folder, "up").returncode == 0


def test_a_daemon_whose_service_dies_ends_everything_and_logs_why(folder: Path) -> None:
    assert cli(folder, "up").returncode == 0
    layout = Layout(folder / "data")
    state = wait_ready(layout)
    os.kill(state.pids["pricing"], signal.SIGKILL)
    until(lambda: running_supervisor(layout.root) is None)
    until(lambda: none_left(state))
    assert "pricing died (signal 9)" in layout.log_file("supervisor").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_run_ends_everything_whatever_ends_it(folder: Path, number: signal.Signals) -> None:
    running = subprocess.Popen(
        [*CLI, "run"],
        env=environment(folder, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    state = wait_ready(Layout(folder / "data"))
    # What a killed process has not shown yet is gone with it, so the line is waited for before the signal.
    assert running.stdout is not None
    output = ""
    while "ledger     | 10:00:00.123 INFO serving" not in output:
        line = running.stdout.readline()
        assert line, output
        output += line
    running.send_signal(number)
    output += running.communicate(timeout=WAIT_S)[0]
    assert running.returncode == (-number if number == signal.SIGKILL else 0)
    assert "All features are open" in output
    until(lambda: none_left(state))


def test_run_can_be_interrupted_while_it_starts(folder: Path) -> None:
    layout = Layout(folder / "data")
    running = subprocess.Popen(
        [*CLI, "run"],
        env=environment(folder, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: running_state(layout.root) is not None)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=WAIT_S)
    assert running.returncode == 0
    assert running_supervisor(layout.root) is None


def test_exec_gives_the_commands_exit_code_and_environment_and_leaves_nothing(folder: Path) -> None:
    program = (
        "import os, sys, pathlib; from apportion_client.settings import client_settings as c; s = c();"
        "print(os.environ['APPORTION_LOCAL_DIR'], s.token_file.exists(), s.ca_file.exists(), len(s.addresses));"
        "sys.exit(5)"
    )
    done = cli(folder, "exec", "--", sys.executable, "-c", program)
    assert done.returncode == 5, done.stderr
    where, *rest = done.stdout.split()
    assert rest == ["True", "True", "5"]
    assert where != str(folder / "data")
    assert not Path(where).exists()


def test_exec_in_a_named_folder_keeps_its_data_and_reports_a_missing_command(folder: Path) -> None:
    done = cli(folder, "exec", "--data", str(folder / "kept"), "--", "no-such-command-here")
    assert done.returncode == 1
    assert "no-such-command-here cannot be run" in done.stderr
    assert (folder / "kept" / "postgres" / "data" / "PG_VERSION").exists()
    assert running_supervisor(folder / "kept") is None


def test_a_killed_exec_takes_its_command_with_it(folder: Path) -> None:
    pid_file = folder / "pid"
    program = f"import os, time, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    running = subprocess.Popen(
        [*CLI, "exec", "--data", str(folder / "kept"), "--", sys.executable, "-c", program],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: pid_file.exists() and pid_file.read_text(encoding="ascii") != "")
    state = wait_ready(Layout(folder / "kept"))
    running.kill()
    running.wait()
    until(lambda: none_left(state))
    until(lambda: not process_exists(int(pid_file.read_text(encoding="ascii"))))
