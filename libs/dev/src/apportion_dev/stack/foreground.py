"""Runs a stack in this process until it is told to end: under `run`, under `exec`, and as the daemon of `up`.

`python -m apportion_dev.stack.foreground FOLDER` is that daemon.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from apportion_client.local_stack import StackError
from apportion_client.settings import client_environment

from apportion_dev.local.process import GUARD
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.options import StackOptions
from apportion_dev.stack.supervisor import LocalStack

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CHECK_S = 5.0
"""How often a stack that runs looks whether a signal's exception was lost."""
POLL_S = 0.1
COMMAND_GRACE_S = 15

EXIT_FAILED = 1
EXIT_SIGNAL_BASE = 128


class EndedBySignal(BaseException):
    """A signal asked this process to end; raised in the main thread wherever it stands."""

    def __init__(self, number: int) -> None:
        """Keep which signal it was."""
        super().__init__(f"Ended by {signal.Signals(number).name}.")
        self.number = number


@dataclass
class Ending:
    """Which signal asked this process to end, if one did.

    What the handler raises is lost where the interpreter swallows it (in a finalizer or a callback of the garbage
    collector), so whoever waits for long looks here as well.
    """

    number: int | None = None

    def check(self) -> None:
        """Raise EndedBySignal once a signal has come."""
        if self.number is not None:
            raise EndedBySignal(self.number)


@contextmanager
def ended_by_signals() -> Iterator[Ending]:
    """Raise EndedBySignal on the first Ctrl-C, SIGTERM or SIGHUP; further ones do not disturb the ending."""
    ending = Ending()

    def end(number: int, _frame: FrameType | None) -> None:
        for other in ENDING_SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        ending.number = number
        raise EndedBySignal(number)

    before = {number: signal.signal(number, end) for number in ENDING_SIGNALS}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_stack(layout: Layout, options: StackOptions) -> int:
    """Run a stack until a signal ends it; return 0 for that, 1 when the stack failed."""
    stack = LocalStack(layout, options)
    with ended_by_signals() as ending:
        try:
            stack.start()
            while not stack.failed.wait(CHECK_S):
                ending.check()
        except EndedBySignal as ended:
            options.say(f"{ended} Stopping everything.")
        except StackError as error:
            options.say(str(error))
            return EXIT_FAILED
        finally:
            stack.stop()
    return EXIT_FAILED if stack.failed.is_set() else 0


def run_command(layout: Layout, options: StackOptions, command: Sequence[str], *, keep_data: bool) -> int:
    """Run a command beside a stack of its own; return its exit code, 1 when the stack failed under it.

    Without `keep_data` the data of the stack's servers is deleted at the end.
    """
    stack = LocalStack(layout, options)
    with ended_by_signals() as ending:
        try:
            stack.start()
            environment = os.environ | client_environment(layout.root, stack.state())
            return _wait(stack, command, environment, ending)
        except EndedBySignal as ended:
            options.say(f"{ended} Stopping everything.")
            return EXIT_SIGNAL_BASE + ended.number
        except StackError as error:
            options.say(str(error))
            return EXIT_FAILED
        finally:
            stack.stop() if keep_data else stack.destroy()


def _wait(stack: LocalStack, command: Sequence[str], environment: dict[str, str], ending: Ending) -> int:
    """Run the command to its end, or end it when the stack fails or a signal comes."""
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            # With a terminal the command stays in its foreground group, to be able to read from it; else it joins
            # the group that cannot outlive this process.
            process_group=None if sys.stdin.isatty() else GUARD.group(),
        )
    except OSError as error:
        raise StackError(f"{command[0]} cannot be run: {error.strerror}.") from None
    try:
        while not stack.failed.is_set():
            ending.check()
            try:
                code = child.wait(POLL_S)
            except subprocess.TimeoutExpired:
                continue
            return code if code >= 0 else EXIT_SIGNAL_BASE - code
        return EXIT_FAILED
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(COMMAND_GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def main(arguments: Sequence[str]) -> int:
    """Run the stack in the folder that the one argument names, as a daemon does."""
    threading.current_thread().name = "stack"
    return run_stack(Layout(Path(arguments[0])), StackOptions())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
