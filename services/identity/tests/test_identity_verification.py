"""SubmitVerificationEmail: what a message does for the claim that it names (spec 01, domain claims 2 to 4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import acting_as
from apportion_common.errors import Unavailable
from apportion_dev.testing.databases import ServiceDatabase
from apportion_identity.app.verify_mail import MailVerifier
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion, Envelope, Evidence, Verification
from apportion_identity.limits import MESSAGE_BYTES_MAX
from apportion_identity.smtp.mail import VerificationMail
from apportion_identity.store.claims import ClaimStore
from apportion_identity.store.verifications import VerificationStore
from claims_harness import DOMAIN, REJECTED, RELAY, VERIFIED, ClaimsHarness
from identity_harness import MAIL_DOMAIN, OPERATOR, org_id
from mail_maker import Signer, found, make_message

TABLES = ("domain_claim", "claim_verification", "claim_conflict", "audit_entry", "outbox", "request_record")


@pytest.fixture
def harness(service_database: Callable[[str], ServiceDatabase]) -> ClaimsHarness:
    return ClaimsHarness(service_database("identity"))


def written(harness: ClaimsHarness) -> list[Any]:
    """Everything that is there."""
    return [harness.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES]


async def test_a_signed_message_verifies_the_claim_that_it_names(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    answer = await harness.prove(made)
    assert (answer.outcome, answer.reason, answer.claim_id) == (VERIFIED, "VERIFIED", made.claim.claim_id)
    assert answer.evidence.from_domain == DOMAIN
    assert answer.evidence.aligned_by_dkim
    assert [(one.domain, one.result) for one in answer.evidence.dkim] == [(DOMAIN, "pass")]
    claim = await harness.get(made.claim)
    assert claim.status == pb.CLAIM_STATUS_VERIFIED
    assert claim.HasField("verified_at")
    assert not claim.HasField("token_expires_at")
    assert harness.attempts() == [("PROVED", True)]
    assert harness.audited("domain_claim.verify") == ["domain_claim.verify"]


async def test_an_rsa_signature_verifies_too(harness: ClaimsHarness) -> None:
    signer = harness.publish(DOMAIN, "rsa-sha256")
    made = await harness.claim("acme")
    message = signer.sign(make_message(to=made.mail_to))
    assert (await harness.submit(message)).outcome == VERIFIED


async def test_a_proof_keeps_verdicts_and_hashes_and_no_address_subject_or_body(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    await harness.submit(harness.mail(made.mail_to, subject="Very private", body=b"Our secret plan.\r\n"))
    ((proof,),) = harness.rows("SELECT proof FROM domain_claim")
    text = json.dumps(proof)
    for secret in ("@", "ann", "private", "secret", made.mail_to.partition("@")[0], "<1"):
        assert secret not in text.lower()
    assert len(bytes.fromhex(proof["hmac"])) == 32
    names = {name.partition(" ")[0] for name, _ in proof["facts"]}
    assert names == {"domain", "spf", "dkim", "dmarc", "dns"}
    assert [
        "dns TXT mail._domainkey.acme.com",
        f"found {found(Signer(algorithm='ed25519-sha256').record()).digest}",
    ] in (proof["facts"])
    everything = str(written(harness)[:5])
    for secret in ("Very private", "secret plan", "ann@"):
        assert secret not in everything


async def test_a_rejection_says_why_is_recorded_and_leaves_the_claim_pending(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    unsigned = make_message(to=made.mail_to)
    answer = await harness.submit(unsigned)
    assert (answer.outcome, answer.reason, answer.claim_id) == (REJECTED, "NOT_SIGNED", made.claim.claim_id)
    assert answer.explanation.endswith(".")
    unreadable = await harness.submit(unsigned.replace(b"\r\n", b"\n"), rcpt_to=made.mail_to)
    assert (unreadable.reason, unreadable.claim_id) == ("MESSAGE_BARE_NEWLINE", made.claim.claim_id)
    assert harness.attempts() == [("NOT_SIGNED", False), ("MESSAGE_BARE_NEWLINE", False)]
    assert harness.status(made.claim) == "pending"
    assert (await harness.prove(made)).outcome == VERIFIED


@pytest.mark.parametrize("failure", ["servfail", "timeout"])
async def test_dns_trouble_decides_nothing_and_the_same_message_verifies_later(
    harness: ClaimsHarness, failure: str
) -> None:
    made = await harness.claim("acme")
    message = harness.mail(made.mail_to)
    request = pb.SubmitVerificationEmailRequest(message=message, mail_from=f"ann@{DOMAIN}", request_id="one")
    before = written(harness)
    harness.dns.down = failure
    for _ in range(2):
        error = await harness.rejected(RELAY, "SubmitVerificationEmail", request)
        assert isinstance(error, Unavailable)
        assert (error.reason, error.retry_after_s) == ("DNS_UNAVAILABLE", 60)
        assert written(harness) == before
    harness.dns.down = ""
    assert (await harness.call(RELAY, "SubmitVerificationEmail", request)).outcome == VERIFIED
    assert harness.status(made.claim) == "verified"


async def test_the_same_call_gets_the_same_answer_whatever_the_dns_says_by_then(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    for number, message in enumerate((make_message(to=made.mail_to), harness.mail(made.mail_to))):
        request = pb.SubmitVerificationEmailRequest(message=message, mail_from=f"a@{DOMAIN}", request_id=f"r{number}")
        first = await harness.call(RELAY, "SubmitVerificationEmail", request)
        before = written(harness)
        harness.dns.down = "timeout"
        assert await harness.call(RELAY, "SubmitVerificationEmail", request) == first
        harness.dns.down = ""
        assert written(harness) == before
    other = pb.SubmitVerificationEmailRequest(message=b"From: x", request_id="r0")
    assert (await harness.rejected(RELAY, "SubmitVerificationEmail", other)).reason == "REQUEST_ID_REUSED"


async def test_a_message_that_comes_again_after_a_lost_answer_gets_the_same_answer(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    message = harness.mail(made.mail_to)
    first = await harness.submit(message)
    harness.pass_time(hours=80)
    # On its way a second time it has other unsigned fields, and the address has ended by now.
    assert await harness.submit(b"Received: from a by b\r\n" + message) == first
    assert harness.attempts() == [("PROVED", True)]
    assert len(harness.events("identity.claim.verified")) == 1


async def test_a_rejected_message_that_the_gateway_gets_again_verifies_once_the_domains_record_is_there(
    harness: ClaimsHarness,
) -> None:
    made = await harness.claim("acme")
    message = harness.mail(made.mail_to)
    records, harness.dns.records = dict(harness.dns.records), {}
    gateway = VerificationMail(harness.use_cases.verifications)
    envelope = Envelope("192.0.2.1", "mx.acme.com", "ann@acme.com", made.mail_to, trusted_relay=True)
    with acting_as(RELAY):
        assert (await gateway.verify(message, envelope)).reason == "DKIM_KEY_ABSENT"
        harness.dns.records.update(records)
        assert (await gateway.verify(message, envelope)).reason == "VERIFIED"
        assert (await gateway.verify(message, envelope)).reason == "VERIFIED"


async def test_another_message_for_a_proved_claim_does_nothing(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    await harness.prove(made)
    again = await harness.submit(harness.mail(made.mail_to, body=b"Another one.\r\n"))
    assert (again.outcome, again.reason) == (REJECTED, "CLAIM_TOKEN_USED")


async def test_a_message_proves_once_for_one_claim(harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def verify(*_: Any, **__: Any) -> Verification:
        return Verification(None, Evidence(), (("domain", DOMAIN),), b"the same message")

    monkeypatch.setattr(MailVerifier, "verify", verify)
    reasons = []
    for org, domain in (("acme", "acme.com"), ("other", "other.com")):
        made = await harness.claim(org, domain)
        reasons.append((await harness.submit(make_message(to=made.mail_to))).reason)
    assert reasons == ["VERIFIED", "MESSAGE_REPLAYED"]
    assert harness.attempts() == [("PROVED", True), ("MESSAGE_REPLAYED", False)]
    assert harness.statuses() == ["pending", "verified"]


async def test_an_ended_address_and_a_given_up_claim_take_no_mail(harness: ClaimsHarness) -> None:
    late, given_up = await harness.claim("acme"), await harness.claim("other", "other.com")
    harness.publish("other.com")
    revoke = pb.RevokeClaimRequest(org_id=org_id("other"), claim_id=given_up.claim.claim_id, reason="r")
    await harness.call(OPERATOR, "RevokeClaim", revoke)
    harness.pass_time(hours=72)
    assert (await harness.prove(late)).reason == "CLAIM_TOKEN_EXPIRED"
    assert (await harness.prove(given_up)).reason == "CLAIM_WITHDRAWN"
    assert harness.statuses() == ["pending", "revoked"]


async def test_mail_that_names_no_claim_writes_nothing(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    before = written(harness)
    for address in (
        f"claim-{'a' * 52}@{MAIL_DOMAIN}",
        made.mail_to.replace(MAIL_DOMAIN, "elsewhere.com"),
        f"postmaster@{MAIL_DOMAIN}",
        "x" + made.mail_to,
    ):
        answer = await harness.submit(harness.mail(address))
        assert (answer.outcome, answer.reason, answer.claim_id) == (REJECTED, "CLAIM_TOKEN_UNKNOWN", "")
        assert not await harness.use_cases.verifications.knows(address)
    assert await harness.use_cases.verifications.knows(made.mail_to.upper())
    assert written(harness) == before


async def test_a_message_to_several_claims_proves_none(harness: ClaimsHarness) -> None:
    first, second = await harness.claim("acme"), await harness.claim("other")
    answer = await harness.submit(harness.mail(f"{first.mail_to}, {second.mail_to}"))
    assert (answer.outcome, answer.reason) == (REJECTED, "SEVERAL_CLAIMS_NAMED")


async def test_spf_proves_a_claim_from_a_trusted_relay_only(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    harness.dns.records[DnsQuestion(DOMAIN, "TXT")] = found(b"v=spf1 ip4:192.0.2.1 -all")
    request = pb.SubmitVerificationEmailRequest(
        message=make_message(to=made.mail_to), client_ip="192.0.2.1", helo="mx.acme.com", mail_from=f"ann@{DOMAIN}"
    )
    assert (await harness.call(RELAY, "SubmitVerificationEmail", request)).reason in ("NOT_SIGNED", "SPF_NOT_PASSED")
    setting = pb.SetGlobalSettingRequest(key="trusted_mail_relays", value=RELAY.subject, reason="our mail server")
    await harness.call(OPERATOR, "SetGlobalSetting", setting)
    request.request_id = "again"
    answer = await harness.call(RELAY, "SubmitVerificationEmail", request)
    assert (answer.outcome, answer.evidence.aligned_by_spf) == (VERIFIED, True)


async def test_what_cannot_be_a_call_is_rejected(harness: ClaimsHarness) -> None:
    large = pb.SubmitVerificationEmailRequest(message=b"x" * (MESSAGE_BYTES_MAX + 1))
    wrong = pb.SubmitVerificationEmailRequest(message=b"From: x", client_ip="300.0.0.1")
    rejected = [await harness.reason(RELAY, "SubmitVerificationEmail", one) for one in (large, wrong)]
    assert rejected == [("INVALID_ARGUMENT", "MESSAGE_TOO_LARGE"), ("INVALID_ARGUMENT", "CLIENT_IP_MALFORMED")]


async def test_a_large_message_is_verified_like_any_other(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    assert (await harness.submit(harness.mail(made.mail_to, body=b"So much to say.\r\n" * 10_000))).outcome == VERIFIED


async def test_a_claim_that_changes_while_its_message_is_verified_is_decided_on_as_it_is_then(
    harness: ClaimsHarness,
) -> None:
    made = await harness.claim("acme")
    answered = harness.dns.answer

    async def renew_first(questions: Iterable[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
        harness.dns.ask = ask  # type: ignore[method-assign]
        request = pb.RenewClaimTokenRequest(org_id=org_id("acme"), claim_id=made.claim.claim_id)
        await harness.call(OPERATOR, "RenewClaimToken", request)
        return answered(questions)

    ask, harness.dns.ask = harness.dns.ask, renew_first  # type: ignore[method-assign]
    assert (await harness.prove(made)).reason == "CLAIM_TOKEN_UNKNOWN"
    assert harness.status(made.claim) == "pending"


async def test_rejected_attempts_of_a_claim_are_recorded_up_to_a_limit(
    harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apportion_identity.app.verifications.ATTEMPTS_PER_DAY_MAX", 2)
    made = await harness.claim("acme")
    for _ in range(4):
        assert (await harness.submit(make_message(to=made.mail_to))).reason == "NOT_SIGNED"
    assert len(harness.attempts()) == 2
    assert (await harness.prove(made)).outcome == VERIFIED


@pytest.mark.parametrize(("store", "place"), [(VerificationStore, "add_accepted"), (ClaimStore, "save_claim")])
async def test_what_dies_between_two_writes_has_written_nothing_and_the_same_call_succeeds_later(
    harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch, store: type, place: str
) -> None:
    made = await harness.claim("acme")
    request = pb.SubmitVerificationEmailRequest(
        message=harness.mail(made.mail_to), mail_from=f"ann@{DOMAIN}", request_id="one"
    )
    before = written(harness)
    done = getattr(store, place)

    async def write_then_die(*arguments: Any) -> Any:
        await done(*arguments)
        raise ConnectionResetError

    with monkeypatch.context() as dying:
        dying.setattr(store, place, write_then_die)
        with pytest.raises(ConnectionResetError):
            await harness.call(RELAY, "SubmitVerificationEmail", request)
    assert written(harness) == before
    assert (await harness.call(RELAY, "SubmitVerificationEmail", request)).outcome == VERIFIED


async def test_a_domain_that_became_known_as_a_mail_providers_proves_nothing_any_more(harness: ClaimsHarness) -> None:
    made = await harness.claim("acme")
    setting = pb.SetGlobalSettingRequest(key="shared_mail_domains", value=DOMAIN, reason="a provider")
    await harness.call(OPERATOR, "SetGlobalSetting", setting)
    answer = await harness.prove(made)
    assert (answer.outcome, answer.reason) == (REJECTED, "DOMAIN_SHARED_MAIL")
    assert (await harness.get(made.claim)).status == pb.CLAIM_STATUS_PENDING
