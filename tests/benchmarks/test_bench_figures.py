"""The pure parts of the benchmarks: what is counted, what is left out, and what a batch costs."""

from __future__ import annotations

import argparse
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import machine, report
from benchmarks.__main__ import PARTS, parts_of
from benchmarks.figures import Figures, Run, cost_of_a_batch, cpu_figures, medians, percentile
from benchmarks.growth import relative
from benchmarks.machine import OTHERS_CORES_MAX, Load, Others, difference, others_cores, parse_busy, parse_process

QUIET = 0.0
LOUD = OTHERS_CORES_MAX + 0.01


def run(
    figures: Figures, *, subject: str = "this", number: int = 1, before: float = QUIET, during: float = QUIET
) -> Run:
    """A run of the path with what others used before and during it."""
    return Run("path", subject, number, figures, Load(before, 0.0, during))


def test_a_run_is_loaded_by_what_others_used_before_it_or_during_it() -> None:
    assert not Load(OTHERS_CORES_MAX, 9.0, OTHERS_CORES_MAX).loaded
    assert Load(LOUD, 0.0, QUIET).loaded
    assert Load(QUIET, 0.0, LOUD).loaded


def test_a_loaded_run_is_shown_with_its_figures_and_left_out_of_the_medians() -> None:
    runs = [run({"rate": 10}), run({"rate": 20}), run({"rate": 30}), run({"rate": 9_000}, during=LOUD)]
    assert medians(runs) == {("path", "this"): {"rate": 20}}
    assert "LOADED, no result" in report.run_text(runs[-1])
    assert "9,000" in report.run_text(runs[-1])
    assert "this 3 of 4 runs" in report.summary(runs)


def test_a_part_whose_every_run_is_loaded_has_no_result() -> None:
    runs = [run({"rate": 10}, before=LOUD)]
    assert medians(runs) == {}
    assert "none: every run was loaded" in report.summary(runs)


def test_two_checkouts_stand_side_by_side_with_what_changed() -> None:
    text = report.summary([run({"rate": 30}), run({"rate": 20}, subject="before")])
    (line,) = (line for line in text.splitlines() if "rate" in line)
    assert line.split() == ["rate", "30", "20", "1.500"]


def test_waiting_for_quiet_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SAMPLE_S", 0.01)
    said: list[str] = []
    load = Others(lambda: -1e9, wait_s=0.05, say=said.append).before()
    assert load.loaded is (load.before_cores > OTHERS_CORES_MAX)
    patient = Others(iter(range(0, -(10**9), -1_000)).__next__, wait_s=0.05, say=said.append).before()
    assert patient.loaded
    assert said


def test_what_belongs_to_the_benchmark_is_none_of_the_others() -> None:
    assert others_cores(busy_s=3.0, own_s=2.5, elapsed_s=2.0) == 0.25
    assert others_cores(busy_s=1.0, own_s=1.1, elapsed_s=1.0) == 0


def test_waiting_for_a_disk_is_no_work_and_stolen_time_is() -> None:
    tick = 1 / machine.CLOCK_TICKS_HZ
    assert parse_busy("cpu  1 2 4 1000 2000 8 16 32 64 0\n") == pytest.approx((1 + 2 + 4 + 8 + 16 + 32) * tick)


def test_a_process_of_any_name_is_read() -> None:
    numbers = " ".join(str(number) for number in range(4, 60))
    process = parse_process(f"42 (a) b (c) S {numbers}")
    assert (process.pid, process.parent) == (42, 4)
    assert process.own_s == pytest.approx((14 + 15) / machine.CLOCK_TICKS_HZ)
    assert process.reaped_s == pytest.approx((16 + 17) / machine.CLOCK_TICKS_HZ)
    assert process.rss_bytes == 24 * machine.PAGE_BYTES


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("postgres: ledger_app apportion_ledger 127.0.0.1(5) COPY", "postgres ledger"),
        ("postgres: postgres apportion_ledger 127.0.0.1(5) idle", "benchmark"),
        ("postgres: postgres bench_plain_sql 127.0.0.1(5) SELECT", "benchmark"),
        ("postgres: autovacuum worker apportion_ledger", "postgres"),
        ("postgres: walwriter ", "postgres"),
        ("", "postgres"),
    ],
)
def test_a_session_is_counted_for_the_service_that_it_works_for(title: str, part: str) -> None:
    assert machine.postgres_part(title) == part


def test_processor_time_of_the_benchmark_and_of_the_supervisor_is_none_of_the_products() -> None:
    spent = difference({"ledger": 3.0, "benchmark": 9.0, "supervisor": 9.0, "new": 1.0}, {"ledger": 1.0})
    found = cpu_figures(spent, 1_000_000)
    assert found == {"cpu ledger µs": 2.0, "cpu new µs": 1.0, "cpu in all µs": 3.0}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50, 99, 7)


@given(
    batch=st.integers(0, 1_000),
    event=st.integers(0, 1_000),
    points=st.lists(st.tuples(st.integers(1, 500), st.integers(1, 50_000)), min_size=2, max_size=6),
)
def test_the_fit_finds_the_costs_that_the_points_were_made_of(
    batch: int, event: int, points: list[tuple[int, int]]
) -> None:
    found = cost_of_a_batch([(b, e, b * batch + e * event) for b, e in points])
    if found is not None:
        assert found[0] == pytest.approx(batch, abs=1e-3 * max(e / b for b, e in points) * (1 + event + batch))
        assert found[1] == pytest.approx(event, abs=1e-3 * (1 + event + batch))


def test_points_that_cannot_tell_a_batch_from_its_events_give_no_cost() -> None:
    assert cost_of_a_batch([(10, 100, 5)]) is None
    assert cost_of_a_batch([(10, 100, 5), (20, 200, 11), (5, 50, 2)]) is None


def test_a_round_is_worth_what_it_is_beside_the_first() -> None:
    assert relative({"events/s": 100.0, "cpu in all µs": 50.0}, {"events/s": 90.0, "cpu in all µs": 60.0}) == {
        "events/s to empty": 0.9,
        "cpu in all µs to empty": 1.2,
    }


def test_the_writer_and_the_ledger_are_one_part_and_an_unknown_one_is_named() -> None:
    assert parts_of("ledger,path,writer") == ["path", "stages"]
    assert parts_of(",".join(PARTS)) == list(PARTS)
    with pytest.raises(argparse.ArgumentTypeError, match="no part 'disk'"):
        parts_of("path,disk")


def test_the_picture_is_readable_and_says_when_it_shows_no_result(tmp_path: Path) -> None:
    figures = {
        "cpu raw COPY µs": 6.0,
        "cpu plain SQL µs": 30.0,
        "cpu ledger µs": 40.0,
        "cpu in all µs": 40.0,
        "sent": 1.0,
    }
    for runs, said in (([run(figures)], "medians"), ([run(figures, during=LOUD)], "no result"), ([], "medians")):
        text = report.picture(runs)
        ElementTree.fromstring(text)
        assert said in text
    file = report.write(tmp_path, [run(figures)], {}, {"this": tmp_path})
    assert file.exists()
    assert file.with_suffix(".svg").exists()
