"""Feature flags: closed unless opened, by environment or file, through OpenFeature."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from apportion_common.flags import FLAGS, FlagError, Flags, FlagScope, FlagTable, all_open, from_file, variable

SERVICE = "apportion.toy.v1.ToyService"


def write(file: Path, text: str) -> None:
    """As Kubernetes changes a mounted file: another one takes its place at once."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)


def test_there_are_ten_flags_and_each_is_closed_where_nothing_opens_it() -> None:
    flags = Flags("toy", environ={})
    assert len(FLAGS) == len(set(FLAGS)) == 10
    assert [flag for flag in FLAGS if flags.is_open(flag)] == []


def test_the_environment_opens_one_flag_and_no_other() -> None:
    flags = Flags("toy", environ={"FEATURE_POR_LEDGER": "on", "FEATURE_METERING": "", "FEATURE_ESTIMATOR": "off"})
    assert [flag for flag in FLAGS if flags.is_open(flag)] == ["por_ledger"]


def test_the_stacks_environment_opens_all() -> None:
    flags = Flags("toy", environ=all_open())
    assert all(flags.is_open(flag) for flag in FLAGS)
    assert variable("por_ledger") == "FEATURE_POR_LEDGER"


def test_two_processes_worth_of_flags_do_not_answer_for_each_other() -> None:
    first, second = Flags("toy", environ=all_open()), Flags("toy", environ={})
    assert first.is_open("metering")
    assert not second.is_open("metering")


def test_the_file_has_the_last_word_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    flags = Flags("toy", environ={"FEATURE_METERING": "on"}, file=file)
    assert flags.is_open("metering")
    write(file, "# an operator's word\nFEATURE_METERING=off\nFEATURE_ESTIMATOR=on\n")
    assert (flags.is_open("metering"), flags.is_open("estimator")) == (False, True)
    write(file, "FEATURE_METERING=true\n")
    assert (flags.is_open("metering"), flags.is_open("estimator")) == (True, False)
    file.unlink()
    assert flags.is_open("metering")


def test_a_file_that_says_neither_on_nor_off_leaves_what_was_said_before(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    write(file, "FEATURE_METERING=on\n")
    flags = Flags("toy", environ={}, file=file)
    assert flags.is_open("metering")
    for nonsense in ("FEATURE_METERING=perhaps\n", "FEATURE_METERING\n"):
        write(file, nonsense)
        assert flags.is_open("metering")
    write(file, "FEATURE_METERING=off\n")
    assert not flags.is_open("metering")


def test_a_value_that_is_neither_on_nor_off_stops_the_start() -> None:
    with pytest.raises(FlagError, match="FEATURE_METERING is neither on nor off"):
        Flags("toy", environ={"FEATURE_METERING": "yes please"})


def test_the_name_of_the_file_is_no_flag() -> None:
    environ = {"FEATURE_FLAGS_FILE": "/etc/flags"}
    assert from_file(environ) == Path("/etc/flags")
    assert from_file({}) is None
    assert not any(Flags("toy", environ=environ).is_open(flag) for flag in FLAGS)


def test_asking_for_a_flag_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(FlagError, match="no flag 'meterng'"):
        Flags("toy", environ={}).is_open("meterng")


def test_a_consumer_asks_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "flags"
    table = FlagTable(SERVICE, [FlagScope(flag="metering", consumers=("writer",))], always=())
    flags = Flags("toy", environ={}, file=file)
    paused = flags.paused(table, "writer")
    assert paused()
    write(file, "FEATURE_METERING=on\n")
    assert not paused()
    with pytest.raises(FlagError, match="reader stands behind no flag"):
        flags.paused(table, "reader")


def test_a_table_names_each_thing_once_and_only_flags_that_there_are() -> None:
    with pytest.raises(FlagError, match="no flag 'speed'"):
        FlagTable(SERVICE, [FlagScope(flag="speed")], always=())
    with pytest.raises(FlagError, match="both metering and estimator"):
        FlagTable(
            SERVICE,
            [FlagScope(flag="metering", rpcs=("Read",)), FlagScope(flag="estimator", rpcs=("Read",))],
            always=(),
        )
    with pytest.raises(FlagError, match="always open"):
        FlagTable(SERVICE, [FlagScope(flag="metering", rpcs=("Read",))], always=("Read",))


def test_only_an_rpc_behind_no_flag_has_fields_behind_one() -> None:
    with pytest.raises(FlagError, match="Read has a field"):
        FlagTable(SERVICE, [FlagScope(flag="metering", rpcs=("Read",), fields=("Read.deep",))], always=())


def test_a_table_that_forgets_an_rpc_or_names_one_too_many_is_refused() -> None:
    table = FlagTable(SERVICE, [FlagScope(flag="metering", rpcs=("Read",))], always=("Look",))
    table.check([f"/{SERVICE}/Read", f"/{SERVICE}/Look"])
    with pytest.raises(FlagError, match="Write"):
        table.check([f"/{SERVICE}/Read", f"/{SERVICE}/Look", f"/{SERVICE}/Write"])
    with pytest.raises(FlagError, match="Look"):
        table.check([f"/{SERVICE}/Read"])
