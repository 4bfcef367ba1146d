"""Digests, differences, trial balance, invariants, horizons and sums."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.pricing.v1 import lane_pb2 as pricing_lane_pb2
from apportion_common.errors import InvalidArgument, ResourceExhausted, Unavailable
from apportion_common.protos import pack_int
from apportion_common.topology import LANES
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_ledger.app import digest as digest_module
from apportion_ledger.app import lines as lines_module
from apportion_ledger.app import watermarks as watermark_module
from apportion_ledger.domain.digest import digest_of_lines
from ledger_case import CONTEXT, UNIT, LedgerCase, make_case, scaled, timestamp

ORGS = [UUID(int=number) for number in range(1, 6)]
PARTNER = UUID(int=77)


async def terms(ledger: LedgerCase, partner: UUID = PARTNER) -> None:
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


def charges_of(ledger: LedgerCase, count: int = 120) -> list[pricing_lane_pb2.RatedCharge]:
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


async def digest(ledger: LedgerCase, **scope: str) -> pb.GetDigestResponse:
    """The digest of a scope."""
    response: pb.GetDigestResponse = await ledger.rpc.GetDigest(
        pb.GetDigestRequest(scope=pb.DigestScope(**scope)), CONTEXT
    )
    return response


async def listed(ledger: LedgerCase) -> list[pb.LineDigest]:
    """All line digests."""
    pages = ledger.rpc.ListLineDigests(pb.ListLineDigestsRequest(), CONTEXT)
    return [row async for page in pages for row in page.digests]


async def diff(ledger: LedgerCase, theirs: list[pb.LineDigest], **scope: str) -> pb.DiffDigestResponse:
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
        ledger = make_case(service_database("ledger"))
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
    ours, theirs = make_case(service_database("ledger")), make_case(service_database("ledger"))
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


async def test_a_ledger_does_not_differ_from_itself(ledger: LedgerCase) -> None:
    await ledger.charged(*charges_of(ledger))
    found = await diff(ledger, list(reversed(await listed(ledger))))
    assert (found.difference_count, len(found.differences)) == (0, 0)


async def test_a_comparison_begins_with_its_scope(ledger: LedgerCase) -> None:
    async def stream() -> AsyncIterator[pb.DiffDigestRequest]:
        yield pb.DiffDigestRequest()

    async def nothing() -> AsyncIterator[pb.DiffDigestRequest]:
        for request in list[pb.DiffDigestRequest]():
            yield request

    for requests in (stream(), nothing()):
        with pytest.raises(InvalidArgument) as refused:
            await ledger.rpc.DiffDigest(requests, CONTEXT)
        assert refused.value.reason == "SCOPE_MISSING"


async def test_reports_over_more_than_one_answer_can_hold_are_refused(
    ledger: LedgerCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.charged(*charges_of(ledger, 12))
    theirs = await listed(ledger)
    watermark = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
    summary = pb.SummarizeLinesRequest(
        billing_account_id=str(ledger.account), watermark=watermark, until=timestamp("2013-03-01")
    )
    gross, sums = len((await digest(ledger)).gross), len((await ledger.rpc.SummarizeLines(summary, CONTEXT)).sums)

    async def rejections() -> list[str]:
        found = []
        for call in (
            digest(ledger), listed(ledger), diff(ledger, theirs), ledger.rpc.SummarizeLines(summary, CONTEXT),
        ):  # fmt: skip
            try:
                await call
            except ResourceExhausted as refused:
                found.append(refused.reason)
        return found

    for module, name, count in (
        (digest_module, "COARSE_KEYS_MAX", gross),
        (digest_module, "DIGEST_LINES_MAX", len(theirs)),
        (lines_module, "SUMMARY_KEYS_MAX", sums),
    ):
        monkeypatch.setattr(module, name, count)
    assert await rejections() == []
    for module, name, count in (
        (digest_module, "COARSE_KEYS_MAX", gross - 1),
        (digest_module, "DIGEST_LINES_MAX", len(theirs) - 1),
        (lines_module, "SUMMARY_KEYS_MAX", sums - 1),
    ):
        monkeypatch.setattr(module, name, count)
    assert await rejections() == ["TOO_MANY_LINES"] * 4


async def test_scopes_partition_the_digest(ledger: LedgerCase) -> None:
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


async def test_the_trial_balance_is_zero_per_currency_at_every_step(ledger: LedgerCase) -> None:
    async def balanced() -> dict[tuple[str, str], tuple[int, int]]:
        response = await ledger.rpc.GetTrialBalance(pb.GetTrialBalanceRequest(), CONTEXT)
        assert response.balanced
        return {
            (row.account, row.currency): (scaled(row.debit.value), scaled(row.credit.value)) for row in response.rows
        }

    assert await balanced() == {}
    await ledger.credited("10")
    await ledger.charged(ledger.charge("60"), ledger.charge("-2"), ledger.charge("1000", currency="JPY"))
    await balanced()
    await ledger.sweep("2013-W01")
    rows = await balanced()
    assert rows["receivable", "AUD"] == (60 * UNIT, 2 * UNIT)
    assert rows["partner_payable", "AUD"] == (scaled("6.2"), scaled("6"))
    assert rows["cash", "AUD"] == (0, scaled("6"))
    assert ("cash", "JPY") not in rows


BREACHES = {
    "gross_is_partner_plus_net": """
        ALTER TABLE ledger_line DROP CONSTRAINT ck_ledger_line_balanced;
        UPDATE ledger_line SET net = net + 1 WHERE seq = {seq}
    """,
    "partner_share_is_rate_of_gross": """
        UPDATE ledger_line SET net = net - 1, partner_amount = partner_amount + 1 WHERE seq = {seq}
    """,
    "content_matches_hash": "UPDATE ledger_line SET quantity = quantity + 1 WHERE seq = {seq}",
    "every_charge_key_has_one_line": "DELETE FROM ledger_line WHERE seq = {seq}",
    "every_line_has_its_charge_key": """
        DELETE FROM ledger_charge_key AS k USING ledger_line AS l WHERE k.charge_id = l.charge_id AND l.seq = {seq}
    """,
    "every_line_has_a_known_partner": "UPDATE ledger_line SET partner_id = gen_random_uuid() WHERE seq = {seq}",
    "balances_equal_lines_and_payouts": "UPDATE partner_balance SET earned = earned + 1",
    "days_equal_lines_and_payouts": "UPDATE partner_day SET line_count = line_count + 1",
    "real_time_payouts_follow_their_lines": "UPDATE settlement SET amount = amount + 1 WHERE kind = 'real_time'",
    "sweeps_equal_their_claims": "UPDATE settlement SET amount = amount + 1 WHERE kind = 'sweep'",
    "paid_settlements_were_instructed_once": "DELETE FROM payout_instruction",
    "each_line_is_in_one_sweep_at_most": """
        INSERT INTO settlement_line (entry_id, settlement_id)
        SELECT a.entry_id, s.settlement_id FROM settlement_line AS a, settlement AS s WHERE s.kind = 'real_time'
    """,
    "swept_lines_are_the_partners_own": """
        UPDATE ledger_line SET partner_id = NULL, partner_pct = 0, partner_amount = 0, net = amount_gross
        WHERE seq = {seq}
    """,
    "lanes_stand_at_or_after_their_lines": "UPDATE lane SET pos = 0",
    "receipts_have_no_gaps": """
        INSERT INTO lane_outbox (role, lane, pos, subject, payload)
        VALUES ('ledger_poster', 1, 1, 's', ''), ('ledger_poster', 1, 3, 's', '')
    """,
    "one_partner_of_record_at_a_time": """
        ALTER TABLE partner_of_record DROP CONSTRAINT ex_partner_of_record_overlap;
        INSERT INTO partner_of_record (por_id, subject_type, subject_id, partner_id, start_at)
        SELECT gen_random_uuid(), subject_type, subject_id, partner_id, start_at FROM partner_of_record
    """,
    "postings_sum_to_zero": """
        ALTER TABLE ledger_line DROP CONSTRAINT ck_ledger_line_balanced;
        UPDATE ledger_line SET amount_gross = amount_gross + 1 WHERE seq = {seq}
    """,
}


@pytest.mark.parametrize("name", BREACHES)
async def test_check_ledger_names_a_planted_breach(ledger: LedgerCase, name: str) -> None:
    await ledger.credited("10")
    charge = ledger.charge("60")
    await ledger.charged(ledger.charge("3"), charge, ledger.charge("4"))
    await ledger.sweep("2013-W01")
    await ledger.parts.payouts.settle_pending()
    assert not await ledger.breaches()
    tables = ledger.as_owner("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
    ledger.as_owner(
        *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for (table,) in tables),
        BREACHES[name].format(entry_seq=charge.entry_seq),
    )
    found = await ledger.breaches()
    assert found[name]


async def test_a_watermark_waits_for_a_transaction_in_progress(ledger: LedgerCase) -> None:
    request = pb.FixWatermarkRequest(period="2013-01")
    async with ledger.made.owner_engine.connect() as other:
        await other.exec_driver_sql("SELECT pg_current_xact_id()")
        waiting = asyncio.create_task(ledger.rpc.FixWatermark(request, CONTEXT))
        await ledger.charged(ledger.charge("3"))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await other.commit()
        fixed = await waiting
    ((below,),) = ledger.as_owner(f"SELECT posted_xid < '{fixed.watermark}'::xid8 FROM ledger_line")
    later = ledger.charge("4")
    await ledger.charged(later)
    rows = ledger.as_owner(f"SELECT posted_xid < '{fixed.watermark}'::xid8 FROM ledger_line ORDER BY seq")
    assert rows == [(below,), (False,)]


async def test_a_watermark_that_has_to_wait_too_long_is_refused(
    ledger: LedgerCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watermark_module, "_POLLS", 3)
    async with ledger.made.owner_engine.connect() as other:
        await other.exec_driver_sql("SELECT pg_current_xact_id()")
        with pytest.raises(Unavailable) as busy:
            await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)
        assert busy.value.reason == "WATERMARK_BUSY"


async def test_a_period_is_closed_when_every_lane_has_closed_it_for_all(ledger: LedgerCase) -> None:
    request = pb.FixWatermarkRequest(period="2013-01")
    close = common_lane_pb2.PeriodClose(period="2013-01")
    single = common_lane_pb2.PeriodClose(period="2013-01", org_id=ledger.org.bytes)
    await ledger.post(ledger.batch([], lane=0, closes=[close, single]))
    for lane in range(1, LANES):
        fixed = await ledger.rpc.FixWatermark(request, CONTEXT)
        assert (fixed.period_closed, list(fixed.closed_org_ids)) == (False, [str(ledger.org)])
        await ledger.post(ledger.batch([], lane=lane, closes=[close]))
    assert (await ledger.rpc.FixWatermark(request, CONTEXT)).period_closed
    assert not (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-02"), CONTEXT)).period_closed


async def test_each_line_is_in_exactly_one_of_an_accounts_invoices(ledger: LedgerCase) -> None:
    until = {"first": timestamp("2013-02-01"), "second": timestamp("2013-03-01")}

    async def watermark() -> int:
        fixed: int = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
        return fixed

    async def gross(at: int, end: str, previous: int = 0) -> int:
        request = pb.SummarizeLinesRequest(
            billing_account_id=str(ledger.account),
            watermark=at,
            until=until[end],
            previous_watermark=previous,
            previous_until=until["first"] if previous else None,
        )
        sums = (await ledger.rpc.SummarizeLines(request, CONTEXT)).sums
        return sum(scaled(row.gross.value) for row in sums)

    await ledger.charged(ledger.charge("1"), ledger.charge("2", at="2013-02-01T00:00:00"))
    first = await watermark()
    await ledger.charged(ledger.charge("4"), ledger.charge("8", account=uuid4()))
    assert await gross(first, "first") == 1 * UNIT
    second = await watermark()
    assert await gross(second, "second", first) == 6 * UNIT
    assert await gross(second, "second") == 7 * UNIT


async def test_sums_are_by_what_an_invoice_shows(ledger: LedgerCase) -> None:
    await ledger.credited("10")
    project = uuid4()
    await ledger.charged(
        ledger.charge("1", quantity="2", project=project), ledger.charge("3", project=project), ledger.charge("5")
    )
    watermark = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
    request = pb.SummarizeLinesRequest(
        billing_account_id=str(ledger.account), watermark=watermark, until=timestamp("2013-02-01")
    )
    sums = (await ledger.rpc.SummarizeLines(request, CONTEXT)).sums
    found = {
        row.project_id: (row.line_count, row.quantity.value, row.gross.value, row.partner_amount.value, row.mapping_id)
        for row in sums
    }
    assert found == {
        str(project): (2, "3", "4", "0.4", str(ledger.mapping)),
        "": (1, "1", "5", "0.5", str(ledger.mapping)),
    }


async def test_lines_are_listed_by_every_filter_page_by_page(ledger: LedgerCase) -> None:
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
