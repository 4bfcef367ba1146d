"""A DNS server on the loopback address for tests: UDP and TCP, records set while it runs, failures on demand.

    with LoopbackDns() as dns:
        dns.set("acme.com.au", "TXT", ["v=spf1 -all"])
        dns.fail("down.com.au")            # SERVFAIL
        dns.silence("slow.com.au")         # no answer at all
        resolver = DnsResolver([dns.server], timeout_s=ANSWERED_WITHIN_S, clock=SystemClock())
        DNS_SERVERS = dns.address          # "127.0.0.1:port" for a process

It answers as a recursive server does: aliases are followed, and what is not there has an SOA record with its time. It
runs in threads of its own, so tests with and without an event loop use it alike.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.ANY.TXT import TXT

IN = dns.rdataclass.IN
HOST = "127.0.0.1"
PORTS_TRIED = 20
ALIASES_MAX = 20
PLAIN_UDP_BYTES = 512
TCP_BYTES_MAX = 65_535
STRING_BYTES = 255
ANSWERED_WITHIN_S = 60.0
"""What a resolver of a test may take for a question that this server answers: it takes it on a busy machine only."""
SILENT_FOR_S = 3.0
"""How long a server is asked that does not answer; long enough for each question to reach it."""

Value = str | bytes | tuple[int, str] | list[Any]


class LoopbackDns:
    """The server. Times are in seconds; names are taken in any letter case, with or without the final dot."""

    def __init__(self, *, ttl_s: int = 60, negative_ttl_s: int = 5, udp_bytes_max: int = 1_232) -> None:
        self.ttl_s = ttl_s
        self.negative_ttl_s = negative_ttl_s
        self.udp_bytes_max = udp_bytes_max
        self.asked: Counter[tuple[str, str, str]] = Counter()
        """How often each (name, type, "udp" or "tcp") was asked."""
        self._zone: dict[dns.name.Name, dict[str, list[dns.rdata.Rdata]]] = {}
        self._failing: set[dns.name.Name] = set()
        self._silent: set[dns.name.Name] = set()
        self._all_down: str | None = None
        self._lock = threading.Lock()
        self._udp, self._tcp = self._bind()

    def _bind(self) -> tuple[_Udp, _Tcp]:
        """Both servers on one free port; the other transport's may be somebody else's, so several are tried."""
        for _ in range(PORTS_TRIED):
            tcp = _Tcp((HOST, 0), self)
            try:
                return _Udp((HOST, tcp.server_address[1]), self), tcp
            except OSError:
                tcp.server_close()
        raise OSError("There is no port that is free for both UDP and TCP.")

    def __enter__(self) -> Self:
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()

    @property
    def server(self) -> tuple[str, int]:
        """Address and port."""
        return HOST, int(self._udp.server_address[1])

    @property
    def address(self) -> str:
        """Address and port as a setting has them."""
        host, port = self.server
        return f"{host}:{port}"

    def set(self, name: str, rdtype: str, values: Iterable[Value]) -> None:
        """Let a name have these records of a type, instead of those it had.

        TXT: a text or a list of its strings; MX: (preference, host); A, AAAA, PTR, CNAME: text.
        """
        records = [_rdata(rdtype, value) for value in values]
        with self._lock:
            self._zone.setdefault(_name(name), {})[rdtype] = records

    def add(self, records: Mapping[str, Mapping[str, Iterable[Value]]]) -> None:
        """Set many: name → type → values."""
        for name, by_type in records.items():
            for rdtype, values in by_type.items():
                self.set(name, rdtype, values)

    def load(self, zone: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace everything by a published case's zone, in which `RCODE: SERVFAIL` fails a name's other types."""
        self.clear()
        for name, by_type in zone.items():
            for rdtype, values in by_type.items():
                if rdtype == "RCODE":
                    self.fail(name)
                else:
                    self.set(name, rdtype, [tuple(one) if rdtype == "MX" else one for one in values])

    def remove(self, name: str) -> None:
        """Forget a name, its records and its failures."""
        with self._lock:
            for place in (self._zone, self._failing, self._silent):
                if isinstance(place, dict):
                    place.pop(_name(name), None)
                else:
                    place.discard(_name(name))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._zone.clear()
            self._failing.clear()
            self._silent.clear()
            self._all_down = None
            self.asked.clear()

    def fail(self, name: str) -> None:
        """Answer SERVFAIL for the types of a name that it has no records of."""
        with self._lock:
            self._failing.add(_name(name))

    def silence(self, name: str) -> None:
        """Answer nothing for a name: whoever asks runs into its time-out."""
        with self._lock:
            self._silent.add(_name(name))

    def heal(self, name: str) -> None:
        """Answer for a name again."""
        with self._lock:
            self._failing.discard(_name(name))
            self._silent.discard(_name(name))

    def go_down(self, how: str = "servfail") -> None:
        """Fail forevery name: "servfail", or "silent" for no answer."""
        self._all_down = how

    def come_back(self) -> None:
        """Answer again after `go_down`."""
        self._all_down = None

    def questions(self) -> set[tuple[str, str]]:
        """Each (name, type) that was asked."""
        return {(name, rdtype) for name, rdtype, _ in self.asked}

    def reply(self, wire: bytes, transport: str) -> bytes | None:
        """The response to a query; None for silence."""
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None
        rdtype = dns.rdatatype.to_text(question.rdtype)
        with self._lock:
            self.asked[(question.name.to_text(omit_final_dot=True).lower(), rdtype, transport)] += 1
            response = self._respond(query, question.name, rdtype)
        if response is None:
            return None
        if transport == "tcp":
            return response.to_wire(max_size=TCP_BYTES_MAX)
        payload = query.payload if query.edns >= 0 else PLAIN_UDP_BYTES
        try:
            return response.to_wire(max_size=max(PLAIN_UDP_BYTES, min(payload, self.udp_bytes_max)))
        except dns.exception.TooBig:
            cut = dns.message.make_response(query, recursion_available=True)
            cut.flags |= dns.flags.TC
            return cut.to_wire()

    def _respond(self, query: dns.message.Message, name: dns.name.Name, rdtype: str) -> dns.message.Message | None:
        response = dns.message.make_response(query, recursion_available=True)
        seen: list[dns.name.Name] = []
        while True:
            if self._all_down == "silent" or name in self._silent:
                return None
            records = self._zone.get(name, {})
            if self._all_down or (name in self._failing and rdtype not in records):
                response.answer.clear()
                response.set_rcode(dns.rcode.SERVFAIL)
                return response
            if rdtype in records:
                response.answer.append(_rrset(name, self.ttl_s, records[rdtype]))
                return response
            alias = records.get("CNAME")
            if alias is None:
                if not any(known.is_subdomain(name) for known in self._zone):
                    response.set_rcode(dns.rcode.NXDOMAIN)
                response.authority.append(self._soa())
                return response
            if name in seen or len(seen) >= ALIASES_MAX:
                return response
            seen.append(name)
            response.answer.append(_rrset(name, self.ttl_s, alias))
            name = alias[0].target  # type: ignore[attr-defined]

    def _soa(self) -> dns.rrset.RRset:
        root = dns.name.root
        rdata = SOA(IN, dns.rdatatype.SOA, root, root, 1, 3600, 600, 86400, self.negative_ttl_s)
        return _rrset(root, self.negative_ttl_s, [rdata])


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, socket = self.request
        if (reply := self.server.dns.reply(wire, "udp")) is not None:  # type: ignore[attr-defined]
            socket.sendto(reply, self.client_address)


class _TcpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(5)
        stream = self.request.makefile("rwb")
        while len(head := stream.read(2)) == 2:
            reply = self.server.dns.reply(stream.read(struct.unpack("!H", head)[0]), "tcp")  # type: ignore[attr-defined]
            if reply is None:
                return
            stream.write(struct.pack("!H", len(reply)) + reply)
            stream.flush()


class _Udp(socketserver.UDPServer):
    def __init__(self, address: tuple[str, int], dns: LoopbackDns) -> None:
        super().__init__(address, _UdpHandler)
        self.dns = dns

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is no error of the test."""


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], dns: LoopbackDns) -> None:
        super().__init__(address, _TcpHandler)
        self.dns = dns

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is no error of the test."""


def _name(text: str) -> dns.name.Name:
    """A name of the labels between the dots; only lower case, for a zone compares it so."""
    return dns.name.Name([*(label.encode() for label in text.lower().removesuffix(".").split(".")), b""])


def _rdata(rdtype: str, value: Value) -> dns.rdata.Rdata:
    if rdtype == "TXT":
        strings = [value] if isinstance(value, str | bytes) else list(value)
        return TXT(IN, dns.rdatatype.TXT, [part for one in strings for part in _strings(one)])
    if rdtype == "MX":
        preference, host = value  # type: ignore[misc]
        return MX(IN, dns.rdatatype.MX, int(preference), _host(host))  # type: ignore[arg-type]
    if rdtype == "PTR":
        return PTR(IN, dns.rdatatype.PTR, _host(str(value)))
    if rdtype == "CNAME":
        return CNAME(IN, dns.rdatatype.CNAME, _host(str(value)))
    return dns.rdata.from_text(IN, rdtype, str(value))


def _host(text: str) -> dns.name.Name:
    return dns.name.root if text in ("", ".") else _name(text)


def _strings(text: str | bytes) -> list[bytes]:
    """A TXT record's strings have 255 bytes at most."""
    raw = text.encode() if isinstance(text, str) else text
    return [raw[start : start + STRING_BYTES] for start in range(0, len(raw), STRING_BYTES)] or [b""]


def _rrset(name: dns.name.Name, ttl_s: int, records: list[dns.rdata.Rdata]) -> dns.rrset.RRset:
    rrset = dns.rrset.RRset(name, IN, records[0].rdtype)
    for record in records:
        rrset.add(record, ttl_s)
    return rrset
