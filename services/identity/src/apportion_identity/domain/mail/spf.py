"""SPF (RFC 7208) by pyspf, with its look-ups answered from given answers: no socket is opened and no time is read.

pyspf is no longer maintained, so it is fenced in: whatever it trips over is a permanent error of the record, never a
pass. A temporary failure of any look-up that it makes is `temperror`, also where RFC 7208 section 5.5 would pass over a
failing PTR: for a claim, a failing DNS decides nothing.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import spf

from apportion_identity.domain.mail.types import DnsAnswers, DnsQuestion, Envelope, NeedsAnswers
from apportion_identity.limits import DOMAIN_CHARS_MAX, LABEL_CHARS_MAX, SPF_TERM_CHARS_MAX, SPF_VALUE_BYTES_MAX

if TYPE_CHECKING:
    _Query = Any
else:
    _Query = spf.query

_RESULTS: Final = frozenset({"pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"})
_ASKED: Final = frozenset({"A", "AAAA", "MX", "PTR", "TXT"})
# Nobody sends from these (RFC 1112, section 4; RFC 6666): a record that lets them send lets everybody.
_A_STRANGER_IPV4: Final = "240.0.0.1"
_A_STRANGER_IPV6: Final = "100::1"


@dataclass(frozen=True, slots=True)
class SpfResult:
    """`result` in RFC 7208's words; `domain` is the one whose record was evaluated, in lower case.

    `identity` is "mailfrom", or "helo" where the sender is the null one: only "mailfrom" counts for a claim.
    `look_ups` are the terms that caused queries, of which a record may have ten (section 4.6.4).
    """

    result: str
    domain: str
    identity: str
    look_ups: int = 0
    detail: str = ""


def evaluate_spf(envelope: Envelope, answers: DnsAnswers) -> SpfResult:
    """Evaluate SPF for MAIL FROM, or for HELO when the sender is the null one. Raises NeedsAnswers.

    A client address that is none is a permerror; the caller rejects it before.
    """
    identity = "mailfrom" if envelope.mail_from else "helo"
    sender = envelope.mail_from or f"postmaster@{envelope.helo}"
    local_part, _, domain = sender.rpartition("@")
    domain = domain.lower().removesuffix(".")
    # Only addresses: pyspf takes words such as "list" for modes of its own.
    if (client_ip := _address(envelope.client_ip)) is None:
        return SpfResult("permerror", domain, identity, detail="The client address is no address.")
    try:
        query = _AnsweredQuery(client_ip, sender, envelope.helo, answers)
        # pyspf divides at the first @; the domain comes after the last (RFC 5321, section 4.1.2).
        query.l, query.o, query.d = local_part or "postmaster", domain, domain
        result, _, detail = query.check()
    except NeedsAnswers:
        raise
    except Exception as error:
        detail = f"The record cannot be evaluated ({type(error).__name__})."
        return SpfResult("permerror", domain, identity, detail=detail)
    known = result if result in _RESULTS else "permerror"
    return SpfResult(known, domain, identity, query.lookups, str(detail))


def pass_for_some(passed: SpfResult, envelope: Envelope, answers: DnsAnswers) -> SpfResult:
    """Return a pass, looked at once more: "policy" (RFC 8601) when the record lets every server pass, as `+all` does.

    Whether it does can hang on more answers, NeedsAnswers; a temporary failure of one of them is the result then.
    """
    address = ipaddress.ip_address(envelope.client_ip)
    is_ipv4 = address.version == 4 or address.ipv4_mapped is not None
    stranger = replace(envelope, client_ip=_A_STRANGER_IPV4 if is_ipv4 else _A_STRANGER_IPV6)
    result = evaluate_spf(stranger, answers).result
    if result == "pass":
        return replace(passed, result="policy", detail="The record lets every server send.")
    return replace(passed, result="temperror") if result == "temperror" else passed


class _AnsweredQuery(_Query):  # type: ignore[misc]
    """A query of pyspf that knows the answers, and asks for those that it lacks."""

    def __init__(self, client_ip: str, sender: str, helo: str, answers: DnsAnswers) -> None:
        super().__init__(i=client_ip, s=sender, h=helo, strict=True)
        self._answers = answers
        # Macro t, which only explanations may have: nothing here depends on the time.
        self.t = "0"

    def dns(self, name: Any, qtype: str, cnames: Any = None, ignore_void: bool = False) -> list[Any]:
        """Return records of a name: aliases are followed already. Raises NeedsAnswers, and pyspf's own errors."""
        question = DnsQuestion(str(name).removesuffix(".").lower(), qtype)
        if qtype not in _ASKED or not _can_be_asked(question.name):
            return []
        if question not in self._answers:
            raise NeedsAnswers([question])
        answer = self._answers[question]
        if answer.is_temporary_failure:
            raise spf.TempError(f"The DNS gave no answer for {qtype}.")
        if not answer.records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")
        # pyspf takes TXT records as sequences of their strings, and sorts its list in place.
        return [[record] for record in answer.records] if qtype == "TXT" else list(answer.records)

    def dns_mx(self, domainname: str) -> list[str]:
        """Return addresses of a domain's mail servers; all that are not known yet are asked for at once."""
        hosts = self.dns(domainname, "MX")
        self._need([host for _, host in hosts[: spf.MAX_MX]])
        addresses: list[str] = super().dns_mx(domainname)
        return addresses

    def validated_ptrs(self) -> list[str]:
        """Return names of the client address that lead back to it; all that are not known yet are asked for at once."""
        self._need(self.dns_ptr(self.i)[: spf.MAX_PTR])
        names: list[str] = super().validated_ptrs()
        return names

    def dns_spf(self, domain: str) -> str | None:
        """Return the SPF record of a domain. Raises pyspf's PermError for several and for one beyond the limits."""
        record: str | None = super().dns_spf(domain)
        if record is None:
            return None
        if len(record) > SPF_VALUE_BYTES_MAX or any(len(term) > SPF_TERM_CHARS_MAX for term in record.split(" ")):
            raise spf.PermError("The SPF record is too long.")
        return record

    def get_explanation(self, spec: str) -> None:
        """Fetch no explanation: nobody shows it, and a look-up for it would only be a way to be asked."""
        return

    def expand(self, s: str, stripdot: bool = True) -> str:
        """Expand macros; a name that is too long loses labels from the left until it is not (RFC 7208, section 7.3)."""
        expanded: str = super().expand(s, stripdot)
        excess = len(expanded) - DOMAIN_CHARS_MAX
        if not stripdot or excess <= 0:
            return expanded
        return expanded[expanded.find(".", excess - 1) + 1 :]

    def _need(self, hosts: list[str]) -> None:
        questions = [DnsQuestion(str(host).removesuffix(".").lower(), self.A) for host in hosts]
        missing = [one for one in questions if _can_be_asked(one.name) and one not in self._answers]
        # One at a time would be a round each; a single missing one is left to the look-up itself.
        if len(missing) > 1:
            raise NeedsAnswers(missing)


def _address(text: str) -> str | None:
    """Return an IPv4 or IPv6 address in its plain form; None for anything else, zones included."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(address)


def _can_be_asked(name: str) -> bool:
    """Return whether a name fits into a query; its labels may have any character (RFC 2181, section 11)."""
    return len(name) <= DOMAIN_CHARS_MAX and all(0 < len(label) <= LABEL_CHARS_MAX for label in name.split("."))
