"""What the tests' own plugin sees of the services' answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer
from apportion_common.errors import InvalidArgument, NotFound
from apportion_common.ids import parse_uuid
from apportion_common.lanes.errors import LaneStopped
from apportion_dev.testing import observed

INGEST = "/apportion.metering.v1.MeteringService/IngestEvents"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[observed.Fact]:
    """A set of its own for a test, so that what it plays is no evidence."""
    own: set[observed.Fact] = set()
    monkeypatch.setattr(observed, "facts", own)
    return own


def servicer(module: str) -> MeteringServiceServicer:
    """A servicer that rejects one event, and knows no status, as of a module."""

    async def ingest(self: object, request: object, context: object) -> pb.IngestEventsResponse:
        return pb.IngestEventsResponse(rejections=[pb.EventRejection(reason="SKU_MALFORMED")])

    async def status(self: object, request: object, context: object) -> pb.GetEventStatusResponse:
        raise NotFound("EVENT_ABSENT", "There is none.")

    made = type(
        "Made", (MeteringServiceServicer,), {"__module__": module, "IngestEvents": ingest, "GetEventStatus": status}
    )
    return made()  # type: ignore[no-any-return]


async def test_what_a_services_method_returns_and_raises_is_seen_with_the_reasons_inside(
    seen: set[observed.Fact],
) -> None:
    made = servicer("apportion_metering.rpc.of_a_test")
    await made.IngestEvents(pb.IngestEventsRequest(), None)
    with pytest.raises(NotFound):
        await made.GetEventStatus(pb.GetEventStatusRequest(), None)
    assert seen == {
        ("servicer", INGEST, "OK", ""),
        ("data", INGEST, "SKU_MALFORMED"),
        ("servicer", INGEST.replace("IngestEvents", "GetEventStatus"), "NOT_FOUND", "EVENT_ABSENT"),
    }


async def test_a_stand_in_of_a_test_is_no_evidence(seen: set[observed.Fact]) -> None:
    await servicer("test_observed").IngestEvents(pb.IngestEventsRequest(), None)
    assert not seen


def test_an_error_counts_for_the_module_of_the_product_that_makes_it(seen: set[observed.Fact]) -> None:
    NotFound("MADE_BY_A_TEST", "There is none.")
    LaneStopped("MADE_BY_A_TEST", "a test")
    with pytest.raises(InvalidArgument):
        parse_uuid("no uuid")
    assert seen == {("raised", "apportion_common.ids", "ID_MALFORMED")}


def test_logs_tell_what_a_process_answered_and_stand_ins_and_torn_lines_do_not_count(tmp_path: Path) -> None:
    rpc = {"event": "rpc", "method": INGEST, "code": "OK", "reason": "", "service": "metering"}
    lines = [
        json.dumps(rpc),
        json.dumps(rpc | {"code": "INVALID_ARGUMENT", "reason": "BATCH_EMPTY"}),
        json.dumps(rpc | {"service": "a stand-in of orgs", "code": "INTERNAL"}),
        json.dumps({"event": "lane.stopped", "reason": "BATCH_SEQ_GAP", "service": "pricing"}),
        json.dumps({"event": "readiness", "ready": True}),
        "no JSON at all",
        json.dumps(rpc)[:-10],
    ]
    (tmp_path / "metering.log").write_text("\n".join(lines), encoding="utf-8")
    assert set(observed.facts_of_logs([tmp_path / "metering.log"])) == {
        ("wire", INGEST, "OK", ""),
        ("wire", INGEST, "INVALID_ARGUMENT", "BATCH_EMPTY"),
        ("stopped", "BATCH_SEQ_GAP"),
    }


def test_evidence_grows_and_is_written_in_one_order(tmp_path: Path) -> None:
    file = tmp_path / "main.json"
    observed.add_evidence(file, {("stopped", "BATCH_SEQ_GAP"), ("raised", "apportion_common.ids", "ID_MALFORMED")})
    observed.add_evidence(file, {("stopped", "OUTPUT_REWOUND"), ("stopped", "BATCH_SEQ_GAP")})
    expected = [
        ["raised", "apportion_common.ids", "ID_MALFORMED"],
        ["stopped", "BATCH_SEQ_GAP"],
        ["stopped", "OUTPUT_REWOUND"],
    ]
    assert json.loads(file.read_text(encoding="utf-8")) == expected


def test_words_of_people_are_no_reasons_and_nested_reasons_are_found() -> None:
    answer = pb.IngestEventsResponse(
        rejections=[pb.EventRejection(reason="SKU_MALFORMED"), pb.EventRejection(reason="They asked for it.")]
    )
    assert list(observed.reasons_in(answer)) == ["SKU_MALFORMED"]
    assert list(observed.reasons_in(pb.GetEventStatusResponse())) == []
