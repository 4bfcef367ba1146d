"""Bad input by hand: each is refused with its status and reason, changes nothing, and stops no good event."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.services import CALL_TIMEOUT_S
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from harness import COMMITTED, FLIGHTS, Refusal, System, org_of, refusal

PREFIX = "bad-"
ORG = str(org_of("UA", PREFIX))
OTHER_ORG = str(org_of("AA", PREFIX))
AT = Timestamp(seconds=1_357_035_420)
MEBIBYTE = 1024 * 1024

MALFORMED = [
    ("org_id", "not-an-id", "ID_MALFORMED"),
    ("org_id", "", "ID_MALFORMED"),
    ("org_id", str(UUID(int=0)), "ID_MALFORMED"),
    ("org_id", ORG.replace("-", ""), "ID_MALFORMED"),
    ("project_id", "EWR", "ID_MALFORMED"),
    ("sku", "act departure", "SKU_MALFORMED"),
    ("sku", "A" * 65, "SKU_MALFORMED"),
    ("sku", "ACT-'; DROP TABLE ledger_line; --", "SKU_MALFORMED"),
    ("request_id", "", "REQUEST_ID_MALFORMED"),
    ("request_id", "r" * 129, "REQUEST_ID_MALFORMED"),
    ("request_id", " padded ", "REQUEST_ID_MALFORMED"),
    ("request_id", "zero\0byte", "REQUEST_ID_MALFORMED"),
    ("quantity", "", "QUANTITY_MALFORMED"),
    ("quantity", "NaN", "QUANTITY_MALFORMED"),
    ("quantity", "Infinity", "QUANTITY_MALFORMED"),
    ("quantity", "-inf", "QUANTITY_MALFORMED"),
    ("quantity", "0x10", "QUANTITY_MALFORMED"),
    ("quantity", "1,000", "QUANTITY_MALFORMED"),
    ("quantity", "1e400", "QUANTITY_OUT_OF_RANGE"),
    ("quantity", "9" * 28, "QUANTITY_OUT_OF_RANGE"),
    ("quantity", "1" + "0" * 18, "QUANTITY_OUT_OF_RANGE"),
    ("quantity", "0.0000000001", "QUANTITY_TOO_PRECISE"),
    ("quantity", "1e-400", "QUANTITY_TOO_PRECISE"),
    ("event_time", Timestamp(seconds=10**14), "TIME_OUT_OF_RANGE"),
    ("event_time", Timestamp(seconds=1, nanos=-1), "TIME_MALFORMED"),
    ("event_time", Timestamp(seconds=1, nanos=1), "TIME_TOO_PRECISE"),
    ("metadata", {"k": "v" * 1_025}, "METADATA_TOO_LARGE"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ready(system: System) -> System:
    """The shared stack with this file's organisations, and nothing under way."""
    await system.apply(FLIGHTS, PREFIX)
    await system.wait_drained()
    return system


@asynccontextmanager
async def nothing_changes(system: System) -> AsyncIterator[None]:
    """Every table of every database, and every lane of the stream, are as before."""
    before = await system.table_counts()
    sent = [lane.stream_last_seq for lane in (await system.pipeline()).lanes]
    yield
    assert [lane.stream_last_seq for lane in (await system.pipeline()).lanes] == sent
    assert await system.table_counts() == before


def event(**changes: object) -> metering.UsageEvent:
    """A good event of ORG, with some fields changed."""
    good: dict[str, object] = {
        "org_id": ORG,
        "sku": "OBJ-MILE",
        "quantity": "1",
        "event_time": AT,
        "request_id": str(uuid4()),
    }
    fields = good | changes
    return metering.UsageEvent(**fields | {"quantity": Decimal(value=str(fields["quantity"]))})  # type: ignore[arg-type]


def request(*events: metering.UsageEvent) -> metering.IngestEventsRequest:
    """One COMMITTED call."""
    return metering.IngestEventsRequest(events=events, acknowledgement=COMMITTED)


@pytest.mark.parametrize(("field", "value", "reason"), MALFORMED, ids=lambda value: repr(value)[:30])
async def test_a_malformed_event_is_rejected_with_its_reason(
    ready: System, field: str, value: object, reason: str
) -> None:
    # Who may send what is decided by the organisation that is named, so one that is none needs the operator.
    answer = await ready.services.metering.IngestEvents(request(event(**{field: value})), timeout=CALL_TIMEOUT_S)
    assert answer.accepted_count == 0
    [rejection] = answer.rejections
    assert (rejection.index, rejection.reason) == (0, reason)
    assert rejection.message.endswith(".")


async def test_malformed_events_change_nothing(ready: System) -> None:
    everything = request(*(event(**{field: value}) for field, value, _ in MALFORMED))
    async with nothing_changes(ready):
        answer = await ready.services.metering.IngestEvents(everything, timeout=CALL_TIMEOUT_S)
    assert [rejection.reason for rejection in answer.rejections] == [reason for _, _, reason in MALFORMED]


async def test_malformed_compact_events_are_rejected_with_their_reasons(ready: System) -> None:
    good = {
        "org_id": bytes.fromhex(ORG.replace("-", "")),
        "request_id": uuid4().bytes,
        "sku": "OBJ-MILE",
        "quantity_unscaled": 1,
        "event_time_us": AT.seconds * 10**6,
    }
    bad = [
        ({"org_id": b"short"}, "ID_MALFORMED"),
        ({"org_id": bytes(16)}, "ID_MALFORMED"),
        ({"request_id": b"x" * 15}, "ID_MALFORMED"),
        ({"project_id": b"x" * 15}, "ID_MALFORMED"),
        ({"quantity_scale": 10}, "QUANTITY_TOO_PRECISE"),
        ({"quantity_unscaled": 2**62}, "QUANTITY_OUT_OF_RANGE"),
        ({"event_time_us": 2**62}, "TIME_OUT_OF_RANGE"),
        ({"sku": "lower"}, "SKU_MALFORMED"),
    ]
    call = metering.IngestEventsRequest(
        compact_events=[metering.CompactUsageEvent(**good | changes) for changes, _ in bad]  # type: ignore[arg-type]
    )
    async with nothing_changes(ready):
        answer = await ready.services.metering.IngestEvents(call, timeout=CALL_TIMEOUT_S)
    assert [rejection.reason for rejection in answer.rejections] == [reason for _, reason in bad]


async def test_good_events_beside_bad_ones_go_through(ready: System) -> None:
    good = [event(request_id=f"beside-{number}") for number in range(3)]
    bad = [event(quantity="NaN"), event(org_id="x"), event(sku="")]
    answer = await ready.services.metering.IngestEvents(
        request(good[0], bad[0], good[1], bad[1], bad[2], good[2]), timeout=CALL_TIMEOUT_S
    )
    assert answer.accepted_count == len(good)
    assert [rejection.index for rejection in answer.rejections] == [1, 3, 4]
    await ready.wait_drained()
    statuses = await ready.event_statuses(org_of("UA", PREFIX), [one.request_id for one in good])
    assert {status.state for status in statuses.values()} == {metering.EVENT_STATE_POSTED}


async def test_5000_events_are_taken_and_5001_are_refused_whole(ready: System) -> None:
    many = [event(request_id=f"many-{number}", quantity="0") for number in range(5_001)]
    async with nothing_changes(ready):
        found = await refusal(ready.services.metering.IngestEvents(request(*many), timeout=CALL_TIMEOUT_S))
        assert found == Refusal("INVALID_ARGUMENT", "BATCH_TOO_LARGE")
        nothing = await refusal(ready.services.metering.IngestEvents(request(), timeout=CALL_TIMEOUT_S))
        assert nothing == Refusal("INVALID_ARGUMENT", "BATCH_EMPTY")
    answer = await ready.services.metering.IngestEvents(request(*many[:-1]), timeout=CALL_TIMEOUT_S)
    assert answer.accepted_count == 5_000
    await ready.wait_drained()


async def test_a_message_over_the_size_limit_is_refused(ready: System) -> None:
    large = request(*(event(metadata={"k": "v" * 1_000, "l": "w" * 3_000}) for _ in range(2_500)))
    assert large.ByteSize() > 8 * MEBIBYTE
    async with nothing_changes(ready):
        # Our own client refuses to send it; so does the server where another client does not.
        ours = await refusal(ready.services.metering.IngestEvents(large, timeout=CALL_TIMEOUT_S))
        assert ours.status == "RESOURCE_EXHAUSTED"
        theirs = await refusal(ready.call("metering", "IngestEvents", large, token=ready.token(org_id=org_of("UA"))))
        assert theirs.status == "RESOURCE_EXHAUSTED"


def _forged(token: str) -> str:
    """The same token with its claims changed under the old signature."""
    head, claims, signature = token.split(".")
    plain = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)).replace(b'"Admin"', b'"operator"')
    return ".".join((head, base64.urlsafe_b64encode(plain).decode().rstrip("="), signature))


def _unsigned(token: str) -> str:
    """A token that says that it needs no signature."""
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


async def test_calls_without_a_good_token_are_unauthenticated_and_change_nothing(ready: System) -> None:
    good = ready.token(org_id=org_of("UA", PREFIX))
    bad = {
        None: "TOKEN_MISSING",
        "garbage": "TOKEN_INVALID",
        "a.b.c": "TOKEN_INVALID",
        _forged(good): "TOKEN_INVALID",
        _unsigned(good): "TOKEN_INVALID",
        ready.token(org_id=org_of("UA", PREFIX), age_s=3_600): "TOKEN_EXPIRED",
    }
    calls = (
        ("metering", "IngestEvents", request(event())),
        ("metering", "ListDeadLetters", metering.ListDeadLettersRequest()),
        ("ledger", "GetTrialBalance", ledger.GetTrialBalanceRequest()),
        ("pricing", "ListSkus", pricing.ListSkusRequest()),
        ("orgs", "GetOrg", orgs.GetOrgRequest(org_id=ORG)),
    )
    async with nothing_changes(ready):
        for token, reason in bad.items():
            for service, method, message in calls:
                found = await refusal(ready.call(service, method, message, token=token))
                assert found == Refusal("UNAUTHENTICATED", reason), (service, method, token)
                assert token is None or token not in found.message


async def test_another_organisations_token_takes_and_shows_nothing(ready: System) -> None:
    theirs = ready.token(org_id=org_of("AA", PREFIX))
    status = metering.GetEventStatusRequest(org_id=ORG, request_ids=["beside-0"])
    async with nothing_changes(ready):
        for message in (request(event()), request(event(org_id=OTHER_ORG), event())):
            found = await refusal(ready.call("metering", "IngestEvents", message, token=theirs))
            assert found == Refusal("PERMISSION_DENIED", "ORG_FORBIDDEN")
        found = await refusal(ready.call("metering", "GetEventStatus", status, token=theirs))
        assert found == Refusal("PERMISSION_DENIED", "ORG_FORBIDDEN")
        for service, method, message in (
            ("orgs", "GetOrg", orgs.GetOrgRequest(org_id=ORG)),
            ("ledger", "ListLines", ledger.ListLinesRequest(filter=ledger.LineFilter(org_id=ORG))),
        ):
            refused = await refusal(ready.call(service, method, message, token=theirs))
            assert refused.status in ("PERMISSION_DENIED", "NOT_FOUND"), (service, method)
    ours = ready.token(org_id=org_of("UA", PREFIX))
    answer = await ready.call("metering", "IngestEvents", request(event(request_id="ours")), token=ours)
    assert answer.accepted_count == 1
    await ready.wait_drained()


async def test_a_user_may_not_call_what_is_the_operators(ready: System) -> None:
    admin = ready.token(org_id=org_of("UA", PREFIX))
    calls = (
        ("metering", "ClosePeriod", metering.ClosePeriodRequest(period="2013-01", all_orgs=True, request_id="mine")),
        ("metering", "ListDeadLetters", metering.ListDeadLettersRequest()),
        ("pricing", "CreateSku", pricing.CreateSkuRequest(request_id="mine")),
        ("ledger", "RunSweep", ledger.RunSweepRequest(week="2013-W01", request_id="mine")),
        ("orgs", "ListAudit", orgs.ListAuditRequest()),
    )
    async with nothing_changes(ready):
        for service, method, message in calls:
            found = await refusal(ready.call(service, method, message, token=admin))
            assert found == Refusal("PERMISSION_DENIED", "ROLE_REQUIRED"), (service, method)


async def test_a_malformed_mutation_names_the_field_and_changes_nothing(ready: System) -> None:
    services = ready.services
    async with nothing_changes(ready):
        for call in (
            services.orgs.CreateOrg(orgs.CreateOrgRequest(org_id="x", legal_name="X", slug="x", request_id="r")),
            services.pricing.CreateSku(pricing.CreateSkuRequest(sku=pricing.Sku(sku="no"), request_id="r")),
            services.ledger.RunSweep(ledger.RunSweepRequest(week="2013-W60", request_id="r")),
            services.metering.ClosePeriod(metering.ClosePeriodRequest(period="2013-13", request_id="r")),
        ):
            found = await refusal(call)
            assert found.status == "INVALID_ARGUMENT"
            assert found.reason


async def test_a_request_id_with_another_body_is_refused_and_with_the_same_answered_as_before(ready: System) -> None:
    step = next(step for step in await ready.apply(FLIGHTS, PREFIX) if step.method == "AssignPlan")
    changed = pricing.AssignPlanRequest.FromString(step.request.SerializeToString())
    changed.notes = "Another body."
    async with nothing_changes(ready):
        found = await refusal(ready.services.pricing.AssignPlan(changed, timeout=CALL_TIMEOUT_S))
        assert found == Refusal("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_an_event_too_far_in_the_future_is_claimed_and_dead_lettered(ready: System) -> None:
    late = Timestamp()
    late.FromJsonString("2099-01-01T00:00:00Z")
    answer = await ready.services.metering.IngestEvents(
        request(event(request_id="from-the-future", event_time=late)), timeout=CALL_TIMEOUT_S
    )
    assert (answer.accepted_count, answer.dead_letter_count) == (0, 1)
    assert answer.outcomes[0].outcome == metering.ENTRY_OUTCOME_KIND_DEAD_LETTERED
    letters = await ready.dead_letters(org_id=ORG, reason="EVENT_IN_FUTURE")
    assert [letter.request_id for letter in letters] == ["from-the-future"]
