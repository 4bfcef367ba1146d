"""Published mail cases: read from the file that the run names, answered from their zone, compared with our verdicts.

A case says what another system or an RFC expects. `agree`: we say the same. `stricter`: we reject what the case takes,
by a rule of claims that is named. `differ`: anything else; there is none without an explanation in docs/mail-cases.md.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from apportion_common.errors import ApportionError
from apportion_identity.adapters.suffixes import PackagedSuffixes
from apportion_identity.domain.domain_names import canonical_domain
from apportion_identity.domain.mail.dkim import Signature, read_signatures, verify_signature
from apportion_identity.domain.mail.from_header import Mailbox, split_from
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.spf import evaluate_spf
from apportion_identity.domain.mail.tree_walk import walk
from apportion_identity.domain.mail.types import DkimFinding, DnsAnswer, DnsAnswers, DnsQuestion, Envelope, Rejection
from apportion_identity.limits import DNS_CNAMES_MAX
from dmarc_alignment import aligned_by_suffix, dmarc_verdict, strictly_aligned

NUMBERS = {"spf": 200, "from_header": 43, "alignment": 31, "orgdomain": 29, "dkim_message": 25}
VERIFIED_AT = datetime(2026, 3, 2, tzinfo=UTC)
"""When messages are verified whose case does not say: after all of them were signed."""

OUTCOMES = ("agree", "stricter", "differ")
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "mail-cases.md"

Case = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How ours compares with a case's; `rule` is the one by which they differ, `ours` for a failing test's message."""

    outcome: str
    rule: str = ""
    ours: str = ""

    def told(self, kind: str) -> str:
        """As the run's report carries it."""
        return f"{kind}|{self.outcome}|{self.rule}"


@cache
def load(file: str) -> tuple[Case, ...]:
    """All cases of a file. Raises ValueError when they are not the known number of each kind."""
    cases = json.loads(Path(file).read_text(encoding="utf-8"))
    found = Counter(case["kind"] for case in cases)
    if found != NUMBERS:
        raise ValueError(f"The file has {dict(found)}, not {NUMBERS}.")
    return tuple(cases)


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test marked `mail_cases("spf")` each case of the kind; as many placeholders where there is no file."""
    marker = metafunc.definition.get_closest_marker("mail_cases")
    if marker is None or "case" not in metafunc.fixturenames:
        return
    kinds = marker.args
    file = metafunc.config.getoption("mail_cases")
    if file is None:
        metafunc.parametrize("case", range(sum(NUMBERS[kind] for kind in kinds)))
        return
    cases = [case for case in load(file) if case["kind"] in kinds]
    metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def compare(case: Case) -> Verdict:
    """Our verdict on a case beside its own."""
    return _COMPARISONS[case["kind"]](case)


def missing_in_document(kind: str, verdicts: Iterable[Verdict]) -> list[str]:
    """What docs/mail-cases.md does not tell of the verdicts on a kind: their numbers, and each rule with its why."""
    told = DOCUMENT.read_text(encoding="utf-8")
    counts = Counter((verdict.outcome, verdict.rule) for verdict in verdicts)
    numbers = [sum(n for (outcome, _), n in counts.items() if outcome == wanted) for wanted in OUTCOMES]
    rows = [f"| {kind} | {sum(numbers)} | " + " | ".join(map(str, numbers)) + " |"]
    rows += [f"| {kind} | {outcome} | `{rule}` | {number} | " for (outcome, rule), number in counts.items() if rule]
    return [row for row in rows if row not in told]


def message_of(case: Case) -> bytes:
    """The message of a dkim_message or from_header case; a bare From value gets a message around it."""
    inputs = case["inputs"]
    for name in ("message_b64", "raw_headers_b64"):
        if name in inputs:
            return base64.b64decode(inputs[name])
    return b"From: " + inputs["from_value"].encode() + b"\r\nTo: a@b.example\r\nSubject: x\r\n\r\nhi\r\n"


def is_rejected_case(case: Case) -> bool:
    """Whether the case itself says that a claim is rejected."""
    expected = case["expected"]
    return expected == "reject" or (isinstance(expected, Mapping) and expected.get("claim") == "reject")


@dataclass(slots=True)
class Zone(dict[DnsQuestion, DnsAnswer]):
    """The answers of a case's zone, for any question: what the resolver would give."""

    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.records = {name.lower(): by_type for name, by_type in self.records.items()}

    def __contains__(self, question: object) -> bool:
        return True

    def __missing__(self, question: DnsQuestion) -> DnsAnswer:
        name = question.name
        for _ in range(DNS_CNAMES_MAX + 1):
            by_type = self.records.get(name)
            if by_type is None:
                exists = any(known.endswith(f".{name}") for known in self.records)
                return DnsAnswer("nodata" if exists else "nxdomain")
            if question.rdtype in by_type:
                return DnsAnswer("found", tuple(_records(question.rdtype, by_type[question.rdtype])))
            if "RCODE" in by_type:
                return DnsAnswer("servfail")
            if "CNAME" not in by_type:
                return DnsAnswer("nodata")
            name = by_type["CNAME"][0].lower().removesuffix(".")
        return DnsAnswer("nodata")


def zone_of(case: Case) -> DnsAnswers:
    """The answers of a case."""
    return Zone(records=case["dns"])


def _records(rdtype: str, values: Iterable[Any]) -> Iterable[Any]:
    if rdtype == "TXT":
        return ("".join([strings] if isinstance(strings, str) else strings).encode() for strings in values)
    if rdtype == "MX":
        return ((int(preference), str(host)) for preference, host in values)
    return values


def _same(ours: object, expected: object) -> Verdict:
    return Verdict("agree" if ours == expected else "differ", ours=str(ours))


def _spf(case: Case) -> Verdict:
    inputs, expected = case["inputs"], case["expected"]
    envelope = Envelope(inputs["ip"], inputs["helo"], inputs["mail_from"], "", True)
    result = evaluate_spf(envelope, zone_of(case)).result
    allowed = expected if isinstance(expected, list) else [expected]
    return Verdict("agree" if result in allowed else "differ", ours=result)


def _orgdomain(case: Case) -> Verdict:
    inputs, expected = case["inputs"], case["expected"]
    if inputs["method"] == "tree_walk":
        return _same(walk(inputs["domain"], zone_of(case)).organizational_domain, expected)
    try:
        ours = _SUFFIXES.registrable(canonical_domain(inputs["domain"]))
    except ApportionError:
        ours = None
    return _same(ours, None if expected is None else canonical_domain(expected))


def _alignment(case: Case) -> Verdict:
    inputs, expected = case["inputs"], case["expected"]
    if "author_domain" in inputs:
        return _alignment_by_suffix(case)
    domain = canonical_domain(inputs["header_from"].rpartition("@")[2])
    found = dmarc_verdict(domain, inputs["dkim_pass_domains"], inputs["spf_pass_domains"], zone_of(case))
    ours = {
        "result": found.result,
        "policy": found.policy,
        "org_domain": found.organizational_domain,
        "queries": list(found.walk.asked),
    }
    return _same({name: ours[name] for name in expected}, expected)


def _alignment_by_suffix(case: Case) -> Verdict:
    inputs, expected = case["inputs"], case["expected"]["result"]
    try:
        author, identifier = canonical_domain(inputs["author_domain"]), canonical_domain(inputs["identifier"])
    except ApportionError as rejected:
        return Verdict("stricter" if expected == "pass" else "agree", rejected.reason, "rejected")
    if inputs["mode"] == "strict":
        aligned = strictly_aligned(author, identifier)
    else:
        aligned = aligned_by_suffix(author, identifier, _SUFFIXES)
    return _same("pass" if aligned else "fail", expected)


def _from_header(case: Case) -> Verdict:
    """`expected` is what a claim may take. What the case's own suite takes beside that a rule of ours rejects."""
    expected, suite = case["expected"], case.get("suite_expected")
    found = from_of(case)
    if isinstance(found, Mailbox):
        agrees = expected in (found.domain, f"reject-or-{found.domain}")
        return Verdict("agree" if agrees else "differ", ours=found.domain)
    if suite is not None and "." in suite and " " not in suite:
        # The suite reads a domain here: whatever the case asks of a claim, this is stricter than its source.
        return Verdict("stricter" if expected.startswith("reject") else "differ", found.reason, "rejected")
    return Verdict("agree" if expected.startswith("reject") else "differ", ours=found.reason)


def from_of(case: Case) -> Mailbox | Rejection:
    """What the From header of a case comes to."""
    if "from_value" in case["inputs"]:
        return split_from([b" " + case["inputs"]["from_value"].encode()])
    message = read_message(message_of(case))
    if isinstance(message, Rejection):
        return message
    return split_from([one.raw_value for one in message.all(b"from")])


def _dkim_message(case: Case) -> Verdict:
    """Signatures by the RFCs, without what claims ask beside that; `claim` is checked where claims are verified."""
    expected = case["expected"]
    message = read_message(message_of(case))
    if isinstance(message, Rejection):
        takes = "pass" in json.dumps(expected)
        return Verdict("stricter" if takes else "agree", message.reason, "rejected")
    findings = findings_of(case, message)
    results = [finding.result for finding in findings]
    ours: dict[str, object] = {
        "signatures": results,
        "last_signature": results[-1] if results else None,
        "any": "pass" if "pass" in results else None,
    }
    compared = {name: value for name, value in expected.items() if name in ours}
    if all(ours[name] == value for name, value in compared.items()):
        return Verdict("agree", ours=str(results))
    rejected = next((finding.reason for finding in findings if finding.result == "policy"), "")
    return Verdict("stricter" if rejected else "differ", rejected, str([(one.result, one.reason) for one in findings]))


def findings_of(case: Case, message: Message) -> list[DkimFinding]:
    """Our finding on each signature of a case's message, at the time that the case names."""
    answers, now_s = zone_of(case), verified_at_s(case)
    return [
        verify_signature(one, message, answers[one.key_question], now_s) if isinstance(one, Signature) else one
        for one in read_signatures(message)
    ]


def verified_at_s(case: Case) -> int:
    """When the case's message is verified, in seconds since 1970."""
    return int(case["inputs"].get("verify_at") or VERIFIED_AT.timestamp())


_SUFFIXES = PackagedSuffixes()
_COMPARISONS = {
    "spf": _spf,
    "orgdomain": _orgdomain,
    "alignment": _alignment,
    "from_header": _from_header,
    "dkim_message": _dkim_message,
}
