"""Partners, rates and partners of record; who a line is credited to."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from apportion.common.v1.audit_pb2 import AuditQuery
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.errors import AlreadyExists, ApportionError, FailedPrecondition, InvalidArgument, NotFound
from apportion_ledger.settings import Settings
from google.type.decimal_pb2 import Decimal as DecimalMessage
from ledger_harness import CONTEXT, LedgerHarness, timestamp
from pydantic import ValidationError

FROM = "2013-01-10T00:00:00"


async def resolved(ledger: LedgerHarness, at: str, *, account: bool = True) -> tuple[str, str]:
    """Partner and tier at an instant."""
    request = pb.ResolvePartnerOfRecordRequest(
        org_id=str(ledger.org), billing_account_id=str(ledger.account) if account else "", at=timestamp(at)
    )
    response = await ledger.rpc.ResolvePartnerOfRecord(request, CONTEXT)
    return response.partner_of_record.partner_id, response.tier


async def test_the_accounts_partner_of_record_counts_before_the_orgs_at_every_instant(ledger: LedgerHarness) -> None:
    of_org, of_account = await ledger.partner(), await ledger.partner(tier="silver")
    await ledger.rate("10")
    await ledger.rate("20", tier="silver")
    await ledger.por(of_org, start="2013-01-05T00:00:00")
    await ledger.por(of_account, account=ledger.account, start=FROM, end="2013-01-20T00:00:00")
    instants = {
        "2013-01-04T23:59:59.999999": ("", "0"),
        "2013-01-05T00:00:00": (str(of_org), "10"),
        "2013-01-09T23:59:59.999999": (str(of_org), "10"),
        "2013-01-10T00:00:00": (str(of_account), "20"),
        "2013-01-19T23:59:59.999999": (str(of_account), "20"),
        "2013-01-20T00:00:00": (str(of_org), "10"),
    }
    charges = {at: ledger.charge("1", at=at) for at in instants}
    await ledger.charged(*charges.values())
    for at, expected in instants.items():
        line = await ledger.line_of(charges[at])
        assert (line.partner_id, line.partner_pct.value) == expected, at
        assert line.partner_from_account == (expected[0] == str(of_account))
        assert (await resolved(ledger, at))[0] == expected[0]
    assert await resolved(ledger, FROM) == (str(of_account), "silver")
    assert await resolved(ledger, FROM, account=False) == (str(of_org), "gold")


async def test_an_exact_rate_counts_before_the_type_and_the_type_before_the_default(ledger: LedgerHarness) -> None:
    await ledger.por(await ledger.partner())
    await ledger.rate("5")
    await ledger.rate("6", kind=pb.MATCH_KIND_SKU_TYPE, value="action")
    await ledger.rate("0", kind=pb.MATCH_KIND_SKU, value="ACT-FREE")
    await ledger.rate("7.1234", kind=pb.MATCH_KIND_SKU, value="ACT-SMS", since=FROM)
    expected = {
        ("ACT-SMS", "action", "2013-01-09T23:59:59.999999"): "6",
        ("ACT-SMS", "action", FROM): "7.1234",
        ("ACT-EMAIL", "action", FROM): "6",
        ("ACT-FREE", "action", FROM): "0",
        ("VAL-EMAIL", "validation", FROM): "5",
    }
    charges = {key: ledger.charge("1", sku=key[0], sku_type=key[1], at=key[2]) for key in expected}
    await ledger.charged(*charges.values())
    for key, pct in expected.items():
        assert (await ledger.line_of(charges[key])).partner_pct.value == pct, key


async def test_without_a_rate_the_partner_stays_on_the_line_with_nothing(ledger: LedgerHarness) -> None:
    partner = await ledger.partner(tier="unrated")
    await ledger.por(partner)
    charge = ledger.charge("60")
    await ledger.charged(charge)
    line = await ledger.line_of(charge)
    assert (line.partner_id, line.partner_pct.value) == (str(partner), "0")
    assert not line.HasField("real_time_paid")


async def test_a_later_tier_changes_later_lines_only(ledger: LedgerHarness) -> None:
    partner = await ledger.partner()
    await ledger.por(partner)
    await ledger.rate("10")
    await ledger.rate("12", tier="platinum")
    request = pb.SetPartnerTierRequest(
        partner_id=str(partner), tier="platinum", effective_at=timestamp(FROM), request_id="tier"
    )
    await ledger.rpc.SetPartnerTier(request, CONTEXT)
    before, after = ledger.charge("1", at="2013-01-09T23:59:59"), ledger.charge("1", at=FROM)
    await ledger.charged(before, after)
    assert (await ledger.line_of(before)).partner_pct.value == "10"
    assert (await ledger.line_of(after)).partner_pct.value == "12"


async def test_terms_that_change_between_batches_are_seen_by_the_next(ledger: LedgerHarness) -> None:
    first, second = ledger.charge("1"), ledger.charge("1")
    await ledger.charged(first)
    await ledger.credited()
    await ledger.charged(second)
    assert (await ledger.line_of(first)).partner_id == ""
    assert (await ledger.line_of(second)).partner_id != ""


async def test_an_ended_assignment_ends_at_its_instant_and_another_may_follow(ledger: LedgerHarness) -> None:
    first, second = await ledger.partner(), await ledger.partner()
    por_id = await ledger.por(first)
    end = pb.EndPartnerOfRecordRequest(por_id=por_id, end_at=timestamp(FROM), request_id="end")
    response = await ledger.rpc.EndPartnerOfRecord(end, CONTEXT)
    assert await ledger.rpc.EndPartnerOfRecord(end, CONTEXT) == response
    assert (await resolved(ledger, "2013-01-09T23:59:59.999999"))[0] == str(first)
    assert (await resolved(ledger, FROM))[0] == ""
    await ledger.por(second, start=FROM)
    assert (await resolved(ledger, FROM))[0] == str(second)
    with pytest.raises(FailedPrecondition, match="has an end") as rejected:
        await ledger.rpc.EndPartnerOfRecord(
            pb.EndPartnerOfRecordRequest(por_id=por_id, end_at=timestamp(FROM), request_id="again"), CONTEXT
        )
    assert rejected.value.reason == "PARTNER_OF_RECORD_ENDED"
    versions = ledger.as_owner(
        f"SELECT end_at IS NULL FROM partner_of_record_version WHERE por_id = '{por_id}' ORDER BY revision"
    )
    assert versions == [(True,), (False,)]


async def test_overlapping_partners_of_record_of_one_subject_are_rejected(ledger: LedgerHarness) -> None:
    partner = await ledger.partner()
    await ledger.por(partner, start="2013-01-05T00:00:00", end=FROM)
    for start, end in (
        ("2013-01-09T23:59:59.999999", None),
        ("2013-01-01T00:00:00", "2013-01-05T00:00:00.000001"),
        ("2013-01-06T00:00:00", "2013-01-07T00:00:00"),
        ("2013-01-01T00:00:00", None),
    ):
        with pytest.raises(FailedPrecondition) as rejected:
            await ledger.por(partner, start=start, end=end)
        assert rejected.value.reason == "PARTNER_OF_RECORD_OVERLAP"
    await ledger.por(partner, start="2013-01-01T00:00:00", end="2013-01-05T00:00:00")
    await ledger.por(partner, start=FROM)
    await ledger.por(partner, account=ledger.account)


async def test_of_overlapping_assignments_made_at_once_one_is_kept(ledger: LedgerHarness) -> None:
    partner = await ledger.partner()

    async def assign(number: int) -> bool:
        try:
            await ledger.por(partner, start=f"2013-01-{number:02d}T00:00:00")
        except FailedPrecondition:
            return False
        return True

    assert sum(await asyncio.gather(*(assign(number) for number in range(1, 9)))) == 1
    assert ledger.as_owner("SELECT count(*) FROM partner_of_record") == [(1,)]


async def test_revisions_are_given_without_gaps_by_writers_at_once(ledger: LedgerHarness) -> None:
    revisions = await asyncio.gather(*(ledger.rate("1", tier=f"tier {n}") for n in range(8)))
    assert sorted(revisions) == list(range(1, 9))


async def test_a_repeated_mutation_gives_the_first_answer_and_another_body_is_rejected(ledger: LedgerHarness) -> None:
    request = pb.CreatePartnerRequest(
        name="N", payout_currency="AUD", tier="gold", effective_at=timestamp(FROM), request_id="one"
    )
    first = await ledger.rpc.CreatePartner(request, CONTEXT)
    assert await ledger.rpc.CreatePartner(request, CONTEXT) == first
    assert ledger.as_owner("SELECT count(*) FROM partner") == [(1,)]
    request.name = "M"
    with pytest.raises(AlreadyExists) as rejected:
        await ledger.rpc.CreatePartner(request, CONTEXT)
    assert rejected.value.reason == "REQUEST_ID_REUSED"


async def test_bad_terms_are_rejected_with_their_reasons_and_change_nothing(ledger: LedgerHarness) -> None:
    partner = str(await ledger.partner())
    at = timestamp(FROM)

    def rate(pct: str, kind: pb.MatchKind = pb.MATCH_KIND_DEFAULT, value: str = "") -> pb.SetCommissionRateRequest:
        return pb.SetCommissionRateRequest(
            tier="gold", match_kind=kind, match_value=value, pct=DecimalMessage(value=pct), effective_at=at,
            request_id=ledger.request_id(),
        )  # fmt: skip

    def por(**changed: object) -> pb.AssignPartnerOfRecordRequest:
        fields: dict[str, object] = {
            "subject_type": pb.SUBJECT_TYPE_ORG, "subject_id": str(ledger.org), "partner_id": partner, "start_at": at,
            "request_id": ledger.request_id(),
        }  # fmt: skip
        return pb.AssignPartnerOfRecordRequest(**(fields | changed))  # type: ignore[arg-type]

    def partner_request(**changed: object) -> pb.CreatePartnerRequest:
        fields: dict[str, object] = {
            "name": "N", "payout_currency": "AUD", "tier": "gold", "effective_at": at,
            "request_id": ledger.request_id(),
        }  # fmt: skip
        return pb.CreatePartnerRequest(**(fields | changed))  # type: ignore[arg-type]

    unknown = str(uuid4())
    cases: list[tuple[str, object, type[ApportionError], str]] = [
        ("CreatePartner", partner_request(partner_id=partner), AlreadyExists, "PARTNER_EXISTS"),
        ("CreatePartner", partner_request(payout_currency="XXX"), InvalidArgument, "CURRENCY_UNKNOWN"),
        ("SetCommissionRate", rate("100.0001"), InvalidArgument, "PCT_OUT_OF_RANGE"),
        ("SetCommissionRate", rate("-0.0001"), InvalidArgument, "PCT_OUT_OF_RANGE"),
        ("SetCommissionRate", rate("1e400"), InvalidArgument, "PCT_OUT_OF_RANGE"),
        ("SetCommissionRate", rate("1.00001"), InvalidArgument, "PERCENT_TOO_PRECISE"),
        ("SetCommissionRate", rate("NaN"), InvalidArgument, "PERCENT_MALFORMED"),
        ("SetCommissionRate", rate("1", value="ACT-SMS"), InvalidArgument, "MATCH_VALUE_WRONG"),
        ("SetCommissionRate", rate("1", pb.MATCH_KIND_SKU), InvalidArgument, "MATCH_VALUE_WRONG"),
        *(
            ("SetCommissionRate", rate("1", pb.MATCH_KIND_SKU_TYPE, value), InvalidArgument, "MATCH_VALUE_WRONG")
            for value in (
                "",
                "SKU_TYPE_ACTION",
                "ACTION",
                "Action",
                "action ",
                " action",
                "actoin",
                "ACT-SMS",
                "act\u200bion",
            )
        ),
        *(
            ("SetCommissionRate", rate("1", pb.MATCH_KIND_SKU, value), InvalidArgument, "MATCH_VALUE_WRONG")
            for value in ("act-email", "ACT-EMAIL ", "ACT EMAIL", "-ACT", "ACT-", "action", "ACT-\u00c9MAIL")
        ),
        ("AssignPartnerOfRecord", por(partner_id=unknown), NotFound, "PARTNER_NOT_FOUND"),
        ("AssignPartnerOfRecord", por(end_at=at), InvalidArgument, "INTERVAL_EMPTY"),
        ("AssignPartnerOfRecord", por(subject_id="no id"), InvalidArgument, "ID_MALFORMED"),
        (
            "SetPartnerTier",
            pb.SetPartnerTierRequest(partner_id=unknown, tier="t", effective_at=at, request_id="x"),
            NotFound,
            "PARTNER_NOT_FOUND",
        ),
        (
            "EndPartnerOfRecord",
            pb.EndPartnerOfRecordRequest(por_id=unknown, end_at=at, request_id="y"),
            NotFound,
            "PARTNER_OF_RECORD_NOT_FOUND",
        ),
        ("ResolvePartnerOfRecord", pb.ResolvePartnerOfRecordRequest(at=at), InvalidArgument, "SUBJECT_MISSING"),
        ("GetPartnerStatement", pb.GetPartnerStatementRequest(partner_id=unknown), NotFound, "PARTNER_NOT_FOUND"),
        ("ListLines", pb.ListLinesRequest(page_token="?"), InvalidArgument, "PAGE_TOKEN_MALFORMED"),
    ]
    before = ledger.as_owner("SELECT revision FROM config_head")
    for method, request, kind, reason in cases:
        with pytest.raises(kind) as rejected:
            await getattr(ledger.rpc, method)(request, CONTEXT)
        assert rejected.value.reason == reason, method
    assert ledger.as_owner("SELECT revision FROM config_head") == before


async def test_every_change_of_terms_has_its_audit_row(ledger: LedgerHarness) -> None:
    partner = await ledger.credited()
    por_id = ledger.as_owner("SELECT por_id FROM partner_of_record")[0][0]
    end = pb.EndPartnerOfRecordRequest(por_id=str(por_id), end_at=timestamp(FROM), request_id="end")
    await ledger.rpc.EndPartnerOfRecord(end, CONTEXT)
    request = pb.ListAuditRequest(query=AuditQuery())
    entries = (await ledger.rpc.ListAudit(request, CONTEXT)).entries
    assert [entry.action for entry in entries] == [
        "partner_of_record.end", "partner_of_record.assign", "commission_rate.set", "partner.create",
    ]  # fmt: skip
    assert (entries[0].request_id, entries[0].org_id) == ("end", str(ledger.org))
    assert entries[-1].resource == f"partner/{partner}"


@pytest.mark.parametrize(
    "text",
    [
        "AUD:0",
        "AUD:-1",
        "AUD:NaN",
        "AUD:Infinity",
        "XXX:5",
        "aud:5",
        "AUD",
        "AUD:",
        ":5",
        "AUD:5,AUD:6",
        "AUD:1e400",
        ",",
    ],
)
def test_a_threshold_that_is_not_sound_stops_the_start(text: str) -> None:
    fields = dict.fromkeys(
        ("nats_url", "nats_user", "nats_password", "token_issuer", "token_audience"), "x"
    ) | dict.fromkeys(("tls_cert_file", "tls_key_file", "tls_ca_file", "jwks_file", "service_token_file"), "/x")
    listen = {"grpc_listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "database_url": "postgresql://x/x"}
    sound = Settings(**fields, **listen)  # type: ignore[arg-type]
    assert sound.real_time_thresholds == {"AUD": 50 * 10**9}
    for name in ("real_time_threshold", "minimum_payout"):
        with pytest.raises(ValidationError):
            Settings(**fields, **listen, **{name: text})  # type: ignore[arg-type]


def test_thresholds_are_set_per_currency() -> None:
    settings = Settings.model_construct(real_time_threshold="AUD:50.005, JPY:7000")
    assert settings.real_time_thresholds == {"AUD": 50_005_000_000, "JPY": 7000 * 10**9}


async def test_a_wrong_sku_type_is_answered_with_what_to_write(ledger: LedgerHarness) -> None:
    with pytest.raises(InvalidArgument) as rejected:
        await ledger.rate("15", kind=pb.MATCH_KIND_SKU_TYPE, value="SKU_TYPE_ACTION")
    assert rejected.value.field == "match_value"
    assert "hosting, object, validation, action, analytics; write action" in rejected.value.message


async def test_a_key_that_nothing_has_is_named_in_the_answer_until_something_has_it(ledger: LedgerHarness) -> None:
    at = timestamp(FROM)

    def rate(tier: str) -> pb.SetCommissionRateRequest:
        return pb.SetCommissionRateRequest(
            tier=tier, match_kind=pb.MATCH_KIND_DEFAULT, pct=DecimalMessage(value="15"), effective_at=at,
            request_id=ledger.request_id(),
        )  # fmt: skip

    def partner(tier: str) -> pb.CreatePartnerRequest:
        return pb.CreatePartnerRequest(
            name="N", payout_currency="AUD", tier=tier, effective_at=at, request_id=ledger.request_id()
        )

    lonely = await ledger.rpc.CreatePartner(partner("gold-1"), CONTEXT)
    assert lonely.tier_without_rate == "gold-1"
    misspelt = rate("Gold-1")
    first = await ledger.rpc.SetCommissionRate(misspelt, CONTEXT)
    assert first.tier_without_partner == "Gold-1"
    assert (await ledger.rpc.SetCommissionRate(rate("gold-1"), CONTEXT)).tier_without_partner == ""
    assert (await ledger.rpc.CreatePartner(partner("gold-1"), CONTEXT)).tier_without_rate == ""
    for tier, without_rate in (("silver", "silver"), ("Gold-1", "")):
        request = pb.SetPartnerTierRequest(
            partner_id=lonely.partner.partner_id, tier=tier, effective_at=at, request_id=ledger.request_id()
        )
        assert (await ledger.rpc.SetPartnerTier(request, CONTEXT)).tier_without_rate == without_rate
    # The first answer is what the same request gives again.
    assert await ledger.rpc.SetCommissionRate(misspelt, CONTEXT) == first
