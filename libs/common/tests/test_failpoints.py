"""Places where a test can kill the process: only when armed, only where tests run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apportion_common import failpoints

PLACE = failpoints.register("toy.before_commit")
PROGRAM = """
from apportion_common import failpoints
failpoints.register("toy.before_commit")
failpoints.register("toy.after_commit")
failpoints.arm({spec!r}, "test")
for turn in range(5):
    failpoints.hit("toy.after_commit", turn=turn)
    failpoints.hit("toy.before_commit", turn=turn, lane=3)
    print(turn, flush=True)
"""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None, "test")


def test_an_armed_place_kills_the_process_at_its_pass_and_says_so() -> None:
    program = PROGRAM.format(spec="toy.before_commit:3")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["0", "1"]
    assert json.loads(ended.stderr) == {"fail_point": PLACE, "action": "SIGKILL", "turn": 2, "lane": 3}


def test_a_stopped_process_goes_on_when_it_is_told_to() -> None:
    program = PROGRAM.format(spec="toy.before_commit:2:stop")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["action"] == "SIGSTOP"
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.split() == [b"0", b"1", b"2", b"3", b"4"]


def test_a_place_that_is_not_armed_does_nothing() -> None:
    failpoints.hit(PLACE)
    assert PLACE in failpoints.KNOWN


def test_arming_is_refused_in_production_and_for_unknown_places() -> None:
    for environment in ("production", "staging"):
        with pytest.raises(ValueError, match="refused"):
            failpoints.arm(PLACE, environment)
    with pytest.raises(ValueError, match="none of"):
        failpoints.arm("toy.nowhere", "test")
    failpoints.hit(PLACE)


@pytest.mark.parametrize("spec", ["", ":1", "a:0", "a:x", "a:1:stop:2", "a:stop:1", "a:1:2", "a@", "@/tmp/now"])
def test_a_malformed_setting_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="does not read"):
        failpoints.parse(spec)


def test_pass_and_signal_may_be_left_out() -> None:
    assert failpoints.parse("a.b") == ("a.b", 1, signal.SIGKILL, None)
    assert failpoints.parse("a.b:stop") == ("a.b", 1, signal.SIGSTOP, None)
    assert failpoints.parse("a.b:4:kill") == ("a.b", 4, signal.SIGKILL, None)
    assert failpoints.parse("a.b:2:stop@/tmp/a:b") == ("a.b", 2, signal.SIGSTOP, Path("/tmp/a:b"))


def test_a_place_with_a_file_kills_only_once_the_file_is_there(tmp_path: Path) -> None:
    gate = tmp_path / "now"
    program = [sys.executable, "-c", PROGRAM.format(spec=f"toy.before_commit:2@{gate}")]
    before = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    gate.touch()
    after = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (before.returncode, before.stdout.split()) == (0, ["0", "1", "2", "3", "4"])
    assert (after.returncode, after.stdout.split()) == (-signal.SIGKILL, ["0"])
