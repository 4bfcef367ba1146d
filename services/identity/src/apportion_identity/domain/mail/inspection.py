"""What a mail from a domain would be verified by: existing records, what they are worth to a claim, and advice.

It looks at the domain through the same eyes as the verifier: keys are read by `dkim`, SPF is evaluated by `spf`, the
DMARC record and the organizational domain come by the tree walk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from apportion_common.errors import ApportionError

from apportion_identity.domain.domain_names import PublicSuffixes, claimable, domain_special_use, is_special_use
from apportion_identity.domain.mail import dkim
from apportion_identity.domain.mail.spf import evaluate_spf
from apportion_identity.domain.mail.tree_walk import TreeWalk, parse_record, walk, walk_targets
from apportion_identity.domain.mail.types import DnsAnswer, DnsAnswers, DnsQuestion, DnsTrouble, Envelope, NeedsAnswers
from apportion_identity.limits import SPF_LOOK_UPS_MAX

RecordState = Literal["good", "absent", "weak", "broken"]

COMMON_SELECTORS: Final = (
    *("default", "selector1", "selector2", "google", "s1", "s2", "k1", "k2", "k3", "mail", "dkim", "smtp", "mx"),
    *("fm1", "fm2", "fm3", "protonmail", "protonmail2", "protonmail3", "zoho", "zmail", "sig1", "mandrill", "pm"),
    *("mxvault", "everlytickey1", "turbo-smtp", "hs1", "krs", "key1"),
)
"""Selectors of keys at the providers that many use; there is no way to list those of a domain."""

_A_STRANGER: Final = "192.0.2.1"
"""An address that nobody has (RFC 5737): SPF is evaluated as for a server that is not the domain's."""
_RSA_BITS_ADVISED: Final = 2_048
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


@dataclass(frozen=True, slots=True)
class RecordNote:
    """One record that counts: `kind` is mx, spf, dkim or dmarc; `advice` is empty where there is nothing to say."""

    name: str
    kind: str
    value: str
    state: RecordState
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `reason` and `explanation` say why no claim of the name can be made, where none can."""

    domain: str
    organizational_domain: str
    reason: str
    explanation: str
    records: tuple[RecordNote, ...]
    advice: tuple[str, ...]

    @property
    def is_claimable(self) -> bool:
        """Whether a claim of the name can be made at all."""
        return not self.reason


def inspect(
    domain: str, selector: str, suffixes: PublicSuffixes, shared_mail: Collection[str], answers: DnsAnswers
) -> Inspection:
    """Look at a canonical domain, and for keys at `selector`, or at the common ones when it is empty.

    Raises NeedsAnswers, with all that can be seen to be needed; DnsTrouble when the DNS fails for the domain's own
    records. A key that was only guessed at and could not be asked for counts as absent.
    """
    selectors = (selector.lower(),) if selector else COMMON_SELECTORS
    text, mail = DnsQuestion(domain, "TXT"), DnsQuestion(domain, "MX")
    keys = {one: DnsQuestion(f"{one}._domainkey.{domain}", "TXT") for one in selectors}
    policies = [DnsQuestion(f"_dmarc.{target}", "TXT") for target in walk_targets(domain)]
    missing = [question for question in (text, mail, *keys.values(), *policies) if question not in answers]
    if missing:
        raise NeedsAnswers(missing)
    for question in (text, mail, *(keys.values() if selector else ())):
        if answers[question].is_temporary_failure:
            raise DnsTrouble(question)
    found = walk(domain, answers)
    records = (
        _mail_servers(domain, answers[mail]),
        *_signing_keys(keys, answers, asked_for=bool(selector)),
        _sender_policy(domain, answers[text], answers),
        *_message_policies(found, answers),
    )
    reason, explanation = _rejection(domain, found, suffixes, shared_mail)
    is_known = not all(answers[question].state == "nxdomain" for question in (text, mail))
    advice = tuple(dict.fromkeys(_advice(domain, selector, explanation, records, is_known=is_known)))
    return Inspection(domain, found.organizational_domain, reason, explanation, records, advice)


def _rejection(domain: str, found: TreeWalk, suffixes: PublicSuffixes, shared_mail: Collection[str]) -> tuple[str, str]:
    """Return why no claim of the name can be made or proved: a reason and its sentence; empty when one can."""
    if is_special_use(domain):
        error: ApportionError = domain_special_use()
        return error.reason, error.message
    try:
        claimable(domain, suffixes, shared_mail)
    except ApportionError as rejection:
        return rejection.reason, rejection.message
    if found.says_public_suffix:
        return (
            "DOMAIN_SAYS_PUBLIC_SUFFIX",
            "The domain's DMARC record says that names below it belong to others (psd=y); nobody can prove it.",
        )
    return "", ""


def _mail_servers(domain: str, answer: DnsAnswer) -> RecordNote:
    servers = sorted(record for record in answer.records if isinstance(record, tuple))
    value = ", ".join(f"{preference} {host or '.'}" for preference, host in servers)
    if not servers:
        return RecordNote(
            domain, "mx", "", "absent", "There is no MX record: a claim needs none, but replies to you will not arrive."
        )
    return RecordNote(domain, "mx", value, "good")


def _sender_policy(domain: str, answer: DnsAnswer, answers: DnsAnswers) -> RecordNote:
    """Return the finding on the SPF record: is there one, can it be evaluated, does it say anything."""
    texts = [record for record in answer.records if isinstance(record, bytes)]
    policies = [text for text in texts if text.lower() == b"v=spf1" or text.lower().startswith(b"v=spf1 ")]
    value = " | ".join(_shown(text) for text in policies)
    if not policies:
        return RecordNote(
            domain, "spf", "", "absent", "There is no SPF record; a DKIM signature of the domain is enough for a claim."
        )
    if len(policies) > 1:
        return RecordNote(domain, "spf", value, "broken", "There are several SPF records; publish one (RFC 7208).")
    result = evaluate_spf(Envelope(_A_STRANGER, domain, f"postmaster@{domain}", "", True), answers)
    if result.result in ("permerror", "temperror"):
        return RecordNote(domain, "spf", value, "broken", f"The SPF record fails: {_shown(result.detail.encode())}.")
    if result.result == "pass":
        return RecordNote(
            domain, "spf", value, "weak", "The SPF record lets every server send for the domain: it proves no claim."
        )
    if result.look_ups >= SPF_LOOK_UPS_MAX:
        return RecordNote(
            domain, "spf", value, "weak", f"The SPF record takes all {SPF_LOOK_UPS_MAX} look-ups that it may."
        )
    return RecordNote(domain, "spf", value, "good")


def _signing_keys(keys: dict[str, DnsQuestion], answers: DnsAnswers, *, asked_for: bool) -> Iterator[RecordNote]:
    for selector, question in keys.items():
        answer = answers[question]
        values = [record for record in answer.records if isinstance(record, bytes)]
        # A wildcard record answers for every selector that is guessed: only what has a key's tag is told.
        if asked_for or any(b"p=" in value for value in values):
            yield _signing_key(selector, question, answer, " | ".join(map(_shown, values)))


def _signing_key(selector: str, question: DnsQuestion, answer: DnsAnswer, value: str) -> RecordNote:
    key = dkim.read_key(answer, b"rsa")
    if not isinstance(key, dkim.PublicKey) and key[1] == "DKIM_KEY_TYPE":
        key = dkim.read_key(answer, b"ed25519")
    if not isinstance(key, dkim.PublicKey):
        state: RecordState = "absent" if key[1] == "DKIM_KEY_ABSENT" else "broken"
        return RecordNote(question.name, "dkim", value, state, f"Selector {selector}: {dkim.REASONS[key[1]]}")
    if key.rsa is not None and key.rsa.key_size < _RSA_BITS_ADVISED:
        advice = f"Selector {selector}: the key has {key.rsa.key_size} bits, which counts; publish one of 2048."
        return RecordNote(question.name, "dkim", value, "weak", advice)
    return RecordNote(question.name, "dkim", value, "good")


def _message_policies(found: TreeWalk, answers: DnsAnswers) -> Iterator[RecordNote]:
    """Yield findings on the DMARC records along the walk; one finding for the domain itself in any case."""
    own = DnsQuestion(f"_dmarc.{found.domain}", "TXT")
    parsed = [record for value in answers[own].records if (record := parse_record(found.domain, value)) is not None]
    if len(parsed) > 1:
        value = " | ".join(_shown(record.text.encode()) for record in parsed)
        advice = "There are several DMARC records, so that none counts; publish one (RFC 9989)."
        yield RecordNote(own.name, "dmarc", value, "broken", advice)
    elif not parsed:
        advice = "There is no DMARC record of the name itself; a claim needs none, but the domain can be forged."
        yield RecordNote(own.name, "dmarc", "", "absent", advice)
    for record in found.records:
        state: RecordState = "good"
        advice = ""
        if record.domain == found.domain and record.psd == "y":
            state, advice = "broken", "The record says that names below the domain belong to others (psd=y)."
        elif record.policy is None:
            state, advice = "weak", "The DMARC record has no usable policy (p=none, quarantine or reject)."
        elif record.policy == "none":
            state, advice = "weak", "The DMARC policy is none: a claim allows it, but forged mail is delivered."
        yield RecordNote(f"_dmarc.{record.domain}", "dmarc", _shown(record.text.encode()), state, advice)


def _advice(
    domain: str, selector: str, explanation: str, records: tuple[RecordNote, ...], *, is_known: bool
) -> Iterator[str]:
    """Yield what to do for a claim, in order; what is only worth knowing is told with its record.

    Nothing but the explanation where no claim can be made; `is_known` says that the DNS has the name.
    """
    if explanation:
        yield explanation
        return
    usable = [record for record in records if record.kind == "dkim" and record.state in ("good", "weak")]
    if not is_known and not usable:
        yield f"The DNS knows no name {domain}: check its spelling, and that the domain is registered."
        return
    if not usable:
        where = f"under the selector {selector}" if selector else "under the selectors that are common"
        yield (
            f"No usable DKIM key was found {where}: ask who runs your mail for the selector and give it, or turn on "
            f"signing with d={domain}. SPF counts only for mail that your own server hands straight to our gateway."
        )
    yield (
        f"Write from an address of {domain} itself, not above or below it, straight to the claim's address and to "
        "nobody else; the signature has to cover From and To."
    )
    yield from (record.advice for record in records if record.state == "broken")


def _shown(value: bytes) -> str:
    """Return a record's text with what is not printable escaped."""
    return value.decode("ascii", "backslashreplace").translate(_CONTROL)
