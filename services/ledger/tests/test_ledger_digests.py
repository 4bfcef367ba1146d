"""Digests and differences of lines, and lists of them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.pricing.v1 import lane_pb2 as pricing_lane_pb2
from apportion_common.errors import InvalidArgument, ResourceExhausted
from apportion_common.protos import pack_int
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_ledger.app import digests as digests_module
from apportion_ledger.app import lines as lines_module
from ledger_digest import digest_of_lines
from ledger_harness import CONTEXT, LedgerHarness, make_harness, scaled, timestamp

ORGS = [UUID(int=number) for number in range(1, 6)]
PARTNER = UUID(int=77)


async def terms(ledger: LedgerHarness, partner: UUID = PARTNER) -> None:
    """A partner of a fixed id for two of the orgs."""
    request = pb.CreatePartnerRequest(
        partner_id=str(partner), name="P", payout_currency="AUD", tier="gold",
        effective_at=timestamp("2012-12-01"), request_id=f"partner {partner}",
    )  # fmt: skip
    await ledger.rpc.CreatePartner(request, CONTEXT)
    if partner == PARTNER:
        await ledger.rate("12.5")
        for org in ORGS[:2]:
            await ledger.por(partner, org=org)


def charges_of(ledger: LedgerHarness, count: int = 120) -> list[pricing_lane_pb2.RatedCharge]:
    """The same charges for every ledger."""
    drawn = random.Random(3)
    ledger.account = ledger.mapping = UUID(int=42)
    return [
        ledger.charge(
            f"{drawn.randrange(100)}.{drawn.randrange(10**9):09d}",
            request=f"r{number}",
            org=drawn.choice(ORGS),
            sku=drawn.choice(("ACT-SMS", "VAL-EMAIL")),
            at=f"2013-{drawn.choice(('01', '02'))}-{drawn.randrange(1, 29):02d}T00:00:00",
        )
        for number in range(count)
    ]


async def digest(ledger: LedgerHarness, **scope: str) -> pb.GetDigestResponse:
    """The digest of a scope."""
    response: pb.GetDigestResponse = await ledger.rpc.GetDigest(
        pb.GetDigestRequest(scope=pb.DigestScope(**scope)), CONTEXT
    )
    return response


async def listed(ledger: LedgerHarness) -> list[pb.LineDigest]:
    """All line digests."""
    pages = ledger.rpc.ListLineDigests(pb.ListLineDigestsRequest(), CONTEXT)
    return [row async for page in pages for row in page.digests]


async def diff(ledger: LedgerHarness, theirs: list[pb.LineDigest], **scope: str) -> pb.DiffDigestResponse:
    """What differs from other digests."""

    async def stream() -> AsyncIterator[pb.DiffDigestRequest]:
        yield pb.DiffDigestRequest(scope=pb.DigestScope(**scope))
        for start in range(0, len(theirs), 50):
            yield pb.DiffDigestRequest(digests=theirs[start : start + 50])

    response: pb.DiffDigestResponse = await ledger.rpc.DiffDigest(stream(), CONTEXT)
    return response


async def test_the_digest_does_not_depend_on_batches_lanes_or_order(service_database: MakeServiceDatabase) -> None:
    digests = []
    for size, seed in ((120, 0), (1, 1), (7, 2)):
        ledger = make_harness(service_database("ledger"))
        await terms(ledger)
        charges = charges_of(ledger)
        if seed:
            random.Random(seed).shuffle(charges)
        for start in range(0, len(charges), size):
            await ledger.charged(*charges[start : start + size], lane=start % (seed + 1))
        found = await digest(ledger)
        digests.append((found.digest, found.coarse_digest, found.line_count))
        rows = await listed(ledger)
        assert digest_of_lines((row.charge_id, row.content_hash) for row in rows).root.hex() == found.digest
        assert [row.charge_id for row in rows] == sorted(row.charge_id for row in rows)
    assert len(set(digests)) == 1
    assert digests[0][2] == 120


@pytest.mark.parametrize("what", ["quantity", "amount", "project", "partner", "dropped", "added"])
async def test_one_change_gives_another_digest_and_the_difference_names_the_line(
    service_database: MakeServiceDatabase, what: str
) -> None:
    ours, theirs = make_harness(service_database("ledger")), make_harness(service_database("ledger"))
    for ledger in (ours, theirs):
        await terms(ledger)
    await terms(theirs, UUID(int=78))
    charges, others = charges_of(ours), charges_of(theirs)
    if what == "quantity":
        others[5].quantity = pack_int(scaled("1.000000001"))
    elif what == "amount":
        others[5].amount = pack_int(scaled("1.000000001"))
    elif what == "project":
        others[5].project_id = uuid4().bytes
    elif what == "dropped":
        del others[5]
    elif what == "added":
        del charges[5]
    touched = [charges_of(ours)[5].charge_id]
    if what == "partner":
        await theirs.por(UUID(int=78), org=ORGS[2])
        touched = sorted(charge.charge_id for charge in charges if charge.org_id == ORGS[2].bytes)
    await ours.charged(*charges)
    await theirs.charged(*others)
    assert (await digest(ours)).digest != (await digest(theirs)).digest
    found = await diff(ours, await listed(theirs))
    assert found.difference_count == len(touched)
    assert [row.charge_id for row in found.differences] == [str(UUID(bytes=charge_id)) for charge_id in touched]
    kind = {"dropped": pb.DIFFERENCE_KIND_EXTRA, "added": pb.DIFFERENCE_KIND_MISSING}.get(
        what, pb.DIFFERENCE_KIND_DIFFERENT
    )
    assert {row.kind for row in found.differences} == {kind}
    for row in found.differences:
        assert row.HasField("line") == (what != "added")
        assert what == "added" or row.line.charge_id == row.charge_id
    same_gross = (await digest(ours)).coarse_digest == (await digest(theirs)).coarse_digest
    assert same_gross == (what in ("quantity", "project", "partner"))


async def test_a_ledger_does_not_differ_from_itself(ledger: LedgerHarness) -> None:
    await ledger.charged(*charges_of(ledger))
    found = await diff(ledger, list(reversed(await listed(ledger))))
    assert (found.difference_count, len(found.differences)) == (0, 0)


async def test_a_comparison_begins_with_its_scope(ledger: LedgerHarness) -> None:
    async def stream() -> AsyncIterator[pb.DiffDigestRequest]:
        yield pb.DiffDigestRequest()

    async def nothing() -> AsyncIterator[pb.DiffDigestRequest]:
        for request in list[pb.DiffDigestRequest]():
            yield request

    for requests in (stream(), nothing()):
        with pytest.raises(InvalidArgument) as rejected:
            await ledger.rpc.DiffDigest(requests, CONTEXT)
        assert rejected.value.reason == "SCOPE_MISSING"


async def test_reports_over_more_than_one_answer_can_hold_are_rejected(
    ledger: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.charged(*charges_of(ledger, 12))
    theirs = await listed(ledger)
    watermark = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
    summary = pb.SummarizeLinesRequest(billing_account_id=str(ledger.account), watermark=watermark, period="2013-03")

    async def summarized() -> int:
        return sum([len(page.sums) async for page in ledger.rpc.SummarizeLines(summary, CONTEXT)])

    gross, sums = len((await digest(ledger)).gross), await summarized()

    async def rejections() -> list[str]:
        found = []
        for call in (
            digest(ledger), listed(ledger), diff(ledger, theirs), summarized(),
        ):  # fmt: skip
            try:
                await call
            except ResourceExhausted as rejected:
                found.append(rejected.reason)
        return found

    for module, name, count in (
        (digests_module, "COARSE_KEYS_MAX", gross),
        (digests_module, "DIGEST_LINES_MAX", len(theirs)),
        (lines_module, "SUMMARY_KEYS_MAX", sums),
    ):
        monkeypatch.setattr(module, name, count)
    assert await rejections() == []
    for module, name, count in (
        (digests_module, "COARSE_KEYS_MAX", gross - 1),
        (digests_module, "DIGEST_LINES_MAX", len(theirs) - 1),
        (lines_module, "SUMMARY_KEYS_MAX", sums - 1),
    ):
        monkeypatch.setattr(module, name, count)
    assert await rejections() == ["TOO_MANY_LINES"] * 4


async def test_scopes_partition_the_digest(ledger: LedgerHarness) -> None:
    await ledger.charged(*charges_of(ledger))
    whole = await digest(ledger)
    by_org = [await digest(ledger, org_id=str(org)) for org in ORGS]
    by_period = [await digest(ledger, period=period) for period in ("2013-01", "2013-02", "2013-03")]
    assert sum(part.line_count for part in by_org) == sum(part.line_count for part in by_period) == whole.line_count
    assert by_period[2].line_count == 0
    assert (await digest(ledger, billing_account_id=str(ledger.account))).digest == whole.digest
    assert sum(scaled(row.gross.value) for row in whole.gross) == sum(
        int.from_bytes(charge.amount, "big", signed=True) for charge in charges_of(ledger)
    )
    assert [row for part in by_org for row in part.gross] == list(whole.gross)


async def test_lines_are_listed_by_every_filter_page_by_page(ledger: LedgerHarness) -> None:
    partner = await ledger.credited()
    charges = charges_of(ledger, 30)
    project, mine = uuid4(), ledger.charge("9", at="2013-01-15T00:00:00")
    mine.project_id = project.bytes
    await ledger.charged(*charges, mine)
    everything = await ledger.lines()
    assert [line.entry_id for line in everything] == sorted(line.entry_id for line in everything)
    pages, token = [], ""
    while True:
        response = await ledger.rpc.ListLines(pb.ListLinesRequest(page_size=7, page_token=token), CONTEXT)
        pages += response.lines
        token = response.next_page_token
        if not token:
            break
    assert pages == everything
    event = str(UUID(bytes=mine.event_id))
    for wanted in (
        {"org_id": str(ledger.org)},
        {"project_id": str(project)},
        {"partner_id": str(partner)},
        {"event_id": event},
        {"event_id": event, "org_id": str(ledger.org)},
        {"until": timestamp("2013-01-15T00:00:00.000001"), "from": timestamp("2013-01-15"), "org_id": str(ledger.org)},
    ):
        assert [line.event_id for line in await ledger.lines(**wanted)] == [event], wanted
    assert await ledger.lines(event_id=event, org_id=str(uuid4())) == []
    assert len(await ledger.lines(sku="ACT-SMS")) + len(await ledger.lines(sku="VAL-EMAIL")) == 31
    assert len(await ledger.lines(billing_account_id=str(ledger.account))) == 31
