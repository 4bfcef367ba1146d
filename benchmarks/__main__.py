"""`make bench`: measure the parts that are wanted, run by run, each with the stack of every checkout in turn.

    python -m benchmarks                                   everything, five interleaved runs
    python -m benchmarks --only path --runs 1 --times 2    a short look
    python -m benchmarks --compare ../before               two checkouts side by side
    python -m benchmarks --growth 10000000                 rate, sizes and memory while the tables grow

Nothing here is an assertion on time. The exit code is 1 when events were lost or came twice, or a bill was wrong.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import growth, idle, latency, path, report, sizes, stages
from benchmarks.figures import Run
from benchmarks.machine import Others
from benchmarks.measure import Bench, Options, Outcome
from benchmarks.month import ROOT
from benchmarks.stack import Stack

THIS: Final = "this"
BEFORE: Final = "before"
PARTS: Final[dict[str, Callable[[Bench], Outcome]]] = {
    "idle": idle.measure,
    "path": path.measure,
    "stages": stages.measure,
    "sizes": sizes.measure,
    "latency": latency.measure,
}
"""In the order in which they are measured: at rest first, since PostgreSQL tidies up for a while after work."""
OTHER_NAMES: Final = {"writer": "stages", "ledger": "stages"}
"""The writer and the ledger are measured together: what one has written the other posts."""
RUNS: Final = 5
ONCE: Final = frozenset({"idle"})
"""Parts that are looked at once however many runs there are."""


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a list with commas."""
    return tuple(int(part) for part in text.split(","))


def parts_of(text: str) -> list[str]:
    """Return the parts that a list with commas names, in the order in which they are measured."""
    wanted = {OTHER_NAMES.get(name, name) for name in text.split(",")}
    if unknown := sorted(wanted - PARTS.keys()):
        raise argparse.ArgumentTypeError(
            f"There is no part {unknown[0]!r}; there are {', '.join([*PARTS, *OTHER_NAMES])}."
        )
    return [part for part in PARTS if part in wanted]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=parts_of, default=list(PARTS), metavar="PARTS", help="path,writer,ledger,sizes,…"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="interleaved runs of each part")
    parser.add_argument("--times", type=int, default=4, help="how often the month (52,616 events) is sent in a run")
    parser.add_argument("--seconds", type=float, default=30, help="of latency at each rate, and of idleness")
    parser.add_argument(
        "--offered", type=numbers, default=(500, 5_000), help="events a second that latency is taken at"
    )
    parser.add_argument("--sizes", type=numbers, default=(10, 100, 1_000), help="events a call")
    parser.add_argument("--size-events", type=int, default=20_000, help="events of each run of each size")
    parser.add_argument("--wait-quiet", type=float, default=0, metavar="S", help="wait so long for a quiet machine")
    parser.add_argument("--compare", type=Path, metavar="DIR", help="another checkout, with a .venv of its own")
    parser.add_argument("--growth", type=int, metavar="EVENTS", help="let the tables grow to so many events instead")
    parser.add_argument("--results", type=Path, default=ROOT / ".local" / "bench", help="folder of the results")
    return parser.parse_args()


class Session:
    """All runs of one call of the program."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        checkouts = {THIS: ROOT} | ({BEFORE: args.compare} if args.compare else {})
        self.args = args
        self.folder = folder
        self.stacks = [Stack(label, checkout, folder / label) for label, checkout in checkouts.items()]
        self.options = Options(args.times, args.seconds, args.offered, args.sizes, args.size_events)
        self.runs: list[Run] = []

    @contextmanager
    def closing(self) -> Iterator[None]:
        """End every stack and delete its data when the block ends."""
        try:
            yield
        finally:
            for stack in self.stacks:
                stack.close()

    def measure_parts(self) -> None:
        """Measure every part: run by run, and in each run every checkout, the one that begins changing."""
        for part in self.args.only:
            for number in range(1, 1 + (1 if part in ONCE else self.args.runs)):
                for stack in self._in_turn(number):
                    self.measure(part, number, stack, PARTS[part])

    def grow(self) -> None:
        """Measure rounds of the path until the tables hold so many events; of one checkout, or of one after another."""
        for stack in self.stacks:
            self._start(stack)
            stored, number, first, started = 0, 0, None, time.monotonic()
            while stored < self.args.growth:
                number += 1
                run = self.measure("growth", number, stack, growth.measure_round)
                first = run.figures if first is None else first
                stored += int(run.figures["sent"])
                run.figures |= growth.relative(first, run.figures) | {"events stored": stored}
                print(growth.until(self.args.growth, stored, started), flush=True)
                growth.purge_streams(stack)

    def measure(self, part: str, number: int, stack: Stack, measure: Callable[[Bench], Outcome]) -> Run:
        """Measure one part once, print it and keep it."""
        self._start(stack)
        bench = Bench(stack, self.options, self.folder, f"{stack.label}{part}{number}")
        with Others(stack.own_seconds, self.args.wait_quiet).watched() as load:
            outcome = measure(bench)
        run = Run(part, stack.label, number, outcome.figures, load, outcome.problems)
        self.runs.append(run)
        print(report.run_text(run), flush=True)
        return run

    def finish(self) -> int:
        """Print the medians, write the results; the exit code."""
        print(report.growth_text(self.runs) if self.args.growth else report.summary(self.runs))
        shown = {name: str(value) for name, value in vars(self.args).items()}
        checkouts = {stack.label: stack.checkout for stack in self.stacks}
        print(f"\nresults: {report.write(self.args.results, self.runs, shown, checkouts)} (and .svg)")
        return int(any(run.problems for run in self.runs))

    def _in_turn(self, number: int) -> Sequence[Stack]:
        return self.stacks if number % 2 else self.stacks[::-1]

    def _start(self, stack: Stack) -> None:
        """Have this stack run, and no other."""
        for other in self.stacks:
            if other is not stack:
                other.stop()
        stack.start()


def main() -> int:
    args = arguments()
    # Told to end, it ends its stacks and deletes their data as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))
    with tempfile.TemporaryDirectory(prefix="apportion-bench-", ignore_cleanup_errors=True) as name:
        # PostgreSQL runs as another account when this is root; what must stay private lies in private folders.
        Path(name).chmod(0o711)
        session = Session(args, Path(name))
        ended = False
        with session.closing():
            try:
                session.grow() if args.growth else session.measure_parts()
            except BaseException as error:
                # Hours of results are not lost with the run that fails.
                ended = True
                if isinstance(error, Exception):
                    traceback.print_exception(error)
                print(f"Ended early ({type(error).__name__}: {error}). What there is:", flush=True)
            code = session.finish() if session.runs else 1
            return 1 if ended else code


if __name__ == "__main__":
    sys.exit(main())
