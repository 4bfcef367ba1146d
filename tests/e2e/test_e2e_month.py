"""January's flights, whole, through the live services: every figure that the scenario expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from apportion_cli.verify.figures import Compared
from harness import COMMITTED, FLIGHTS, System, rows_of

MakeSystem = Callable[..., Awaitable[System]]
JANUARY_EVENTS = 52_616


def wrong_in(figures: list[Compared]) -> list[Compared]:
    """The figures that differ, at most a page of them."""
    return [figure for figure in figures if not figure.same][:40]


async def test_every_figure_of_january_is_right_and_stays_so_when_the_file_is_sent_again(
    new_system: MakeSystem,
) -> None:
    system = await new_system()
    await system.apply(FLIGHTS)
    rows = rows_of(FLIGHTS)
    tally, rejections = await system.ingest(rows, size=5_000)
    assert (tally.accepted, rejections) == (JANUARY_EVENTS, [])
    await system.wait_drained()
    await system.settle(FLIGHTS)

    figures = await system.figures(FLIGHTS)
    assert not wrong_in(figures)
    sections = Counter(figure.name[0] for figure in figures)
    assert {"by_org_sku", "gross_total", "partners", "sweeps", "accounts"} <= sections.keys()
    await system.check_ledger()

    before, counts = await system.digest(), await system.counts()
    assert before.line_count == JANUARY_EVENTS
    again, _ = await system.ingest(rows, size=5_000, ack=COMMITTED)
    assert (again.accepted, again.duplicates) == (0, JANUARY_EVENTS)
    await system.wait_drained()
    assert (await system.digest()).digest == before.digest
    assert await system.counts() == counts
