"""The resolver against a DNS server on the loopback address: failures are answers, limits hold, the cache forgets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apportion_dev.testing.clocks import FixedClock
from apportion_identity.adapters.dns import DnsResolver, digest_of, parse_servers
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion
from apportion_identity.limits import DNS_ATTEMPTS_MAX, DNS_CACHE_FOUND_S_MAX, DNS_RECORD_BYTES_MAX, DNS_RECORDS_MAX
from apportion_identity.settings import Settings
from dns import flags, message
from loopback_dns import ANSWERED_WITHIN_S, SILENT_FOR_S, LoopbackDns

NOW = datetime(2026, 3, 2, tzinfo=UTC)


class OtherwiseDns(LoopbackDns):
    """A server whose responses lack their authority section, or say over TCP too that they are cut off."""

    has_authority = True
    is_cut = False

    def reply(self, wire: bytes, transport: str) -> bytes | None:
        found = super().reply(wire, transport)
        if found is None:
            return None
        response = message.from_wire(found)
        if not self.has_authority:
            response.authority.clear()
        if self.is_cut:
            response.flags |= flags.TC
        return response.to_wire()


@pytest.fixture
def dns() -> Iterator[OtherwiseDns]:
    with OtherwiseDns() as server:
        yield server


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def resolver(dns: LoopbackDns, clock: FixedClock) -> DnsResolver:
    return DnsResolver([dns.server], ANSWERED_WITHIN_S, clock)


async def ask(resolver: DnsResolver, name: str, rdtype: str = "TXT") -> DnsAnswer:
    question = DnsQuestion(name, rdtype)
    return (await resolver.ask([question]))[question]


async def test_records_of_every_type_come_as_verifying_takes_them(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.set("acme.com.au", "TXT", [["v=spf1 ", "-all"], "x" * 600])
    dns.set("acme.com.au", "A", ["192.0.2.1"])
    dns.set("acme.com.au", "AAAA", ["2001:db8::1"])
    dns.set("acme.com.au", "MX", [(10, "MX.acme.com.au."), (0, ".")])
    dns.set("1.2.0.192.in-addr.arpa", "PTR", ["Mail.acme.com.au"])
    assert set((await ask(resolver, "acme.com.au")).records) == {b"v=spf1 -all", b"x" * 600}
    assert (await ask(resolver, "acme.com.au", "A")).records == ("192.0.2.1",)
    assert (await ask(resolver, "acme.com.au", "AAAA")).records == ("2001:db8::1",)
    assert set((await ask(resolver, "acme.com.au", "MX")).records) == {(10, "mx.acme.com.au"), (0, ".")}
    assert (await ask(resolver, "1.2.0.192.in-addr.arpa", "PTR")).records == ("mail.acme.com.au",)


async def test_what_is_not_there_is_nxdomain_or_nodata(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.set("mail.acme.com.au", "A", ["192.0.2.1"])
    assert (await ask(resolver, "nobody.com.au")).state == "nxdomain"
    assert (await ask(resolver, "mail.acme.com.au")).state == "nodata"
    assert (await ask(resolver, "acme.com.au", "A")).state == "nodata"


async def test_a_server_failure_and_a_silent_server_are_answers(
    dns: LoopbackDns, resolver: DnsResolver, clock: FixedClock
) -> None:
    dns.fail("broken.com.au")
    dns.silence("slow.com.au")
    assert (await ask(resolver, "broken.com.au")).state == "servfail"
    assert (await ask(DnsResolver([dns.server], SILENT_FOR_S, clock), "slow.com.au")).state == "timeout"
    assert dns.asked["slow.com.au", "TXT", "udp"] == DNS_ATTEMPTS_MAX


async def test_a_server_that_is_not_there_is_an_answer(clock: FixedClock) -> None:
    with LoopbackDns() as gone:
        server = gone.server
    answer = await ask(DnsResolver([server], SILENT_FOR_S, clock), "acme.com.au")
    assert answer.is_temporary_failure


async def test_a_second_server_is_asked_when_the_first_fails(dns: LoopbackDns, clock: FixedClock) -> None:
    with LoopbackDns() as failing:
        failing.go_down()
        dns.set("acme.com.au", "TXT", ["here"])
        resolver = DnsResolver([failing.server, dns.server], ANSWERED_WITHIN_S, clock)
        assert (await ask(resolver, "acme.com.au")).records == (b"here",)


async def test_a_failure_is_not_kept_so_that_the_next_call_asks_again(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.set("acme.com.au", "TXT", ["here"])
    dns.go_down()
    assert (await ask(resolver, "acme.com.au")).state == "servfail"
    dns.come_back()
    assert (await ask(resolver, "acme.com.au")).records == (b"here",)


async def test_an_answer_too_large_for_udp_comes_over_tcp(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.set("acme.com.au", "TXT", ["x" * 1000, "y" * 1000])
    assert set((await ask(resolver, "acme.com.au")).records) == {b"x" * 1000, b"y" * 1000}
    assert dns.asked["acme.com.au", "TXT", "tcp"] == 1


async def test_an_answer_that_is_cut_off_over_tcp_too_counts_as_a_failure(
    dns: OtherwiseDns, resolver: DnsResolver
) -> None:
    dns.set("acme.com.au", "TXT", ["a part of it"])
    dns.is_cut = True
    assert (await ask(resolver, "acme.com.au")).state == "servfail"


async def test_too_many_records_and_too_long_ones_count_as_a_failure(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.set("many.com.au", "TXT", [str(number) for number in range(DNS_RECORDS_MAX + 1)])
    dns.set("long.com.au", "TXT", ["x" * (DNS_RECORD_BYTES_MAX + 1)])
    dns.set("just.com.au", "TXT", ["x" * DNS_RECORD_BYTES_MAX, *map(str, range(DNS_RECORDS_MAX - 1))])
    assert (await ask(resolver, "many.com.au")).state == "servfail"
    assert (await ask(resolver, "long.com.au")).state == "servfail"
    assert len((await ask(resolver, "just.com.au")).records) == DNS_RECORDS_MAX


async def test_aliases_are_followed_and_a_circle_of_them_leads_nowhere(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.set("real.com.au", "TXT", ["here"])
    dns.set("alias.com.au", "CNAME", ["other.com.au"])
    dns.set("other.com.au", "CNAME", ["real.com.au"])
    dns.set("round.com.au", "CNAME", ["about.com.au"])
    dns.set("about.com.au", "CNAME", ["round.com.au"])
    dns.add({f"a{number}.com.au": {"CNAME": [f"a{number + 1}.com.au"]} for number in range(12)})
    dns.set("a12.com.au", "TXT", ["far"])
    assert (await ask(resolver, "alias.com.au")).records == (b"here",)
    assert (await ask(resolver, "round.com.au")).state == "nodata"
    assert (await ask(resolver, "a0.com.au")).state == "nodata"
    assert (await ask(resolver, "a2.com.au")).records == (b"far",)


async def test_records_are_kept_for_their_time_and_no_longer(
    dns: LoopbackDns, resolver: DnsResolver, clock: FixedClock
) -> None:
    dns.ttl_s = 100
    dns.set("acme.com.au", "TXT", ["old"])
    await ask(resolver, "acme.com.au")
    dns.set("acme.com.au", "TXT", ["new"])
    clock.advance(timedelta(seconds=99))
    assert (await ask(resolver, "acme.com.au")).records == (b"old",)
    clock.advance(timedelta(seconds=1))
    assert (await ask(resolver, "acme.com.au")).records == (b"new",)


async def test_a_long_time_is_cut_and_a_time_of_zero_keeps_nothing(
    dns: LoopbackDns, resolver: DnsResolver, clock: FixedClock
) -> None:
    dns.ttl_s = 86_400
    dns.set("acme.com.au", "TXT", ["old"])
    await ask(resolver, "acme.com.au")
    dns.set("acme.com.au", "TXT", ["new"])
    clock.advance(timedelta(seconds=DNS_CACHE_FOUND_S_MAX))
    dns.ttl_s = 0
    assert (await ask(resolver, "acme.com.au")).records == (b"new",)
    dns.set("acme.com.au", "TXT", ["newest"])
    assert (await ask(resolver, "acme.com.au")).records == (b"newest",)


async def test_absence_is_kept_for_the_time_of_the_zone(
    dns: LoopbackDns, resolver: DnsResolver, clock: FixedClock
) -> None:
    assert (await ask(resolver, "acme.com.au")).state == "nxdomain"
    dns.set("acme.com.au", "TXT", ["published"])
    assert (await ask(resolver, "acme.com.au")).state == "nxdomain"
    clock.advance(timedelta(seconds=dns.negative_ttl_s))
    assert (await ask(resolver, "acme.com.au")).records == (b"published",)


async def test_absence_without_a_time_of_the_zone_is_not_kept(dns: OtherwiseDns, resolver: DnsResolver) -> None:
    dns.has_authority = False
    assert (await ask(resolver, "acme.com.au")).state == "nxdomain"
    dns.set("acme.com.au", "TXT", ["published"])
    assert (await ask(resolver, "acme.com.au")).records == (b"published",)


async def test_the_cache_keeps_no_more_than_its_limit(
    dns: LoopbackDns, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apportion_identity.adapters.dns.DNS_CACHE_ENTRIES_MAX", 2)
    resolver = DnsResolver([dns.server], ANSWERED_WITHIN_S, clock)
    for name in ("a.com.au", "b.com.au", "c.com.au"):
        dns.set(name, "TXT", [name])
        await ask(resolver, name)
    await ask(resolver, "b.com.au")
    await ask(resolver, "a.com.au")
    assert dns.asked["a.com.au", "TXT", "udp"] == 2
    assert dns.asked["b.com.au", "TXT", "udp"] == 1


async def test_the_same_question_under_way_is_asked_once(dns: LoopbackDns, resolver: DnsResolver) -> None:
    dns.ttl_s = 0
    dns.set("acme.com.au", "TXT", ["here"])
    answers = await asyncio.gather(*(ask(resolver, "acme.com.au") for _ in range(20)))
    assert {answer.records for answer in answers} == {(b"here",)}
    assert dns.asked["acme.com.au", "TXT", "udp"] == 1


async def test_who_asked_first_may_go_away_and_the_others_still_get_the_answer(
    dns: LoopbackDns, resolver: DnsResolver
) -> None:
    dns.set("acme.com.au", "TXT", ["here"])
    first = asyncio.create_task(ask(resolver, "acme.com.au"))
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(resolver, "acme.com.au"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).records == (b"here",)
    assert dns.asked["acme.com.au", "TXT", "udp"] == 1


@pytest.mark.parametrize("name", ["a b.acme.com.au", "100%.acme.com.au", "a\\b.acme.com.au", "bäcker.acme.com.au"])
async def test_a_label_of_any_bytes_is_asked_as_it_is(dns: LoopbackDns, resolver: DnsResolver, name: str) -> None:
    dns.set(name, "A", ["192.0.2.1"])
    assert (await ask(resolver, name, "A")).records == ("192.0.2.1",)


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".com", ".".join(["x" * 60] * 5)])
async def test_a_name_that_fits_in_no_query_does_not_exist(dns: LoopbackDns, resolver: DnsResolver, name: str) -> None:
    assert (await ask(resolver, name)).state == "nxdomain"
    assert not dns.asked


def test_the_digest_depends_on_the_records_and_not_on_their_order() -> None:
    question = DnsQuestion("acme.com.au", "TXT")
    assert digest_of(question, (b"a", b"b")) == digest_of(question, (b"b", b"a"))
    assert digest_of(question, (b"ab",)) != digest_of(question, (b"a", b"b"))
    assert digest_of(question, (b"a",)) != digest_of(DnsQuestion("acme.com.au", "A"), (b"a",))


async def test_no_name_that_was_asked_is_logged(
    dns: LoopbackDns, resolver: DnsResolver, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    dns.fail("secret-local-part.acme.com.au")
    with caplog.at_level(logging.DEBUG):
        await ask(resolver, "secret-local-part.acme.com.au")
    printed = capsys.readouterr()
    assert "secret-local-part" not in caplog.text + printed.out + printed.err


def test_servers_are_read_from_the_setting() -> None:
    assert parse_servers("192.0.2.1, 192.0.2.2:5353,[2001:db8::1]:53,[::1]") == [
        ("192.0.2.1", 53),
        ("192.0.2.2", 5353),
        ("2001:db8::1", 53),
        ("::1", 53),
    ]
    assert parse_servers(Settings.model_fields["dns_servers"].default) == []
    for wrong in ("dns.acme.com.au:53", "192.0.2.1:0", "192.0.2.1:99999", "192.0.2.1:x"):
        with pytest.raises(ValueError, match="is no DNS server"):
            parse_servers(wrong)


def test_a_resolver_without_servers_is_rejected(clock: FixedClock) -> None:
    with pytest.raises(ValueError, match="at least one"):
        DnsResolver([], 1.0, clock)
