"""JSON logs as a person reads them."""

from __future__ import annotations

from pathlib import Path

from apportion_dev.stack.console import LogFollower, readable


def test_a_json_line_becomes_time_level_event_and_the_rest() -> None:
    line = '{"timestamp": "2026-01-31T10:00:00.123456Z", "level": "info", "event": "posted", "lines": 3, "why": "a b"}'
    assert readable("ledger", line) == 'ledger     | 10:00:00.123 INFO posted lines=3 why="a b"'


def test_what_is_no_json_object_is_shown_as_it_is() -> None:
    for line in ("Traceback (most recent call last):", "[1, 2]", "{broken", ""):
        assert readable("orgs", line) == "orgs       | " + line


def test_a_follower_shows_what_is_added_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "orgs.log").write_text("old\n", encoding="utf-8")
    shown: list[str] = []
    follower = LogFollower(tmp_path, shown.append)
    with (tmp_path / "orgs.log").open("a", encoding="utf-8") as stream:
        stream.write("new\nhal")
        stream.flush()
        follower.step()
        assert shown == ["orgs       | new"]
        stream.write("f\n")
        stream.flush()
        follower.step()
    (tmp_path / "nats.log").write_text("first\n", encoding="utf-8")
    follower.step()
    assert shown == ["orgs       | new", "orgs       | half", "nats       | first"]


def test_a_follower_of_one_process_shows_no_other(tmp_path: Path) -> None:
    shown: list[str] = []
    follower = LogFollower(tmp_path, shown.append, only="orgs")
    for name in ("orgs", "nats"):
        (tmp_path / f"{name}.log").write_text(f"{name}\n", encoding="utf-8")
    follower.step()
    assert shown == ["orgs       | orgs"]
