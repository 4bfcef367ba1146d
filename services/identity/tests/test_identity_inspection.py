"""InspectDomain against a DNS server on the loopback address: what is found, what it is worth, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller, acting_as
from apportion_common.errors import InvalidArgument, ResourceExhausted, Unavailable
from apportion_common.rate_limit import RateLimit
from apportion_dev.testing.clocks import FixedClock
from apportion_identity.adapters.dns import DnsResolver
from apportion_identity.adapters.suffixes import PackagedSuffixes
from apportion_identity.app.inspections import Inspections
from apportion_identity.limits import DNS_RETRY_AFTER_S
from apportion_identity.rpc.inspections import InspectionRpcs
from loopback_dns import ANSWERED_WITHIN_S, SILENT_FOR_S, LoopbackDns
from mail_maker import FakeDns, Signer
from protovalidate import validate

SUFFIXES = PackagedSuffixes()
CALLER = Caller("user:1", frozenset({"user"}))


class SharedMail:
    """The settings as far as an inspection reads them."""

    async def get_int(self, key: str) -> int:
        raise AssertionError(key)

    async def get_list(self, key: str) -> tuple[str, ...]:
        assert key == "shared_mail_domains"
        return ("townmail.com.au",)


class Rpcs(InspectionRpcs):
    def __init__(self, dns: LoopbackDns, capacity: int = 1_000, timeout_s: float = ANSWERED_WITHIN_S) -> None:
        clock = FixedClock(datetime(2026, 3, 2, tzinfo=UTC))
        resolver = DnsResolver([dns.server], timeout_s, clock)
        self._inspections = Inspections(resolver, SUFFIXES, SharedMail())  # type: ignore[arg-type]
        self._inspection_rate = RateLimit("inspections", capacity, 1 / 60, clock, 100)


@pytest.fixture
def dns() -> Iterator[LoopbackDns]:
    with LoopbackDns() as server:
        yield server


async def inspect(dns: LoopbackDns, domain: str, selector: str = "", rpcs: Rpcs | None = None) -> Any:
    with acting_as(CALLER):
        request = pb.InspectDomainRequest(domain=domain, selector=selector)
        validate(request)
        response = await (rpcs or Rpcs(dns)).InspectDomain(request, None)
    validate(response)
    return response


def states(response: Any) -> dict[str, str]:
    """State by kind; of several of one kind the last."""
    return {record.kind: record.state for record in response.records}


def publish(dns: LoopbackDns, signer: Signer, **tags: str | None) -> None:
    dns.set(signer.question.name, "TXT", [signer.record(**tags)])


async def test_a_domain_that_is_set_up_well_has_good_records_and_is_told_what_to_write(dns: LoopbackDns) -> None:
    publish(dns, Signer("acme.com.au", "google"))
    dns.set("acme.com.au", "TXT", ["v=spf1 ip4:198.51.100.0/24 -all", "other=text"])
    dns.set("acme.com.au", "MX", [(10, "mx.acme.com.au")])
    dns.set("_dmarc.acme.com.au", "TXT", ["v=DMARC1; p=reject"])
    found = await inspect(dns, "Acme.com.AU.")
    assert found.domain == found.organizational_domain == "acme.com.au"
    assert found.claimable
    assert not found.reason
    assert states(found) == {"mx": "good", "dkim": "good", "spf": "good", "dmarc": "good"}
    assert [record.name for record in found.records if record.kind == "dkim"] == ["google._domainkey.acme.com.au"]
    assert len(found.advice) == 1
    assert "acme.com.au itself" in found.advice[0]


async def test_a_domain_without_records_is_told_to_sign_first(dns: LoopbackDns) -> None:
    dns.set("acme.com.au", "A", ["192.0.2.80"])
    found = await inspect(dns, "acme.com.au")
    assert found.claimable
    assert states(found) == {"mx": "absent", "spf": "absent", "dmarc": "absent"}
    assert "DKIM" in found.advice[0]
    assert "acme.com.au itself" in found.advice[1]
    assert len(found.advice) == 2, "what is absent and not needed is nothing to do"


async def test_a_name_that_the_dns_does_not_know_is_told_to_check_its_spelling(dns: LoopbackDns) -> None:
    (advice,) = (await inspect(dns, "acne.com.au")).advice
    assert "knows no name acne.com.au" in advice
    # Some servers deny a name and still answer for what lies below it; this one denies all but the key.
    denying = Inspections(FakeDns(Signer("acne.com.au", "google").dns()), SUFFIXES, SharedMail())  # type: ignore[arg-type]
    (advice,) = (await denying.inspect("acne.com.au", "")).advice
    assert "acne.com.au itself" in advice


async def test_what_is_broken_is_to_be_mended_and_what_is_weak_is_only_told(dns: LoopbackDns) -> None:
    publish(dns, Signer("acme.com.au", "google"))
    dns.set("acme.com.au", "TXT", ["v=spf1 -all", "v=spf1 +all"])
    dns.set("_dmarc.acme.com.au", "TXT", ["v=DMARC1; p=none"])
    found = await inspect(dns, "acme.com.au")
    (dmarc,) = [record for record in found.records if record.kind == "dmarc"]
    assert "policy is none" in dmarc.advice
    assert len(found.advice) == 2
    assert "several SPF records" in found.advice[1]


async def test_a_selector_that_is_asked_for_is_looked_at_and_no_other(dns: LoopbackDns) -> None:
    publish(dns, Signer("acme.com.au", "google"))
    publish(dns, Signer("acme.com.au", "x2026", "ed25519-sha256"))
    found = await inspect(dns, "acme.com.au", "X2026")
    assert [(one.name, one.state) for one in found.records if one.kind == "dkim"] == [
        ("x2026._domainkey.acme.com.au", "good")
    ]
    absent = await inspect(dns, "acme.com.au", "nothere")
    assert states(absent)["dkim"] == "absent"


@pytest.mark.parametrize(
    ("tags", "state", "words"),
    [
        ({"p": ""}, "broken", "revoked"),
        ({"t": "y"}, "broken", "test mode"),
        ({"h": "sha1"}, "broken", "SHA-256"),
        ({"s": "other"}, "broken", "not for mail"),
        ({"p": "AAAA"}, "broken", "cannot be read"),
        ({"k": "dsa"}, "broken", "another kind"),
    ],
)
async def test_a_key_that_would_not_count_says_why(
    dns: LoopbackDns, tags: dict[str, str], state: str, words: str
) -> None:
    publish(dns, Signer("acme.com.au", "mail"), **tags)
    (key,) = [record for record in (await inspect(dns, "acme.com.au", "mail")).records if record.kind == "dkim"]
    assert key.state == state
    assert words in key.advice


@pytest.mark.parametrize(("bits", "state"), [(512, "broken"), (1024, "weak"), (2048, "good")])
async def test_the_length_of_a_key_counts(dns: LoopbackDns, bits: int, state: str) -> None:
    publish(dns, Signer("acme.com.au", "mail", bits=bits))
    assert states(await inspect(dns, "acme.com.au"))["dkim"] == state


async def test_a_wildcard_record_is_not_taken_for_keys(dns: LoopbackDns) -> None:
    for selector in ("default", "google", "mail"):
        dns.set(f"{selector}._domainkey.acme.com.au", "TXT", ["v=spf1 -all"])
    assert "dkim" not in states(await inspect(dns, "acme.com.au"))


@pytest.mark.parametrize(
    ("records", "state"),
    [
        (["v=spf1 -all", "v=spf1 +all"], "broken"),
        (["v=spf1 include:nothere.com.au -all"], "broken"),
        (["v=spf1 nonsense -all"], "broken"),
        (["v=spf1 +all"], "weak"),
        (["v=spf1 " + " ".join(f"a:{number}.acme.com.au" for number in range(10)) + " -all"], "weak"),
        (["v=spf1 ~all"], "good"),
    ],
)
async def test_an_spf_record_is_evaluated(dns: LoopbackDns, records: list[str], state: str) -> None:
    dns.set("acme.com.au", "TXT", records)
    dns.add({f"{number}.acme.com.au": {"A": ["198.51.100.1"]} for number in range(10)})
    assert states(await inspect(dns, "acme.com.au"))["spf"] == state


@pytest.mark.parametrize(
    ("records", "state"),
    [
        (["v=DMARC1; p=none"], "weak"),
        (["v=DMARC1; p=nonsense"], "weak"),
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], "broken"),
        (["v=DMARC1; p=reject; psd=y"], "broken"),
    ],
)
async def test_a_dmarc_record_is_read(dns: LoopbackDns, records: list[str], state: str) -> None:
    dns.set("_dmarc.acme.com.au", "TXT", records)
    assert states(await inspect(dns, "acme.com.au"))["dmarc"] == state


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("com.au", "DOMAIN_PUBLIC_SUFFIX"),
        ("gmail.com", "DOMAIN_SHARED_MAIL"),
        ("townmail.com.au", "DOMAIN_SHARED_MAIL"),
        ("example.com", "DOMAIN_SPECIAL_USE"),
        ("bank.com.au", "DOMAIN_SAYS_PUBLIC_SUFFIX"),
    ],
)
async def test_a_name_that_cannot_be_claimed_says_why_and_nothing_else(
    dns: LoopbackDns, domain: str, reason: str
) -> None:
    dns.set("_dmarc.bank.com.au", "TXT", ["v=DMARC1; p=reject; psd=y"])
    found = await inspect(dns, domain)
    assert not found.claimable
    assert found.reason == reason
    assert found.records
    (advice,) = found.advice
    assert advice.endswith(".")


@pytest.mark.parametrize("text", ["acme..com", "192.0.2.1", "[192.0.2.1]", "not a name"])
async def test_what_is_no_name_is_malformed(dns: LoopbackDns, text: str) -> None:
    with pytest.raises(InvalidArgument) as rejected:
        await inspect(dns, text)
    assert rejected.value.reason == "DOMAIN_MALFORMED"


@pytest.mark.parametrize("how", ["servfail", "silent"])
async def test_a_failing_dns_is_unavailable_and_says_when_to_come_again(dns: LoopbackDns, how: str) -> None:
    dns.go_down(how)
    with pytest.raises(Unavailable) as rejected:
        await inspect(dns, "acme.com.au", rpcs=Rpcs(dns, timeout_s=SILENT_FOR_S))
    assert (rejected.value.reason, rejected.value.retry_after_s) == ("DNS_UNAVAILABLE", DNS_RETRY_AFTER_S)
    assert "no answer for TXT acme.com.au;" in rejected.value.message
    dns.come_back()
    assert (await inspect(dns, "acme.com.au")).domain == "acme.com.au"


async def test_a_guessed_selector_that_cannot_be_asked_for_is_passed_over(dns: LoopbackDns) -> None:
    dns.fail("google._domainkey.acme.com.au")
    assert "dkim" not in states(await inspect(dns, "acme.com.au"))
    with pytest.raises(Unavailable):
        await inspect(dns, "acme.com.au", "google")


async def test_whoever_asks_too_often_is_told_to_wait(dns: LoopbackDns) -> None:
    rpcs = Rpcs(dns, capacity=2)
    await inspect(dns, "acme.com.au", rpcs=rpcs)
    await inspect(dns, "acme.com.au", rpcs=rpcs)
    with pytest.raises(ResourceExhausted) as rejected:
        await inspect(dns, "acme.com.au", rpcs=rpcs)
    assert rejected.value.reason == "INSPECTION_RATE_LIMITED"
    assert rejected.value.retry_after_s == 60


async def test_records_of_any_bytes_and_length_fit_the_contract(dns: LoopbackDns) -> None:
    dns.set("acme.com.au", "TXT", ["v=spf1 " + "\u00e9" * 2000, b"v=spf1 \x00\x1b\xff -all"])
    dns.set("_dmarc.acme.com.au", "TXT", [b"v=DMARC1; p=none; \x00\xff"])
    found = await inspect(dns, "acme.com.au")
    assert all(record.value.isprintable() for record in found.records)
