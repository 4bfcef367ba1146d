"""SPF answered from given answers: what is asked, what a failing DNS does, and that no sender breaks it."""

from __future__ import annotations

import pytest
from apportion_identity.domain.mail.spf import SpfResult, evaluate_spf, pass_for_some
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion, DnsRecord, Envelope, NeedsAnswers
from apportion_identity.limits import SPF_TERM_CHARS_MAX, SPF_VALUE_BYTES_MAX
from hypothesis import given
from hypothesis import strategies as st

NOTHING = DnsAnswer("nxdomain")
TERMS = (
    *("a", "mx", "ptr", "-all", "+all", "include:", "redirect=", "exp=%{t}", "exists:%{l}.%{d}", "a:%{ir}.%{v}", "%{"),
    *("%{d0}", "ip4:1.2.3.4/99", "ip6::::", "a/" + "9" * 5000, "mx//" + "1" * 30, "?", "=", ":"),
)
"""What SPF records are made of, and what comes near."""


class Answering(dict[DnsQuestion, DnsAnswer]):
    """Answers of a few names; every other does not exist."""

    def __contains__(self, question: object) -> bool:
        return True

    def __missing__(self, question: DnsQuestion) -> DnsAnswer:
        return NOTHING


def zone(**records: DnsRecord | tuple[DnsRecord, ...]) -> Answering:
    """Records by `type__name` with underscores for dots: `txt__acme_com`."""
    answers = Answering()
    for key, values in records.items():
        rdtype, _, name = key.partition("__")
        listed = values if isinstance(values, tuple) and not isinstance(values[0], int) else (values,)
        answers[DnsQuestion(name.replace("_", "."), rdtype.upper())] = DnsAnswer("found", listed)  # type: ignore[arg-type]
    return answers


def envelope(mail_from: str = "ann@acme.com", client_ip: str = "192.0.2.1", helo: str = "mx.acme.com") -> Envelope:
    return Envelope(client_ip, helo, mail_from, "", True)


def evaluate(answers: Answering, **about: str) -> SpfResult:
    return evaluate_spf(envelope(**about), answers)


def test_a_listed_server_passes_and_another_fails() -> None:
    answers = zone(txt__acme_com=b"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all")
    assert evaluate(answers) == SpfResult("pass", "acme.com", "mailfrom", 0, "sender SPF authorized")
    assert evaluate(answers, client_ip="2001:db8::7").result == "pass"
    assert evaluate(answers, client_ip="::ffff:192.0.2.9").result == "pass"
    assert evaluate(answers, client_ip="198.51.100.1").result == "fail"


@pytest.mark.parametrize(
    ("record", "client_ip", "result"),
    [
        (b"v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.1", "pass"),
        (b"v=spf1 ip4:192.0.2.0/24 ?all", "192.0.2.1", "pass"),
        (b"v=spf1 ip4:192.0.2.0/24 -all", "::ffff:192.0.2.1", "pass"),
        (b"v=spf1 ip6:2001:db8::/32 ip4:0.0.0.0/0 -all", "2001:db8::1", "pass"),
        (b"v=spf1 +all", "192.0.2.1", "policy"),
        (b"v=spf1 +all", "2001:db8::1", "policy"),
        (b"v=spf1 ip4:192.0.2.0/24 all", "192.0.2.1", "policy"),
        (b"v=spf1 ip4:0.0.0.0/0 -all", "192.0.2.1", "policy"),
        (b"v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all", "::ffff:192.0.2.1", "policy"),
        (b"v=spf1 ip6:::/0 -all", "2001:db8::1", "policy"),
        (b"v=spf1 redirect=open.com", "192.0.2.1", "policy"),
        (b"v=spf1 include:open.com -all", "192.0.2.1", "policy"),
        (b"v=spf1 exists:%{h} -all", "192.0.2.1", "policy"),
        (b"v=spf1 ip4:192.0.2.1 include:down.com -all", "192.0.2.1", "temperror"),
    ],
)
def test_a_pass_that_every_server_gets_is_told_from_one_for_some(record: bytes, client_ip: str, result: str) -> None:
    answers = zone(txt__acme_com=record, txt__open_com=b"v=spf1 +all", a__mx_acme_com="192.0.2.9")
    answers[DnsQuestion("down.com", "TXT")] = DnsAnswer("servfail")
    passed = evaluate(answers, client_ip=client_ip)
    assert passed.result == "pass"
    assert pass_for_some(passed, envelope(client_ip=client_ip), answers).result == result


def test_the_null_sender_is_evaluated_by_helo_and_says_so() -> None:
    answers = zone(txt__mx_acme_com=b"v=spf1 ip4:192.0.2.1 -all", txt__acme_com=b"v=spf1 -all")
    found = evaluate(answers, mail_from="")
    assert (found.result, found.domain, found.identity) == ("pass", "mx.acme.com", "helo")


def test_the_domain_is_what_follows_the_last_at_sign() -> None:
    answers = zone(txt__evil_com=b"v=spf1 +all", txt__acme_com=b"v=spf1 -all")
    found = evaluate(answers, mail_from='"x@acme.com"@evil.com')
    assert (found.result, found.domain) == ("pass", "evil.com")
    found = evaluate(answers, mail_from="x@evil.com@acme.com")
    assert (found.result, found.domain) == ("fail", "acme.com")


def test_only_what_is_needed_is_asked_and_mail_servers_all_at_once() -> None:
    answers: dict[DnsQuestion, DnsAnswer] = {}
    with pytest.raises(NeedsAnswers) as needs:
        evaluate_spf(envelope(), answers)
    assert needs.value.questions == {DnsQuestion("acme.com", "TXT")}
    answers[DnsQuestion("acme.com", "TXT")] = DnsAnswer("found", (b"v=spf1 mx a:unused.acme.com -all",))
    with pytest.raises(NeedsAnswers) as needs:
        evaluate_spf(envelope(), answers)
    assert needs.value.questions == {DnsQuestion("acme.com", "MX")}
    answers[DnsQuestion("acme.com", "MX")] = DnsAnswer("found", ((10, "mx1.acme.com"), (20, "mx2.acme.com")))
    with pytest.raises(NeedsAnswers) as needs:
        evaluate_spf(envelope(), answers)
    assert needs.value.questions == {DnsQuestion("mx1.acme.com", "A"), DnsQuestion("mx2.acme.com", "A")}
    answers[DnsQuestion("mx1.acme.com", "A")] = DnsAnswer("nodata")
    answers[DnsQuestion("mx2.acme.com", "A")] = DnsAnswer("found", ("192.0.2.1",))
    assert evaluate_spf(envelope(), answers).result == "pass"


@pytest.mark.parametrize("state", ["servfail", "timeout"])
@pytest.mark.parametrize(
    ("record", "failing"),
    [
        (b"", DnsQuestion("acme.com", "TXT")),
        (b"v=spf1 include:other.com -all", DnsQuestion("other.com", "TXT")),
        (b"v=spf1 redirect=other.com", DnsQuestion("other.com", "TXT")),
        (b"v=spf1 a -all", DnsQuestion("acme.com", "A")),
        (b"v=spf1 mx -all", DnsQuestion("acme.com", "MX")),
        (b"v=spf1 exists:x.acme.com -all", DnsQuestion("x.acme.com", "A")),
        (b"v=spf1 ptr -all", DnsQuestion("1.2.0.192.in-addr.arpa", "PTR")),
    ],
)
def test_a_failing_dns_is_a_temporary_error_and_never_a_verdict(
    state: str, record: bytes, failing: DnsQuestion
) -> None:
    answers = zone(txt__acme_com=record)
    answers[failing] = DnsAnswer(state)  # type: ignore[arg-type]
    assert evaluate(answers).result == "temperror"


def test_an_explanation_is_never_fetched() -> None:
    answers = {DnsQuestion("acme.com", "TXT"): DnsAnswer("found", (b"v=spf1 -all exp=why.acme.com",))}
    assert evaluate_spf(envelope(), answers).result == "fail"


@pytest.mark.parametrize("client_ip", ["", "list", "LIST6", "192.0.2", "fe80::1%eth0", "mx.acme.com", "192.0.2.1/24"])
def test_a_client_address_that_is_none_never_passes(client_ip: str) -> None:
    assert evaluate(zone(txt__acme_com=b"v=spf1 +all"), client_ip=client_ip).result == "permerror"


def test_several_records_and_one_beyond_the_limit_are_permanent_errors() -> None:
    assert evaluate(zone(txt__acme_com=(b"v=spf1 +all", b"v=spf1 -all"))).result == "permerror"
    long = b"v=spf1 " + b"ip4:198.51.100.1 " * (SPF_VALUE_BYTES_MAX // 17 + 1) + b"+all"
    assert evaluate(zone(txt__acme_com=long)).result == "permerror"
    term = b"v=spf1 a:%s.com +all"
    assert evaluate(zone(txt__acme_com=term % (b"%-" * ((SPF_TERM_CHARS_MAX - 6) // 2)))).result == "pass"
    assert evaluate(zone(txt__acme_com=term % (b"%-" * (SPF_TERM_CHARS_MAX // 2)))).result == "permerror"


def test_more_than_ten_look_ups_are_a_permanent_error() -> None:
    terms = b" ".join(b"exists:%d.acme.com" % number for number in range(11))
    answers = zone(txt__acme_com=b"v=spf1 " + terms + b" +all")
    for number in range(11):
        answers[DnsQuestion(f"{number}.acme.com", "A")] = DnsAnswer("found", ())
    assert evaluate(answers).result == "permerror"


def test_a_name_that_macros_make_too_long_loses_labels_from_the_left() -> None:
    answers = Answering(
        {DnsQuestion("acme.com", "TXT"): DnsAnswer("found", (b"v=spf1 exists:%{l}.%{l}.%{l}.acme.com -all",))}
    )
    sender = ".".join(["x" * 30] * 4) + "@acme.com"
    labels = ".".join(["x" * 30] * 12).split(".")
    while len(".".join([*labels, "acme", "com"])) > 253:
        labels.pop(0)
    answers[DnsQuestion(".".join([*labels, "acme", "com"]), "A")] = DnsAnswer("found", ("127.0.0.2",))
    assert evaluate(answers, mail_from=sender).result == "pass"


@given(
    st.text(max_size=60),
    st.text(max_size=60),
    st.sampled_from(["192.0.2.1", "2001:db8::1", "x"]),
    st.one_of(
        st.binary(max_size=80),
        st.lists(
            st.sampled_from(TERMS) | st.text(max_size=8),
            max_size=6,
        ).map(lambda terms: b"v=spf1 " + " ".join(terms).encode()),
    ),
)
def test_no_sender_and_no_record_breaks_the_evaluation(
    mail_from: str, helo: str, client_ip: str, record: bytes
) -> None:
    domain = (mail_from or f"postmaster@{helo}").rpartition("@")[2].lower().removesuffix(".")
    answers = Answering({DnsQuestion(domain, "TXT"): DnsAnswer("found", (record,))})
    found = evaluate_spf(Envelope(client_ip, helo, mail_from, "", True), answers)
    assert found.result in {"pass", "fail", "softfail", "neutral", "none", "permerror"}
    assert found.domain == domain
