"""`apportion lane-message`: a lane's message for a person."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from apportion.common.v1.lane_pb2 import ChargeKind
from apportion.metering.v1.lane_pb2 import AcceptedBatch
from apportion.pricing.v1.lane_pb2 import ChargeGroup, RatedBatch
from apportion_cli.main import app
from typer.testing import CliRunner

ID = bytes(range(16))
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def rated_part(number: int) -> bytes:
    group = ChargeGroup(
        kind=ChargeKind.CHARGE_KIND_USAGE, org_id=ID, sku="ACT-SMS", currency="AUD", caused_by_events=True
    )
    record = struct.pack(">HI16s16sqqq", 0, number, ID, ID, 1_500_000_000, -20_000_000, 1_357_000_000_000_000)
    batch = RatedBatch(lane=3, batch_seq=7, part=number, part_count=2, groups=[group], records=record)
    return batch.SerializeToString()


def test_records_of_all_parts_are_written_out_with_ids_decimals_and_times(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        files.append(tmp_path / f"part-{number}")
        files[-1].write_bytes(rated_part(number))
    result = CliRunner().invoke(app, ["lane-message", "rated", *map(str, files)])
    assert result.exit_code == 0, result.output
    batch = json.loads(result.stdout)
    assert [charge["entry_seq"] for charge in batch["charges"][1:]] == [1]
    assert batch["charges"][1] == {
        "charge_id": UUID_TEXT,
        "event_id": UUID_TEXT,
        "org_id": UUID_TEXT,
        "sku": "ACT-SMS",
        "quantity": "1.5",
        "currency": "AUD",
        "amount": "-0.02",
        "event_time_us": "2013-01-01T00:26:40+00:00",
        "entry_seq": 1,
        "kind": "CHARGE_KIND_USAGE",
        "cause_id": UUID_TEXT,
    }


def test_a_payload_is_taken_as_psql_prints_it() -> None:
    payload = AcceptedBatch(lane=3, batch_seq=7)
    payload.entries.add(entry_seq=5).period_close.period = "2013-01"
    printed = "\\x" + payload.SerializeToString().hex() + "\n"
    result = CliRunner().invoke(app, ["lane-message", "accepted"], input=printed)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "lane": 3,
        "batch_seq": 7,
        "entries": [{"entry_seq": 5, "period_close": {"period": "2013-01"}}],
    }


def test_a_late_charge_and_a_reopening_are_printed_with_what_they_say_of_periods() -> None:
    group = ChargeGroup(org_id=ID, period="2013-01", billed_period="2013-02", caused_by_events=True)
    record = struct.pack(">HI16s16sqqq", 0, 0, ID, ID, 1, 1, 0)
    batch = RatedBatch(lane=3, batch_seq=7, groups=[group], records=record)
    batch.period_closes.add(period="2013-01", org_id=ID, reopening=2)
    result = CliRunner().invoke(app, ["lane-message", "rated"], input=batch.SerializeToString())
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["charges"][0]["period"], printed["charges"][0]["billed_period"]) == ("2013-01", "2013-02")
    assert printed["period_closes"] == [{"period": "2013-01", "org_id": UUID_TEXT, "reopening": 2}]


def test_what_is_no_such_message_is_refused_with_a_sentence() -> None:
    for broken in (b"\xff\xff", b"\\xzz", AcceptedBatch(records=b"123").SerializeToString()):
        result = CliRunner().invoke(app, ["lane-message", "accepted"], input=broken)
        assert result.exit_code == 2
        assert "Traceback" not in result.output
