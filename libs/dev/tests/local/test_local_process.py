"""Children never outlive their supervisor, and end when they are told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from apportion_dev.local.process import ChildProcess, ChildSpec, process_exists

WAIT_S = 60

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
SLEEPER = "import time; print('on', flush=True); time.sleep(600)"

SUPERVISOR = """
import sys, time
from pathlib import Path
from apportion_dev.local.process import ChildProcess, ChildSpec

folder, program = Path(sys.argv[1]), sys.argv[2]
children = [
    ChildProcess(ChildSpec(str(n), [sys.executable, "-c", program], {}, folder / f"{n}.log")) for n in range(3)
]
for child in children:
    child.start()
while not all(child.tail(1) == "on" for child in children):
    time.sleep(0.02)
children[0].pause()
print(*(child.pid for child in children), flush=True)
mode = sys.argv[3]
if mode == "sleep":
    time.sleep(600)
elif mode == "raise":
    raise RuntimeError("an accident")
"""


def child(folder: Path, program: str, grace_s: int = WAIT_S) -> ChildProcess:
    return ChildProcess(ChildSpec("child", [sys.executable, "-c", program], {}, folder / "child.log", grace_s=grace_s))


def wait_for_word(process: ChildProcess, word: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while word not in process.tail(5):
        assert time.monotonic() < deadline, f"{word} was never logged"
        time.sleep(0.02)


def all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while any(process_exists(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def supervised(folder: Path, mode: str) -> tuple[subprocess.Popen[str], list[int]]:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder), STUBBORN, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert supervisor.stdout is not None
    return supervisor, [int(pid) for pid in supervisor.stdout.readline().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stubborn_and_paused_children_die_with_a_supervisor_that_is_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    supervisor, pids = supervised(tmp_path, "sleep")
    assert len(pids) == 3
    supervisor.send_signal(number)
    supervisor.communicate(timeout=WAIT_S)
    assert all_gone(pids)


@pytest.mark.parametrize("mode", ["raise", "return"])
def test_children_die_with_a_supervisor_that_ends_without_stopping_them(tmp_path: Path, mode: str) -> None:
    supervisor, pids = supervised(tmp_path, mode)
    supervisor.communicate(timeout=WAIT_S)
    assert len(pids) == 3
    assert all_gone(pids)


def test_a_terminals_ctrl_c_does_not_reach_a_child(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEPER)
    process.start()
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    process = child(tmp_path, STUBBORN, grace_s=1)
    process.start()
    wait_for_word(process, "on")
    assert process.stop() == -signal.SIGKILL


def test_a_paused_child_can_still_be_stopped(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEPER)
    process.start()
    wait_for_word(process, "on")
    process.pause()
    assert process.alive
    assert process.stop() == -signal.SIGTERM


def test_the_log_keeps_every_life_and_the_tail_shows_the_last_one_alone(tmp_path: Path) -> None:
    for word in ("first", "second"):
        process = child(tmp_path, f"print('{word}')")
        process.start()
        assert process.wait(WAIT_S) == 0
    assert process.tail(10) == "second"
    assert (tmp_path / "child.log").read_text(encoding="utf-8") == "first\nsecond\n"


def test_a_child_gets_only_the_environment_it_is_given(tmp_path: Path) -> None:
    process = child(tmp_path, "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))")
    process.start()
    process.wait(WAIT_S)
    assert process.tail(1) == "[]"


def test_a_running_child_cannot_be_started_twice(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEPER)
    process.start()
    with pytest.raises(RuntimeError, match="running already"):
        process.start()
    process.kill()


COUNTER = """
import signal, sys, time
seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
print("on", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.3)
sys.exit(len(seen))
"""


def test_a_child_is_asked_to_stop_only_once(tmp_path: Path) -> None:
    process = child(tmp_path, COUNTER)
    process.start()
    wait_for_word(process, "on")
    process.request_stop()
    time.sleep(0.1)
    assert process.stop() == 1
