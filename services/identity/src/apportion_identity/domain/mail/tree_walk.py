"""RFC 9989: the DMARC record that governs a domain, and its organizational domain, by the DNS tree walk (section 4.10).

The walk is evidence for a claim; what decides is strict alignment, the public suffix list and the name's own `psd=y`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from apportion_identity.domain.mail.types import DnsAnswers, DnsQuestion, DnsTrouble, NeedsAnswers
from apportion_identity.limits import TREE_WALK_QUERIES_MAX

_VERSION: Final = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_TAG: Final = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(.*?)[ \t]*")
_POLICIES: Final = frozenset({"none", "quarantine", "reject"})


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """One DMARC policy record: where it was found and its tags; what is missing or malformed has its default."""

    domain: str
    text: str
    policy: str | None
    """`p`: none, quarantine or reject; None when it is absent or not one of them."""
    subdomain_policy: str | None
    absent_policy: str | None
    """`np`: for names that do not exist."""
    strict_dkim: bool
    strict_spf: bool
    psd: str
    """y, n or u."""
    has_reports: bool
    """Whether `rua` is there: without a usable `p` it makes the difference between p=none and no policy (4.7)."""


@dataclass(frozen=True, slots=True)
class TreeWalk:
    """What a walk from `domain` found, nearest record first."""

    domain: str
    organizational_domain: str
    records: tuple[DmarcRecord, ...] = ()
    asked: tuple[str, ...] = field(default=())

    @property
    def own(self) -> DmarcRecord | None:
        """The record of the domain itself."""
        return next((record for record in self.records if record.domain == self.domain), None)

    @property
    def says_public_suffix(self) -> bool:
        """Whether the domain's own record says that names below it belong to others (`psd=y`)."""
        return self.own is not None and self.own.psd == "y"

    @property
    def governing(self) -> DmarcRecord | None:
        """The record whose policy applies (4.10.1): the own, else the organizational domain's, else the suffix's."""
        by_domain = {record.domain: record for record in self.records}
        suffix = next((record for record in self.records if record.psd == "y"), None)
        return self.own or by_domain.get(self.organizational_domain) or suffix


def walk(domain: str, answers: DnsAnswers) -> TreeWalk:
    """Walk from a normalised domain towards the root. Raises NeedsAnswers (all names at once) and DnsTrouble."""
    targets = walk_targets(domain)
    questions = {target: DnsQuestion(f"_dmarc.{target}", "TXT") for target in targets}
    missing = [question for question in questions.values() if question not in answers]
    if missing:
        raise NeedsAnswers(missing)
    found: list[DmarcRecord] = []
    asked: list[str] = []
    for target, question in questions.items():
        asked.append(question.name)
        answer = answers[question]
        if answer.is_temporary_failure:
            raise DnsTrouble(question)
        records = [record for value in answer.records if (record := parse_record(target, value)) is not None]
        # Several records of one name are discarded, all of them (4.10, step 2).
        if len(records) == 1:
            found.append(records[0])
            if records[0].psd in ("y", "n"):
                break
    return TreeWalk(domain, _organizational(domain, found), tuple(found), tuple(asked))


def walk_targets(domain: str) -> list[str]:
    """Return the names that the walk looks up: the domain, then its last seven labels and fewer; 8 at most (4.10)."""
    labels = domain.split(".")
    targets = [domain]
    rest = labels[1:] if len(labels) < TREE_WALK_QUERIES_MAX else labels[-(TREE_WALK_QUERIES_MAX - 1) :]
    while rest:
        targets.append(".".join(rest))
        rest = rest[1:]
    return targets


def policy_for(found: TreeWalk, answers: DnsAnswers) -> str:
    """Return the policy that applies to the domain: none, quarantine or reject; empty when there is none (4.7, 4.10.1).

    Raises NeedsAnswers or DnsTrouble where it depends on whether the domain exists.
    """
    record = found.governing
    if record is None or (record.policy is None and not record.has_reports):
        return ""
    policy = record.policy or "none"
    if record.domain == found.domain:
        return policy
    below = record.subdomain_policy or policy
    absent = record.absent_policy or below
    if absent == below:
        return below
    return below if _exists(found.domain, answers) else absent


def parse_record(domain: str, value: object) -> DmarcRecord | None:
    """Return a TXT record as DMARC record; None for any other. The version is case-sensitive and comes first (4.7)."""
    if not isinstance(value, bytes):
        return None
    text = value.decode("ascii", "replace").strip(" \t")
    if not _VERSION.match(text):
        return None
    tags: dict[str, str] = {}
    for part in text.split(";")[1:]:
        if tag := _TAG.fullmatch(part):
            tags.setdefault(tag[1].lower(), tag[2])
    psd = tags.get("psd", "u").lower()
    return DmarcRecord(
        domain=domain,
        text=text,
        policy=_policy(tags, "p"),
        subdomain_policy=_policy(tags, "sp"),
        absent_policy=_policy(tags, "np"),
        strict_dkim=tags.get("adkim", "r").lower() == "s",
        strict_spf=tags.get("aspf", "r").lower() == "s",
        psd=psd if psd in ("y", "n") else "u",
        has_reports=bool(tags.get("rua")),
    )


def _policy(tags: dict[str, str], name: str) -> str | None:
    value = tags.get(name, "").lower()
    return value if value in _POLICIES else None


def _organizational(domain: str, records: list[DmarcRecord]) -> str:
    """Return the organizational domain (section 4.10.2).

    It is that of psd=n itself, the name right below psd=y (not the start's own), else the shortest of all.
    """
    for record in records:
        if record.psd == "n":
            return record.domain
        if record.psd == "y" and record.domain != domain:
            depth = record.domain.count(".") + 2
            return ".".join(domain.split(".")[-depth:])
    return records[-1].domain if records else domain


def _exists(domain: str, answers: DnsAnswers) -> bool:
    """Return whether the name has an address or a mail server (RFC 9989, section 3.2.13)."""
    questions = [DnsQuestion(domain, rdtype) for rdtype in ("A", "AAAA", "MX")]
    missing = [question for question in questions if question not in answers]
    if missing:
        raise NeedsAnswers(missing)
    if any(answers[question].state == "found" for question in questions):
        return True
    for question in questions:
        if answers[question].is_temporary_failure:
            raise DnsTrouble(question)
    return False
