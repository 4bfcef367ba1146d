"""The DNS over dnspython: our own time-outs, limits, cache and digest; every failure is an answer.

A stub resolver: it asks recursive servers (the settings' or the system's) and believes what they say, so they must be
near and trusted. UDP first, TCP when the answer was cut off.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
from apportion_common.clock import Clock
from apportion_common.logs import get_logger
from cachetools import TLRUCache

from apportion_identity.domain.mail.types import DnsAnswer, DnsAnswerState, DnsQuestion, DnsRecord
from apportion_identity.limits import (
    DNS_ATTEMPTS_MAX,
    DNS_CACHE_ABSENT_S_MAX,
    DNS_CACHE_ENTRIES_MAX,
    DNS_CACHE_FOUND_S_MAX,
    DNS_CNAMES_MAX,
    DNS_PARALLEL_MAX,
    DNS_RECORD_BYTES_MAX,
    DNS_RECORDS_MAX,
)

Server = tuple[str, int]

DNS_PORT: Final = 53
_EDNS_PAYLOAD_BYTES: Final = 1_232
"""Answers up to this size come unfragmented (DNS flag day 2020)."""
_US_PER_S: Final = 1_000_000
_TIMEOUT: Final = DnsAnswer("timeout")
_SERVFAIL: Final = DnsAnswer("servfail")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer and for how long it may be kept by its records."""

    answer: DnsAnswer
    ttl_s: int = 0

    @property
    def kept_s(self) -> int:
        """For how long it is kept; not at all when it is a failure."""
        if self.answer.is_temporary_failure:
            return 0
        return min(self.ttl_s, DNS_CACHE_FOUND_S_MAX if self.answer.state == "found" else DNS_CACHE_ABSENT_S_MAX)


class DnsResolver:
    """The DNS by recursive servers. `ask` never raises for it: a failure is an answer (`servfail`, `timeout`)."""

    def __init__(self, servers: Sequence[Server], timeout_s: float, clock: Clock) -> None:
        """Ask these servers (address, port), in turn, within `timeout_s` for a question with all its tries."""
        if not servers:
            raise ValueError("A resolver needs at least one server.")
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._cache: TLRUCache[DnsQuestion, _Reply] = TLRUCache(
            DNS_CACHE_ENTRIES_MAX, ttu=lambda _, reply, now_us: now_us + reply.kept_s * _US_PER_S, timer=clock.now_us
        )
        self._under_way: dict[DnsQuestion, asyncio.Task[DnsAnswer]] = {}
        self._slots = asyncio.Semaphore(DNS_PARALLEL_MAX)

    async def ask(self, questions: Iterable[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
        """Return the answers to all questions, asked side by side; the same question under way is asked once."""
        wanted = list(dict.fromkeys(questions))
        answers = await asyncio.gather(*(self._answer(question) for question in wanted))
        return dict(zip(wanted, answers, strict=True))

    async def _answer(self, question: DnsQuestion) -> DnsAnswer:
        if (kept := self._cache.get(question)) is not None:
            return kept.answer
        task = self._under_way.get(question)
        if task is None:
            task = asyncio.create_task(self._look_up(question))
            self._under_way[question] = task
            task.add_done_callback(lambda _: self._under_way.pop(question, None))
        # Whoever asked first may go away; the others still want the answer.
        return await asyncio.shield(task)

    async def _look_up(self, question: DnsQuestion) -> DnsAnswer:
        name = _name_of(question.name)
        if name is None:
            return DnsAnswer("nxdomain")
        async with self._slots:
            reply = await self._exchange(question, name)
        if reply.kept_s > 0:
            self._cache[question] = reply
        return reply.answer

    async def _exchange(self, question: DnsQuestion, name: dns.name.Name) -> _Reply:
        """Ask the servers in turn until one answers; return what the last one failed with otherwise."""
        failure = _TIMEOUT
        per_try_s = self._timeout_s / DNS_ATTEMPTS_MAX
        for attempt in range(DNS_ATTEMPTS_MAX):
            address, port = self._servers[attempt % len(self._servers)]
            query = dns.message.make_query(name, question.rdtype, use_edns=0, payload=_EDNS_PAYLOAD_BYTES)
            try:
                async with asyncio.timeout(per_try_s):
                    response, _ = await dns.asyncquery.udp_with_fallback(
                        query, address, timeout=per_try_s, port=port, ignore_unexpected=True, ignore_errors=True
                    )
            except (TimeoutError, dns.exception.Timeout):
                failure = _TIMEOUT
                continue
            except (OSError, EOFError, dns.exception.DNSException, ValueError):
                # No connection, or bytes that are no answer to what was asked.
                failure = _SERVFAIL
                continue
            reply = _read(response, question)
            if not reply.answer.is_temporary_failure:
                return reply
            failure = reply.answer
        _log.warning("dns.failed", rdtype=question.rdtype, state=failure.state)
        return _Reply(failure)


def system_servers() -> list[Server]:
    """Return the servers that the system is set up with; the machine's own when it names none (resolv.conf(5))."""
    try:
        named = dns.resolver.Resolver().nameservers
    except dns.resolver.NoResolverConfiguration:
        named = []
    found = [(address, DNS_PORT) for address in named if isinstance(address, str) and _is_address(address)]
    return found or [("127.0.0.1", DNS_PORT)]


def parse_servers(text: str) -> list[Server]:
    """Return the servers of a list `host:port,…`: IPv4, IPv6 in brackets; the port is optional. Raises ValueError."""
    servers = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            host, port = part, str(DNS_PORT)
        host = host.removeprefix("[").removesuffix("]")
        if not _is_address(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError(f"{part!r} is no DNS server; give addresses as 192.0.2.1:53 or [2001:db8::1]:53.")
        servers.append((host, int(port)))
    return servers


def digest_of(question: DnsQuestion, records: Iterable[DnsRecord]) -> str:
    """Return the SHA-256 (hex) of what was answered to what, whatever the order of the records."""
    parts = sorted(_canonical(record) for record in records)
    hashed = hashlib.sha256()
    for part in (question.name.encode(), question.rdtype.encode(), *parts):
        # Each part with its length: no two lists of parts have the same bytes.
        hashed.update(len(part).to_bytes(4, "big") + part)
    return hashed.hexdigest()


def _read(response: dns.message.Message, question: DnsQuestion) -> _Reply:
    """Return what a response says."""
    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) or not isinstance(response, dns.message.QueryMessage):
        return _Reply(_SERVFAIL)
    if response.flags & dns.flags.TC:
        # Cut off over TCP too: a part of the records must not be taken for the whole.
        return _Reply(_SERVFAIL)
    try:
        chain = response.resolve_chaining()
    except dns.message.ChainTooLong:
        # A circle of aliases leads nowhere, and will the next time too.
        return _absent("nodata", DNS_CACHE_ABSENT_S_MAX)
    except dns.exception.DNSException:
        return _Reply(_SERVFAIL)
    if len(chain.cnames) > DNS_CNAMES_MAX:
        return _absent("nodata", chain.minimum_ttl)
    if chain.answer is None:
        # RFC 2308, section 5: how long "there is none" holds says the SOA; without one it is for now only.
        has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
        return _absent("nxdomain" if rcode == dns.rcode.NXDOMAIN else "nodata", chain.minimum_ttl if has_soa else 0)
    if len(chain.answer) > DNS_RECORDS_MAX:
        return _Reply(_SERVFAIL)
    records = tuple(_record(rdata, question.rdtype) for rdata in chain.answer)
    if any(isinstance(record, bytes) and len(record) > DNS_RECORD_BYTES_MAX for record in records):
        return _Reply(_SERVFAIL)
    return _Reply(DnsAnswer("found", records, digest_of(question, records)), chain.minimum_ttl)


def _absent(state: DnsAnswerState, ttl_s: int) -> _Reply:
    return _Reply(DnsAnswer(state), ttl_s)


def _record(rdata: Any, rdtype: str) -> DnsRecord:
    """Return a record as verifying takes it."""
    if rdtype == "TXT":
        return b"".join(rdata.strings)
    if rdtype == "MX":
        return int(rdata.preference), _text_of(rdata.exchange)
    if rdtype == "PTR":
        return _text_of(rdata.target)
    return str(rdata.address)


def _canonical(record: DnsRecord) -> bytes:
    if isinstance(record, bytes):
        return record
    if isinstance(record, str):
        return record.encode()
    preference, host = record
    return f"{preference} {host}".encode()


def _name_of(text: str) -> dns.name.Name | None:
    """Return a name of the labels between the dots, byte by byte: a macro of SPF may put anything into a label."""
    try:
        return dns.name.Name([*(label.encode() for label in text.split(".")), b""])
    except (dns.exception.DNSException, UnicodeError):
        return None


def _text_of(name: dns.name.Name) -> str:
    """Return a name's text, in lower case, without the final dot."""
    return name.to_text(omit_final_dot=True).lower()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
