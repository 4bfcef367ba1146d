"""Usage files are read exactly, and what is wrong with one is said with its row."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from apportion_cli.ingest.rows import FileProblem, Row, inspect, read_rows

HEADER = "request_id,org,project,sku,quantity,event_time\n"
FIRST = "a-1,AA,EWR,ACT-DEPARTURE,1,2013-01-01T10:17:00Z\n"
SECOND = "a-2,AA,,OBJ-MILE,1.50,2013-01-01T11:17:00+01:00\n"
ROWS = [
    Row(1, "a-1", "AA", "EWR", "ACT-DEPARTURE", "1", "2013-01-01T10:17:00Z"),
    Row(2, "a-2", "AA", "", "OBJ-MILE", "1.50", "2013-01-01T11:17:00+01:00"),
]
NDJSON = (
    '{"request_id": "a-1", "org": "AA", "project": "EWR", "sku": "ACT-DEPARTURE", "quantity": 1, '
    '"event_time": "2013-01-01T10:17:00Z"}\n'
    '{"request_id": "a-2", "org": "AA", "project": null, "sku": "OBJ-MILE", "quantity": 1.50, '
    '"event_time": "2013-01-01T11:17:00+01:00"}'
)


def written(folder: Path, content: str | bytes, *, packed: bool = False) -> Path:
    file = folder / "usage"
    raw = content.encode() if isinstance(content, str) else content
    file.write_bytes(gzip.compress(raw) if packed else raw)
    return file


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("content", [HEADER + FIRST + SECOND, "\ufeff" + HEADER + FIRST + "\n" + SECOND, NDJSON])
def test_csv_and_ndjson_plain_and_packed_give_the_same_rows(tmp_path, content, packed):
    file = written(tmp_path, content, packed=packed)
    assert list(read_rows(file)) == ROWS


def test_the_rows_are_counted_before_they_are_read(tmp_path):
    assert inspect(written(tmp_path, HEADER + FIRST + SECOND)).row_count == 2
    assert inspect(written(tmp_path, NDJSON, packed=True)).row_count == 2
    assert inspect(written(tmp_path, "")).row_count == 0


def test_a_number_in_json_keeps_its_digits(tmp_path):
    file = written(tmp_path, NDJSON.replace("1.50", "12345678901234567.123456789"))
    assert list(read_rows(file))[1].quantity == "12345678901234567.123456789"


def test_columns_may_stand_in_another_order_and_others_are_passed_over(tmp_path):
    file = written(tmp_path, "sku,org,request_id,event_time,quantity,note\nACT-SMS,AA,x,2013-01-01T00:00:00Z,2,hello\n")
    assert list(read_rows(file)) == [Row(1, "x", "AA", "", "ACT-SMS", "2", "2013-01-01T00:00:00Z")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The header lacks request_id, org, sku, quantity, event_time"),
        ("request_id,org,project,sku,quantity\n", "lacks event_time"),
        (HEADER + FIRST + "a-2,AA,EWR\n", "Row 2 has 3 fields instead of 6"),
        (HEADER + FIRST + 'a-2,"AA,EWR,ACT,1,2013\n', "not CSV after row 1"),
        (NDJSON + "\n{\n", "Row 3 is not JSON"),
        (NDJSON + "\n[1]\n", "Row 3 is not a JSON object"),
        (NDJSON + '\n{"request_id": true, "org": "AA"}\n', "Row 3 has no text or number in request_id, sku"),
        (HEADER.encode() + FIRST.encode() + b"\xff\xfe,AA,EWR,ACT,1,2013\n", "is not UTF-8 text"),
    ],
)
def test_a_malformed_file_is_refused_with_its_row(tmp_path, content, message):
    with pytest.raises(FileProblem, match=message.replace("[", r"\[")):
        list(read_rows(written(tmp_path, content)))


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path):
    file = written(tmp_path, HEADER + FIRST * 10_000, packed=True)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(FileProblem, match="cut off or damaged after row"):
        list(read_rows(file))
    with pytest.raises(FileProblem, match="cut off or damaged"):
        inspect(file)
