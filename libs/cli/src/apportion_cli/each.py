"""Commands over many things: one that cannot be done does not end the rest, and the end names what was not done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import grpc
from apportion_client.failures import OutageTooLongError, describe
from apportion_client.names import NameUnknownError

from apportion_cli.display import counted, print_line
from apportion_cli.run import fail

T = TypeVar("T")

PASSED_NAMES_MAX: Final = 20
"""Names of things that had nothing to be done are shown."""


class NothingToDo(Exception):
    """There is nothing to be done for this one, which is no failure; the message says why."""


class NotDone(Exception):
    """This one could not be done; the message says why."""


@dataclass(slots=True)
class Results(Generic[T]):
    """What became of each thing, by its key."""

    done: dict[str, T] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)
    """Why there was nothing to be done."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why it could not be done."""


async def for_each(
    keys: Iterable[str], do: Callable[[str], Awaitable[T]], on_end: Callable[[], None] = lambda: None
) -> Results[T]:
    """Do something for each key, in order, whatever becomes of the others.

    Where the services do not answer for as long as one waits, the rest is not tried any more.
    """
    results: Results[T] = Results()
    gone = False
    for key in keys:
        if gone:
            results.failed[key] = "not tried"
            continue
        try:
            results.done[key] = await do(key)
        except NothingToDo as nothing:
            results.passed[key] = str(nothing)
        except (NotDone, NameUnknownError) as error:
            results.failed[key] = str(error)
        except grpc.aio.AioRpcError as error:
            results.failed[key] = "; ".join(line.strip() for line in describe(error).splitlines())
        except OutageTooLongError as error:
            results.failed[key] = str(error)
            gone = True
        on_end()
    return results


def tell(results: Results[T], thing: str, done: str, names: Mapping[str, str] | None = None) -> None:
    """Say by name what was not done and why; end with exit code 1 unless everything was done.

    `done` says in the past what is done to a `thing`; `names` are those of the keys, where they have others.
    """
    shown = names or {}
    by_reason: dict[str, list[str]] = {}
    for key, why in results.passed.items():
        by_reason.setdefault(why, []).append(shown.get(key, key))
    for why, those in by_reason.items():
        more = f" and {len(those) - PASSED_NAMES_MAX:,} more" if len(those) > PASSED_NAMES_MAX else ""
        print_line(f"{why}: {', '.join(sorted(those)[:PASSED_NAMES_MAX])}{more}")
    for key, why in results.failed.items():
        print_line(f"{thing} {shown.get(key, key)} is not {done}: {why}", "red")
    if results.failed:
        passed = f", {len(results.passed):,} with nothing to do" if results.passed else ""
        fail(f"{counted(len(results.done), thing)} {done}{passed}, {len(results.failed):,} not {done}.")
