"""Claims from their making to their end, one organisation at a time (spec 01, domain claims)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.databases import ServiceDatabase
from apportion_identity.domain.proofs import token_hash, token_of_address
from apportion_identity.jobs.expire_claims import ClaimExpiryJob
from apportion_identity.store.claims import ClaimStore
from claims_harness import VERIFIED, ClaimsHarness
from identity_harness import MAIL_DOMAIN, OPERATOR, org_id

PENDING, REVOKED = pb.CLAIM_STATUS_PENDING, pb.CLAIM_STATUS_REVOKED


@pytest.fixture
def harness(service_database: Callable[[str], ServiceDatabase]) -> ClaimsHarness:
    return ClaimsHarness(service_database("identity"))


def expiry(harness: ClaimsHarness, *, paused: bool = False) -> ClaimExpiryJob:
    return ClaimExpiryJob(harness.use_cases.claims, lambda: paused)


async def test_a_claim_gives_an_address_once_and_keeps_its_hash_only(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme", "Bücher-Laden.DE.")
    assert made.claim.domain == "xn--bcher-laden-thb.de"
    assert made.claim.status == PENDING
    assert made.claim.token_expires_at.seconds - made.claim.created_at.seconds == 72 * 3_600
    token = token_of_address(made.mail_to, MAIL_DOMAIN)
    assert token is not None
    assert len(token) == 32
    assert harness.rows("SELECT token_hash FROM domain_claim") == [(token_hash(token),)]
    local = made.mail_to.partition("@")[0].removeprefix("claim-")
    for table in ("request_record", "audit_entry", "outbox", "domain_claim"):
        assert local not in str(harness.rows(f"SELECT t::text, encode(t::text::bytea, 'escape') FROM {table} t"))
    for payload in harness.rows("SELECT response FROM request_record UNION ALL SELECT payload FROM outbox"):
        assert local.encode() not in bytes(payload[0])


async def test_a_repeated_call_gets_the_same_claim_without_the_address(harness: ClaimsHarness) -> None:
    first = await harness.claim("acme", request_id="one")
    again = await harness.claim("acme", request_id="one")
    assert again.claim == first.claim
    assert again.mail_to == ""
    assert len(harness.events("identity.claim.created")) == 1


@pytest.mark.parametrize(
    ("domain", "status", "reason"),
    [
        ("not a domain", "INVALID_ARGUMENT", "DOMAIN_MALFORMED"),
        ("co.uk", "INVALID_ARGUMENT", "DOMAIN_PUBLIC_SUFFIX"),
        ("example.com", "INVALID_ARGUMENT", "DOMAIN_SPECIAL_USE"),
        ("192.0.2.1", "INVALID_ARGUMENT", "DOMAIN_IP_LITERAL"),
        ("gmail.com", "FAILED_PRECONDITION", "DOMAIN_SHARED_MAIL"),
        ("everyones-mail.com", "FAILED_PRECONDITION", "DOMAIN_SHARED_MAIL"),
    ],
)
async def test_what_nobody_can_own_is_not_claimed(
    harness: ClaimsHarness, domain: str, status: str, reason: str
) -> None:
    setting = pb.SetGlobalSettingRequest(key="shared_mail_domains", value="everyones-mail.com", reason="a provider")
    await harness.call(OPERATOR, "SetGlobalSetting", setting)
    request = pb.CreateClaimRequest(org_id=org_id("acme"), domain=domain)
    assert await harness.reason(harness.member("acme"), "CreateClaim", request) == (status, reason)
    assert harness.rows("SELECT count(*) FROM domain_claim") == [(0,)]


async def test_an_organisation_claims_a_name_once_at_a_time(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    request = pb.CreateClaimRequest(org_id=org_id("acme"), domain="ACME.com")
    assert await harness.reason(harness.member("acme"), "CreateClaim", request) == ("ALREADY_EXISTS", "CLAIM_EXISTS")
    await harness.call(OPERATOR, "RevokeClaim", pb.RevokeClaimRequest(**ids(made.claim), reason="by mistake"))
    assert (await harness.claim("acme")).claim.status == PENDING


async def test_an_organisation_makes_so_many_claims_a_day(harness: ClaimsHarness) -> None:
    setting = pb.SetGlobalSettingRequest(key="claims_daily_limit", value="2", reason="few")
    await harness.call(OPERATOR, "SetGlobalSetting", setting)
    await harness.claim("acme", "one.com")
    await harness.claim("acme", "two.com")
    await harness.claim("other", "three.com")
    error = await harness.rejected(
        harness.member("acme"), "CreateClaim", pb.CreateClaimRequest(org_id=org_id("acme"), domain="four.com")
    )
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "CLAIM_RATE_LIMITED")
    assert error.retry_after_s is not None
    harness.pass_time(seconds=error.retry_after_s)
    await harness.claim("acme", "four.com")


async def test_a_renewed_address_replaces_the_old_one(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    harness.pass_time(hours=71)
    renewed = await harness.call(OPERATOR, "RenewClaimToken", pb.RenewClaimTokenRequest(**ids(made.claim)))
    assert renewed.claim.token_expires_at.seconds > made.claim.token_expires_at.seconds
    old = await harness.prove(made)
    assert (old.reason, old.claim_id) == ("CLAIM_TOKEN_UNKNOWN", "")
    assert (await harness.submit(harness.mail(renewed.mail_to))).outcome == VERIFIED
    for method, request in (
        ("RenewClaimToken", pb.RenewClaimTokenRequest(**ids(made.claim))),
        ("RenewClaimToken", pb.RenewClaimTokenRequest(org_id=org_id("other"), claim_id=made.claim.claim_id)),
    ):
        wanted = "CLAIM_NOT_PENDING" if request.org_id == made.claim.org_id else "CLAIM_NOT_FOUND"
        assert (await harness.rejected(OPERATOR, method, request)).reason == wanted


async def test_a_claim_is_read_by_its_own_organisation_only(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    for method, request in (
        ("GetClaim", pb.GetClaimRequest(org_id=org_id("other"), claim_id=made.claim.claim_id)),
        ("RevokeClaim", pb.RevokeClaimRequest(org_id=org_id("other"), claim_id=made.claim.claim_id, reason="r")),
        ("SetWildcard", pb.SetWildcardRequest(org_id=org_id("other"), claim_id=made.claim.claim_id)),
    ):
        caller = harness.member("other", amr=["mfa"])
        assert await harness.reason(caller, method, request) == ("NOT_FOUND", "CLAIM_NOT_FOUND")
    foreign = pb.GetClaimRequest(org_id=made.claim.org_id, claim_id=made.claim.claim_id)
    assert await harness.reason(harness.member("other"), "GetClaim", foreign) == ("PERMISSION_DENIED", "ROLE_REQUIRED")


async def test_claims_are_listed_newest_first_by_pages(harness: ClaimsHarness) -> None:
    names = [f"name{number}.com" for number in range(5)]
    for name in names:
        await harness.claim("acme", name)
        harness.pass_time(seconds=1)
    await harness.claim("other", "elsewhere.com")
    listed, token = [], ""
    while True:
        request = pb.ListClaimsRequest(org_id=org_id("acme"), page_size=2, page_token=token)
        page = await harness.call(harness.member("acme", "User"), "ListClaims", request)
        listed += [claim.domain for claim in page.claims]
        token = page.next_page_token
        if not token:
            break
    assert listed == names[::-1]
    wrong = pb.ListClaimsRequest(org_id=org_id("acme"), page_token="nonsense")
    assert (await harness.rejected(OPERATOR, "ListClaims", wrong)).reason == "PAGE_TOKEN_MALFORMED"


async def test_a_claim_is_given_up_once(harness: ClaimsHarness) -> None:
    claim = await harness.verified("acme")
    request = pb.RevokeClaimRequest(**ids(claim), reason="sold")
    answer = await harness.call(harness.member("acme", "Admin"), "RevokeClaim", request)
    assert answer.claim.status == REVOKED
    again = pb.RevokeClaimRequest(**ids(claim), reason="sold")
    assert await harness.reason(OPERATOR, "RevokeClaim", again) == ("FAILED_PRECONDITION", "CLAIM_REVOKED")
    assert harness.audited("domain_claim.revoke", "domain_claim.verify") == [
        "domain_claim.verify",
        "domain_claim.revoke",
    ]
    kinds = [kind for kind, _, _ in harness.events()]
    assert kinds == ["identity.claim.created", "identity.claim.verified", "identity.claim.revoked"]


async def test_users_do_not_make_claims(harness: ClaimsHarness) -> None:
    request = pb.CreateClaimRequest(org_id=org_id("acme"), domain="acme.com")
    caller = harness.member("acme", "User")
    assert await harness.reason(caller, "CreateClaim", request) == ("PERMISSION_DENIED", "ROLE_REQUIRED")


async def test_a_claim_that_nothing_proved_in_time_ends(harness: ClaimsHarness) -> None:
    unproved, proved = await harness.claim("acme"), await harness.verified("acme", "acme.org")
    harness.pass_time(hours=71, minutes=59)
    assert await expiry(harness).round() == 0
    harness.pass_time(minutes=1)
    assert await expiry(harness, paused=True).round() == 0
    assert await expiry(harness).round() == 1
    assert harness.status(unproved.claim) == "revoked"
    assert harness.status(proved) == "verified"
    assert harness.audited("domain_claim.expire") == ["domain_claim.expire"]
    ((_, whose, message),) = harness.events("identity.claim.revoked")
    assert (whose, message) == (
        org_id("acme"),
        pb.ClaimChanged(claim_id=unproved.claim.claim_id, org_id=org_id("acme"), domain="acme.com", status=REVOKED),
    )
    assert await expiry(harness).round() == 0


async def test_a_claim_whose_address_is_renewed_while_the_job_looks_does_not_end(
    harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await harness.claim("acme")
    harness.pass_time(hours=72)
    found = ClaimStore.expired_claims

    async def find_then_renew(*arguments: Any) -> Any:
        due = await found(*arguments)
        await harness.call(OPERATOR, "RenewClaimToken", pb.RenewClaimTokenRequest(**ids(made.claim)))
        return due

    monkeypatch.setattr(ClaimStore, "expired_claims", find_then_renew)
    assert await expiry(harness).round() == 0
    assert harness.status(made.claim) == "pending"


def ids(claim: pb.DomainClaim) -> dict[str, str]:
    return {"org_id": claim.org_id, "claim_id": claim.claim_id}
