"""The verifier of mails: what proves a domain, what does not matter, and what a proof is made of."""

from __future__ import annotations

import pytest
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.types import (
    DnsAnswer,
    DnsQuestion,
    DnsTrouble,
    Envelope,
    NeedsAnswers,
    Verification,
)
from apportion_identity.domain.mail.verifier import addresses_of, verify
from mail_maker import (
    ADDRESS,
    DOMAIN,
    NOW_S,
    FewSuffixes,
    Signer,
    found,
    make_envelope,
    make_message,
    reason_of,
    verified,
)
from mail_tries import DMARC, EVIL, LATER_S, OURS, SERVFAIL, SPF, Try, encoded, from_address, signed, with_field


@pytest.mark.parametrize("canonicalization", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
@pytest.mark.parametrize(("algorithm", "bits"), [("rsa-sha256", 1024), ("rsa-sha256", 2048), ("ed25519-sha256", 0)])
def test_an_ordinary_signed_message_proves_its_domain(algorithm: str, bits: int, canonicalization: str) -> None:
    signer = Signer(algorithm=algorithm, bits=bits)
    verification = verified(signer.sign(make_message(), canonicalization), signer.dns())
    assert verification.rejection is None
    assert verification.evidence.aligned_by_dkim
    assert not verification.evidence.aligned_by_spf
    assert [finding.result for finding in verification.evidence.dkim] == ["pass"]


@pytest.mark.parametrize(
    "author",
    [
        "ann@acme.com",
        "Ann <ANN@ACME.COM>",
        "Via Roma Ltd <via@acme.com>",
        "Silvia Rossi <ann@acme.com>",
        '"Owner, Ann" <ann@acme.com>',
        "(Ann) ann@acme.com (Owner)",
        "Änn Öwner <ann@acme.com>",
        f"{encoded('Öwner, Ann')} <ann@acme.com>",
        "Ann\r\n Owner\r\n\t<ann@acme.com>",
    ],
)
def test_ordinary_spellings_of_from_prove_the_domain(author: str) -> None:
    assert Try(signed(author=author)).verified().rejection is None


def test_an_internationalised_domain_is_proved_in_either_spelling() -> None:
    signer = Signer("xn--mller-kva.de")
    for author in ("ann@müller.de", "ann@xn--mller-kva.de"):
        assert (
            verified(signer.sign(make_message(author=author)), signer.dns(), domain="xn--mller-kva.de").rejection
            is None
        )


@pytest.mark.parametrize(
    "records", [{}, {DMARC: found(b"v=DMARC1; p=none")}, {DMARC: found(b"v=DMARC1; p=reject; psd=n")}]
)
def test_no_policy_or_any_policy_is_allowed_and_recorded(records: dict[DnsQuestion, DnsAnswer]) -> None:
    verification = verified(signed(), OURS.dns() | records)
    assert verification.rejection is None
    assert verification.evidence.dmarc_policy == (
        "" if not records else "reject" if b"reject" in str(records).encode() else "none"
    )


def test_times_within_the_slop_of_a_clock_are_taken() -> None:
    assert Try(OURS.sign(make_message(), signed_at_s=LATER_S)).verified().rejection is None
    assert Try(OURS.sign(make_message(), signed_at_s=1, expires_at_s=NOW_S - 300)).verified().rejection is None


def test_one_good_signature_is_enough_whatever_the_others_are() -> None:
    raw = b"DKIM-Signature: rubbish\r\n" + EVIL.sign(signed())
    verification = verified(raw, OURS.dns() | EVIL.dns())
    assert verification.rejection is None
    assert [(one.result, one.reason) for one in verification.evidence.dkim] == [
        ("permerror", "DKIM_TAGS_MALFORMED"),
        ("policy", "DKIM_NOT_ALIGNED"),
        ("pass", ""),
    ]


def test_spf_of_a_trusted_relay_proves_the_domain_without_a_signature() -> None:
    envelope = make_envelope(trusted_relay=True)
    verification = verified(make_message(), {SPF: found(b"v=spf1 ip4:192.0.2.1 -all")}, envelope=envelope)
    assert verification.rejection is None
    assert verification.evidence.aligned_by_spf
    assert (verification.evidence.spf_result, verification.evidence.spf_domain) == ("pass", DOMAIN)


def test_a_signature_proves_the_domain_whomever_spf_lets_send() -> None:
    records = OURS.dns() | {SPF: found(b"v=spf1 +all")}
    verification = verified(signed(), records, envelope=make_envelope(trusted_relay=True))
    assert verification.rejection is None
    assert verification.evidence.spf_result == "pass"


def test_spf_that_may_allow_every_server_decides_nothing_while_the_dns_fails() -> None:
    records = {SPF: found(b"v=spf1 ip4:192.0.2.1 include:other.com -all"), DnsQuestion("other.com", "TXT"): SERVFAIL}
    with pytest.raises(DnsTrouble):
        verified(make_message(), records, envelope=make_envelope(trusted_relay=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Auto-Submitted", "no"),
        ("Precedence", "first-class"),
        ("Feedback-ID", "i1234:Fastmail"),
        ("X-SES-Outgoing", "2025.06.15-54.240.1.1"),
        ("X-Mailer", "Apple Mail (2.3826)"),
        ("User-Agent", "Roundcube Webmail/1.6"),
        ("Thread-Index", "AdsWk1=="),
        ("Autocrypt", "addr=ann@acme.com; keydata=AAAA"),
        ("Content-Type", "multipart/alternative; boundary=b"),
        ("Disposition-Notification-To", "ann@acme.com"),
    ],
)
def test_what_stands_in_mail_that_people_write_is_allowed(name: str, value: str) -> None:
    assert with_field(name, value).verified().rejection is None


@pytest.mark.parametrize(
    "local_part", ["postmaster", "hostmaster", "it-admin", "ann.reply", "nora.notley", "boris.bounceworth"]
)
def test_addresses_of_people_and_of_who_runs_the_domain_are_allowed(local_part: str) -> None:
    assert from_address(local_part).verified().rejection is None


@pytest.mark.parametrize(
    "subject", ["Registration of acme.com", "Our [new] domain", "Domain claim (acme.com)", "Reply"]
)
def test_subjects_that_only_come_near_are_allowed(subject: str) -> None:
    assert Try(signed(subject=subject)).verified().rejection is None


def test_of_a_long_subject_only_the_beginning_is_looked_at() -> None:
    """With all of it, a run of spaces would take the square of its length: hours for a message of 1 MiB."""
    spaces = "\r\n ".join(["=?utf-8?q?re?=", *(f"=?utf-8?q?{'_' * 970}?=" for _ in range(1_000))])
    assert Try(signed(subject=spaces)).verified().rejection is None
    assert reason_of(Try(signed(subject="We claim. " * 50 + "\r\n Out of office")).verified()) == "AUTO_REPLY"
    assert (
        Try(signed(subject="\r\n ".join(["We claim. " * 60] * 2) + "\r\n Out of office")).verified().rejection is None
    )


def test_everything_that_can_be_asked_is_asked_at_once() -> None:
    message = read_message(signed())
    assert isinstance(message, Message)
    with pytest.raises(NeedsAnswers) as needs:
        _verify(message, make_envelope(trusted_relay=True), {})
    assert {OURS.question, DMARC, DnsQuestion("_dmarc.com", "TXT"), SPF} <= needs.value.questions


def test_nothing_is_asked_for_a_message_that_cannot_prove_anything() -> None:
    message = read_message(make_message(author="eve@evil.com"))
    assert isinstance(message, Message)
    assert reason_of(_verify(message, make_envelope(), {})) == "FROM_NOT_THE_DOMAIN"


def test_a_key_of_another_domain_is_never_asked_for() -> None:
    message = read_message(EVIL.sign(make_message()))
    assert isinstance(message, Message)
    with pytest.raises(NeedsAnswers) as needs:
        _verify(message, make_envelope(), {})
    assert EVIL.question not in needs.value.questions


@pytest.mark.parametrize("state", ["servfail", "timeout"])
@pytest.mark.parametrize("question", [OURS.question, DMARC], ids=["key", "own policy"])
def test_a_failing_answer_that_matters_decides_nothing(question: DnsQuestion, state: str) -> None:
    with pytest.raises(DnsTrouble) as trouble:
        verified(signed(), OURS.dns() | {question: DnsAnswer(state)})  # type: ignore[arg-type]
    assert trouble.value.question == question
    assert verified(signed(), OURS.dns()).rejection is None


def test_failing_spf_decides_nothing_when_the_proof_hangs_on_it() -> None:
    with pytest.raises(DnsTrouble) as trouble:
        verified(make_message(), {SPF: SERVFAIL}, envelope=make_envelope(trusted_relay=True))
    assert trouble.value.question == SPF


def test_failing_answers_that_do_not_matter_do_not_stop_a_proof() -> None:
    other = Signer(selector="gone")
    raw = other.sign(signed())
    records = OURS.dns() | {other.question: SERVFAIL, SPF: SERVFAIL, DnsQuestion("_dmarc.com", "TXT"): SERVFAIL}
    verification = verified(raw, records, envelope=make_envelope(trusted_relay=True))
    assert verification.rejection is None
    assert [finding.result for finding in verification.evidence.dkim] == ["temperror", "pass"]
    assert verification.evidence.spf_result == "temperror"


def test_a_proof_is_the_same_proof_in_other_wrapping() -> None:
    ed25519 = Signer(selector="ed", algorithm="ed25519-sha256")
    records = OURS.dns() | ed25519.dns()
    once = signed()
    key = verified(once, records).message_key
    assert len(key) == 32
    for raw in (
        b"Received: from elsewhere\r\nX-Note: new\r\n" + once,
        ed25519.sign(once),
        ed25519.sign(make_message()),
        once.replace(b"We claim", b"We  claim"),
        once.replace(b"this is us.", b"this  is us. ") + b"\r\n\r\n",
    ):
        again = verified(raw, records)
        assert again.rejection is None
        assert again.message_key == key


def test_another_message_is_another_proof() -> None:
    keys = {
        verified(raw, OURS.dns()).message_key
        for raw in (signed(), signed(body=b"Hi\r\n"), signed(author="bob@acme.com"))
    }
    assert len(keys) == 3


def test_facts_tell_the_verdicts_and_answers_and_no_address_subject_or_body() -> None:
    facts = verified(signed(), OURS.dns()).facts
    text = repr(facts)
    for private in ("ann", "claim-", "We claim", "this is us", OURS.public_key[:30]):
        assert private not in text
    told = dict(facts)
    assert told["domain"] == DOMAIN
    assert told["dkim"].startswith("pass acme.com mail")
    assert told[f"dns TXT {OURS.question.name}"] == f"found {OURS.dns()[OURS.question].digest}"
    assert told[f"dns TXT {DMARC.name}"].startswith("nxdomain")


def test_other_facts_follow_from_other_answers() -> None:
    with_policy = OURS.dns() | {DMARC: found(b"v=DMARC1; p=none")}
    assert verified(signed(), OURS.dns()).facts != verified(signed(), with_policy).facts
    assert verified(signed(), OURS.dns()).facts == verified(signed(), OURS.dns()).facts


def test_the_claims_address_is_looked_for_in_the_envelope_and_in_to() -> None:
    message = read_message(make_message(to=f'"x@y.com" <{ADDRESS.upper()}>, a@b.com'))
    assert isinstance(message, Message)
    assert addresses_of(message, "<Other@C.com>") == ("other@c.com", "x@y.com", ADDRESS, "a@b.com")
    assert addresses_of(message, "") == ("x@y.com", ADDRESS, "a@b.com")


def test_addresses_behind_what_any_one_takes_are_not_looked_for() -> None:
    message = read_message(make_message(to="\r\n ".join([*["x" * 900] * 5, ADDRESS])))
    assert isinstance(message, Message)
    assert addresses_of(message, "") == ()


def test_addresses_beyond_the_limit_are_not_looked_for() -> None:
    message = read_message(make_message(to=", ".join(f"a{number}@b.com" for number in range(50))))
    assert isinstance(message, Message)
    assert len(addresses_of(message, ADDRESS)) == 10


def _verify(message: Message, envelope: Envelope, answers: dict[DnsQuestion, DnsAnswer]) -> Verification:
    return verify(
        message,
        envelope,
        domain=DOMAIN,
        address=ADDRESS,
        now_s=NOW_S,
        answers=answers,
        suffixes=FewSuffixes(),
    )
