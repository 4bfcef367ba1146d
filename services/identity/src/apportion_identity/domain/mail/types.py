"""What verifying a mail is made of: questions to the DNS, their answers, the envelope, findings and the result.

Verifying is sans I/O: code that needs an answer which is not there raises `NeedsAnswers` with all the questions it
can see; the application asks them and calls again with more answers. The same arguments always have the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

DnsAnswerState: TypeAlias = Literal["found", "nodata", "nxdomain", "servfail", "timeout"]

# TXT: the bytes of one record, its strings joined; A, AAAA, PTR: text; MX: (preference, host).
DnsRecord: TypeAlias = str | bytes | tuple[int, str]


@dataclass(frozen=True, slots=True)
class DnsQuestion:
    """A question to the DNS: `name` in lower case without a final dot; `rdtype` "TXT", "A", "AAAA", "MX" or "PTR"."""

    name: str
    rdtype: str

    @property
    def text(self) -> str:
        """As people read it, such as "TXT acme.com"; what cannot be printed is escaped."""
        return f"{self.rdtype} {self.name}".encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What the DNS said. `servfail` and `timeout` are temporary: nothing may be decided on them.

    `digest` is the SHA-256 (hex) of the records that were found, for the proof; the text itself is not kept.
    """

    state: DnsAnswerState
    records: tuple[DnsRecord, ...] = ()
    digest: str = ""

    @property
    def is_temporary_failure(self) -> bool:
        """True when the DNS gave no answer that anything can be decided on."""
        return self.state in ("servfail", "timeout")


DnsAnswers: TypeAlias = Mapping[DnsQuestion, DnsAnswer]


class NeedsAnswers(Exception):
    """Verifying cannot go on without these answers: ask, add them, call again."""

    def __init__(self, questions: Iterable[DnsQuestion]) -> None:
        self.questions: frozenset[DnsQuestion] = frozenset(questions)
        super().__init__(f"{len(self.questions)} DNS answers are needed")


class DnsTrouble(Exception):
    """The answer to a question that matters is a temporary failure: nothing is decided, the caller may try again."""

    def __init__(self, question: DnsQuestion) -> None:
        self.question = question
        super().__init__(f"The DNS gave no answer for {question.text}.")


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the message came. `trusted_relay`: the caller that says so is one whose `client_ip` counts for SPF."""

    client_ip: str
    helo: str
    mail_from: str  # without angle brackets; empty for the null sender
    rcpt_to: str  # without angle brackets; empty when it is not known
    trusted_relay: bool


def plain_address(address: str) -> str:
    """Return an envelope's address in lower case, without what gateways leave around it; empty for the null sender."""
    return address.strip().removeprefix("<").removesuffix(">").lower()


@dataclass(frozen=True, slots=True)
class DkimFinding:
    """What became of one DKIM signature: `result` in RFC 8601's words, `reason` ours (empty for pass)."""

    domain: str
    selector: str
    result: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verification rests on: domains and results, no address, subject or body."""

    from_domain: str = ""
    spf_result: str = ""
    spf_domain: str = ""
    dkim: tuple[DkimFinding, ...] = ()
    dmarc_policy: str = ""
    organizational_domain: str = ""
    aligned_by_dkim: bool = False
    aligned_by_spf: bool = False


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message proves nothing: a stable reason (UPPER_SNAKE) and a sentence that a person can act on."""

    reason: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result: the message proves the domain when `rejection` is None.

    `facts` are canonical pairs for the proof's HMAC (no address, subject or body). `message_key` tells one proof from
    another: it is made of what was signed, so that a message wrapped in other unsigned headers is still the same proof.
    It is empty when nothing was proved.
    """

    rejection: Rejection | None
    evidence: Evidence
    facts: tuple[tuple[str, str], ...] = ()
    message_key: bytes = b""
