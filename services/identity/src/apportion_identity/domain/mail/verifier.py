"""Whether a mail proves a domain, over (message, envelope, DNS answers): spec 01, domain claims 2.

The order is: what the message alone says; then, with the answers, the domain's own records, SPF and DKIM. Arithmetic
is done once every answer is there. No header that another server wrote about its own checks (Authentication-Results,
Received-SPF, ARC) is ever read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.domain.mail import automatic, dkim, from_header
from apportion_identity.domain.mail.dkim import Signature
from apportion_identity.domain.mail.from_header import Mailbox, split_from, split_mailbox
from apportion_identity.domain.mail.message import Message, relaxed_value
from apportion_identity.domain.mail.spf import SpfResult, evaluate_spf, pass_for_some
from apportion_identity.domain.mail.tree_walk import policy_for, walk
from apportion_identity.domain.mail.types import (
    DkimFinding,
    DnsAnswer,
    DnsAnswers,
    DnsQuestion,
    DnsTrouble,
    Envelope,
    Evidence,
    NeedsAnswers,
    Rejection,
    Verification,
    plain_address,
)
from apportion_identity.limits import ADDRESS_FIELD_BYTES_MAX, RECIPIENTS_MAX

_OWN_REASONS: Final[dict[str, str]] = {
    "HEADER_REPEATED": "A header field that may stand in a message once stands in it several times. Send it through an "
    "ordinary mail program.",
    "TO_ABSENT": "The message has no To field. Write to the claim's address directly, not as a blind copy.",
    "TO_MALFORMED": "The To field is not one mailbox as RFC 5322 writes it. Write to the claim's address alone.",
    "TO_SEVERAL_MAILBOXES": "The To field names several mailboxes. Write to the claim's address alone.",
    "TO_NOT_THE_CLAIM": "The To field does not name the claim's address. Write to it directly, not by an alias.",
    "RECIPIENT_NOT_THE_CLAIM": "The message was delivered for another address than the claim's. Write to it directly.",
    "FROM_NOT_THE_DOMAIN": "The From address belongs to another domain than the one that is claimed. Write from an "
    "address of the domain itself.",
    "FROM_BELOW_THE_DOMAIN": "The From address is below the claimed domain. Write from an address of the domain "
    "itself.",
    "FROM_ABOVE_THE_DOMAIN": "The From address is above the claimed domain. Write from an address of the claimed "
    "name, or claim the domain above.",
    "PUBLIC_SUFFIX": "Names right below this one belong to different owners, so that no one can claim it.",
    "DOMAIN_SAYS_PUBLIC_SUFFIX": "The domain's DMARC record says that names below it belong to different owners "
    "(psd=y).",
    "NOT_SIGNED": "The message has no DKIM signature of the domain. Have your mail server sign with it.",
    "SPF_NOT_PASSED": "The message has no DKIM signature of the domain, and SPF does not allow its server for the "
    "domain. Have your mail server sign with the domain itself (d=).",
    "SPF_FOR_EVERYBODY": "The message has no DKIM signature of the domain, and the domain's SPF record lets every "
    "server send, so that it proves nothing. Have your mail server sign, or end the record in -all.",
}
REASONS: Final[dict[str, str]] = {**_OWN_REASONS, **automatic.REASONS, **from_header.REASONS, **dkim.REASONS}
"""Every reason for a rejection, with what it tells a person; `message.REASONS` has those of the reading."""

# RFC 5322, section 3.6, and RFC 2045: at most one of each. From and To have reasons of their own.
_SINGLE: Final = (
    *(b"date", b"sender", b"reply-to", b"cc", b"bcc", b"message-id", b"in-reply-to", b"references", b"subject"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding", b"return-path"),
)
_ADDRESS_ALIKE: Final = re.compile(rb"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


@dataclass(frozen=True, slots=True)
class _DomainPolicy:
    """What the DNS says of the domain itself."""

    policy: str
    organizational_domain: str
    says_public_suffix: bool


def addresses_of(message: Message, rcpt_to: str) -> tuple[str, ...]:
    """Return addresses, in lower case, among which the claim's is looked for: the envelope's recipient, then To's.

    To is read generously here, so that also a message that will be rejected finds the claim that it was meant for.
    """
    found = dict.fromkeys(address for address in (plain_address(rcpt_to),) if "@" in address)
    for field in message.all(b"to")[:RECIPIENTS_MAX]:
        for match in _ADDRESS_ALIKE.finditer(field.raw_value, 0, ADDRESS_FIELD_BYTES_MAX):
            if len(found) == RECIPIENTS_MAX:
                return tuple(found)
            found.setdefault(match[0].decode("ascii").lower())
    return tuple(found)


def verify(
    message: Message,
    envelope: Envelope,
    *,
    domain: str,
    address: str,
    now_s: int,
    answers: DnsAnswers,
    suffixes: PublicSuffixes,
) -> Verification:
    """Verify whether a message proves `domain` to the claim whose address is `address` (both normalised).

    Raises NeedsAnswers with all questions that can be seen to be needed, and DnsTrouble when the result hangs on an
    answer that the DNS failed to return.
    """
    author = message.once("author", lambda: split_from([field.raw_value for field in message.all(b"from")]))
    from_domain = author.domain if isinstance(author, Mailbox) else ""
    rejection = message.once(
        ("problem", envelope, domain, address),
        lambda: _problem_of_message(message, envelope, author, domain, address),
    )
    if rejection is not None:
        return Verification(rejection, Evidence(from_domain=from_domain))
    if suffixes.is_public_suffix(domain):
        return Verification(_rejection("PUBLIC_SUFFIX"), Evidence(from_domain=from_domain))
    used = _UsedAnswers(answers)
    read = message.once("signatures", lambda: dkim.read_signatures(message))
    signatures = [_screened(one, message, domain, now_s) for one in read]
    domain_policy, spf = _gather(signatures, envelope, domain, used)
    findings = [_verified(one, message, used, now_s) for one in signatures]
    by_dkim = any(finding.result == "pass" for finding in findings)
    if spf is not None and not by_dkim and _speaks_for(spf, domain, "pass"):
        # It would be the proof, so it must say more than that anybody may send.
        spf = pass_for_some(spf, envelope, used)
    by_spf = _speaks_for(spf, domain, "pass")
    evidence = Evidence(
        from_domain=from_domain,
        spf_result=spf.result if spf else "",
        spf_domain=spf.domain if spf else "",
        dkim=tuple(findings),
        dmarc_policy=domain_policy.policy,
        organizational_domain=domain_policy.organizational_domain,
        aligned_by_dkim=by_dkim,
        aligned_by_spf=by_spf,
    )
    if domain_policy.says_public_suffix:
        return Verification(_rejection("DOMAIN_SAYS_PUBLIC_SUFFIX"), evidence)
    if not by_dkim and not by_spf:
        _raise_trouble(signatures, findings, spf, domain, used)
        return Verification(_rejection(_reason(findings, spf, domain)), evidence)
    return Verification(None, evidence, tuple(_facts(message, domain, evidence, used)), _message_key(message, domain))


def _rejection(reason: str) -> Rejection:
    return Rejection(reason, REASONS[reason])


def _problem_of_message(
    message: Message, envelope: Envelope, author: Mailbox | Rejection, domain: str, address: str
) -> Rejection | None:
    """Return what the message itself has against it, without any answer of the DNS."""
    if isinstance(author, Rejection):
        return author
    reason = (
        _reason_of_author(author.domain, domain)
        or _reason_of_recipient(message, envelope, address)
        or next(("HEADER_REPEATED" for name in _SINGLE if len(message.all(name)) > 1), None)
        or automatic.reason_of(message, envelope, author)
    )
    return None if reason is None else _rejection(reason)


def _reason_of_author(from_domain: str, domain: str) -> str | None:
    if from_domain == domain:
        return None
    if from_domain.endswith(f".{domain}"):
        return "FROM_BELOW_THE_DOMAIN"
    return "FROM_ABOVE_THE_DOMAIN" if domain.endswith(f".{from_domain}") else "FROM_NOT_THE_DOMAIN"


def _reason_of_recipient(message: Message, envelope: Envelope, address: str) -> str | None:
    fields = message.all(b"to")
    if not fields:
        return "TO_ABSENT"
    if len(fields) > 1:
        return "TO_SEVERAL_MAILBOXES"
    found = split_mailbox(fields[0].raw_value)
    if not isinstance(found, Mailbox):
        return "TO_SEVERAL_MAILBOXES" if found == "SEVERAL_MAILBOXES" else "TO_MALFORMED"
    if f"{found.local_part.lower()}@{found.domain}" != address:
        return "TO_NOT_THE_CLAIM"
    recipient = plain_address(envelope.rcpt_to)
    return "RECIPIENT_NOT_THE_CLAIM" if recipient and recipient != address else None


def _screened(signature: Signature | DkimFinding, message: Message, domain: str, now_s: int) -> Signature | DkimFinding:
    """Return the signature where it could count, else why it cannot."""
    if isinstance(signature, DkimFinding):
        return signature
    return dkim.problem_for_claim(signature, message, domain, now_s) or signature


def _gather(
    signatures: list[Signature | DkimFinding], envelope: Envelope, domain: str, answers: _UsedAnswers
) -> tuple[_DomainPolicy, SpfResult | None]:
    """Return the domain's own policy and SPF's result; NeedsAnswers with all that they and the signatures lack."""
    keys = {one.key_question for one in signatures if isinstance(one, Signature)}
    missing = {question for question in keys if question not in answers}
    domain_policy: _DomainPolicy | None = None
    spf: SpfResult | None = None
    try:
        domain_policy = _domain_policy(domain, answers)
    except NeedsAnswers as needs:
        missing |= needs.questions
    if envelope.trusted_relay:
        try:
            spf = evaluate_spf(envelope, answers)
        except NeedsAnswers as needs:
            missing |= needs.questions
    if missing or domain_policy is None:
        raise NeedsAnswers(missing)
    return domain_policy, spf


def _domain_policy(domain: str, answers: DnsAnswers) -> _DomainPolicy:
    """Return the policy of the domain's DMARC record and the walk above it. Raises NeedsAnswers, DnsTrouble.

    The domain's own record may reject the claim, so its answer matters; what the names above it say is evidence only.
    """
    try:
        found = walk(domain, answers)
        return _DomainPolicy(policy_for(found, answers), found.organizational_domain, found.says_public_suffix)
    except DnsTrouble as trouble:
        # A record of its own that says psd=y ends the walk before anything above it is looked at.
        if trouble.question == DnsQuestion(f"_dmarc.{domain}", "TXT"):
            raise
        return _DomainPolicy("", "", says_public_suffix=False)


def _verified(signature: Signature | DkimFinding, message: Message, answers: _UsedAnswers, now_s: int) -> DkimFinding:
    if isinstance(signature, DkimFinding):
        return signature
    return dkim.verify_signature(signature, message, answers[signature.key_question], now_s)


def _raise_trouble(
    signatures: list[Signature | DkimFinding],
    findings: list[DkimFinding],
    spf: SpfResult | None,
    domain: str,
    answers: _UsedAnswers,
) -> None:
    """Raise DnsTrouble where an answer that the DNS failed to return could have made the proof."""
    for signature, finding in zip(signatures, findings, strict=True):
        if isinstance(signature, Signature) and finding.result == "temperror":
            raise DnsTrouble(signature.key_question)
    if _speaks_for(spf, domain, "temperror"):
        raise DnsTrouble(next(answers.troubled(), DnsQuestion(domain, "TXT")))


def _speaks_for(spf: SpfResult | None, domain: str, result: str) -> bool:
    """Return whether SPF was evaluated for MAIL FROM of the very domain, and gave this result."""
    return spf is not None and (spf.result, spf.identity, spf.domain) == (result, "mailfrom", domain)


def _reason(findings: list[DkimFinding], spf: SpfResult | None, domain: str) -> str:
    """Return the most telling reason: what is wrong with the domain's own signature comes first."""
    reasons = {finding.reason: None for finding in findings if finding.domain == domain}
    reasons |= {finding.reason: None for finding in findings if finding.reason != "DKIM_NOT_ALIGNED"}
    if reasons:
        return next(iter(reasons))
    if _speaks_for(spf, domain, "policy"):
        return "SPF_FOR_EVERYBODY"
    if spf is not None and spf.domain == domain:
        return "SPF_NOT_PASSED"
    return "DKIM_NOT_ALIGNED" if findings else "NOT_SIGNED"


def _facts(message: Message, domain: str, evidence: Evidence, answers: _UsedAnswers) -> Iterator[tuple[str, str]]:
    """Yield what the proof's HMAC is made over. The digests are of what can be guessed: they go into the HMAC alone."""
    yield "domain", domain
    yield "spf", f"{evidence.spf_result} {evidence.spf_domain}"
    for finding in evidence.dkim:
        yield "dkim", f"{finding.result} {finding.domain} {finding.selector} {finding.reason}"
    yield "dmarc", f"{evidence.dmarc_policy} {evidence.organizational_domain}"
    for name in (b"from", b"to", b"subject", b"date", b"message-id", b"dkim-signature"):
        for field in message.all(name):
            digest = hashlib.sha256(relaxed_value(field.raw_value)).hexdigest()
            yield f"header {name.decode('ascii')}", digest
    yield "body", message.body_sha256("relaxed").hex()
    for question, answer in sorted(answers.used.items(), key=lambda pair: (pair[0].name, pair[0].rdtype)):
        yield f"dns {question.rdtype} {question.name}", f"{answer.state} {answer.digest}"


def _message_key(message: Message, domain: str) -> bytes:
    """Return the hash of what each signature that counts covers, in a form that no tolerated change alters.

    That is From, To and the body.

    Neither another choice among several signatures, nor another value of one, nor any unsigned field makes a new key.
    """
    digest = hashlib.sha256(f"{domain}\n".encode())
    for name in (b"from", b"to"):
        for field in message.all(name):
            digest.update(field.canonical("relaxed"))
    digest.update(message.body_sha256("relaxed"))
    return digest.digest()


class _UsedAnswers(Mapping[DnsQuestion, DnsAnswer]):
    """Answers, and which of them were looked at."""

    def __init__(self, answers: DnsAnswers) -> None:
        self._answers = answers
        self.used: dict[DnsQuestion, DnsAnswer] = {}

    def __getitem__(self, question: DnsQuestion) -> DnsAnswer:
        answer = self.used[question] = self._answers[question]
        return answer

    def __contains__(self, question: object) -> bool:
        return question in self._answers

    def __iter__(self) -> Iterator[DnsQuestion]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def troubled(self) -> Iterator[DnsQuestion]:
        """Return questions that were looked at and had no answer that anything can be decided on."""
        return (question for question, answer in self.used.items() if answer.is_temporary_failure)
