"""DMARC itself, as an oracle: whether an authenticated domain speaks for the From domain (RFC 9989, section 4.4).

A claim takes strict alignment only. What DMARC says beside that is not part of the service: published cases are checked
against it, over the service's own tree walk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apportion_identity.domain.domain_names import PublicSuffixes
from apportion_identity.domain.mail.tree_walk import TreeWalk, policy_for, walk
from apportion_identity.domain.mail.types import DnsAnswers


@dataclass(frozen=True, slots=True)
class DmarcVerdict:
    """`result` is pass, fail or none (no policy record); `policy` is empty without one."""

    result: str
    policy: str
    organizational_domain: str
    walk: TreeWalk


def strictly_aligned(author_domain: str, identifier: str) -> bool:
    """Whether the two normalised names are one. The empty name is aligned with nothing."""
    return bool(author_domain) and author_domain == identifier


def aligned_by_suffix(author_domain: str, identifier: str, suffixes: PublicSuffixes) -> bool:
    """Relaxed alignment by the public suffix list, as RFC 7489 had it: both lie under one registrable domain."""
    registrable = suffixes.registrable(author_domain)
    if registrable is None:
        return strictly_aligned(author_domain, identifier)
    return suffixes.registrable(identifier) == registrable


def relaxed_aligned(author: TreeWalk, identifier: str, answers: DnsAnswers) -> bool:
    """Whether both names have one organizational domain by the tree walk. Raises NeedsAnswers, DnsTrouble."""
    if strictly_aligned(author.domain, identifier):
        return True
    return walk(identifier, answers).organizational_domain == author.organizational_domain


def dmarc_verdict(
    author_domain: str, dkim_domains: Iterable[str], spf_domains: Iterable[str], answers: DnsAnswers
) -> DmarcVerdict:
    """DMARC's verdict on a From domain with what authenticated, all normalised. Raises NeedsAnswers, DnsTrouble.

    A fail means that no identifier is aligned; what is then to be done with the message says the policy, and a claim
    does not ask for it.
    """
    found = walk(author_domain, answers)
    policy = policy_for(found, answers)
    record = found.governing
    if record is None or not policy:
        return DmarcVerdict("none", "", found.organizational_domain, found)

    def aligned(identifier: str, strict: bool) -> bool:
        return strictly_aligned(author_domain, identifier) or (
            not strict and relaxed_aligned(found, identifier, answers)
        )

    by_dkim = any(aligned(domain, record.strict_dkim) for domain in dkim_domains)
    by_spf = any(aligned(domain, record.strict_spf) for domain in spf_domains)
    result = "pass" if by_dkim or by_spf else "fail"
    return DmarcVerdict(result, policy, found.organizational_domain, found)
