"""Rules of domain claims: the address that proves one, who stands in whose way, and what a proof keeps (spec 01).

Names are in the one spelling of `domain_names`; instants and ids are given, nothing is drawn or asked here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apportion_identity.domain.claim_states import ClaimStatus

TOKEN_BYTES: Final = 32
LOCAL_PART_PREFIX: Final = "claim-"
SECOND_FACTORS: Final = frozenset({"mfa", "otp", "hwk", "sc"})
"""RFC 8176 values that say that something was shown beside a password: several factors, a one-time password, a key in
hardware, a smart card. A PIN or an answer to a question is knowledge again; a text message can be led elsewhere."""

KEPT_FACTS: Final = frozenset({"domain", "spf", "dkim", "dmarc", "dns"})
"""Verdicts and hashes of DNS answers. What says something of a header or the body goes into the HMAC alone."""
_PROOF: Final = b"apportion claim proof v1"
_MESSAGE: Final = b"apportion claim message v1"


@dataclass(frozen=True, slots=True)
class Delegation:
    """A name below a verified claim that its organisation gave to a subsidiary."""

    domain: str
    org_id: UUID
    delegated_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a claim decides whose way it stands in."""

    claim_id: UUID
    org_id: UUID
    domain: str
    status: ClaimStatus
    wildcard: bool
    delegations: tuple[Delegation, ...] = ()


def claim_address(token: bytes, mail_domain: str) -> str:
    """The address that a mail proves a claim by: the token in base32, in lower case, for some servers fold case."""
    text = base64.b32encode(token).decode("ascii").rstrip("=").lower()
    return f"{LOCAL_PART_PREFIX}{text}@{mail_domain}"


def token_of_address(address: str, mail_domain: str) -> bytes | None:
    """The token in an address of the form of `claim_address`, in any letter case; None for any other address."""
    local, at, domain = address.strip().lower().rpartition("@")
    if not at or domain.removesuffix(".") != mail_domain or not local.startswith(LOCAL_PART_PREFIX):
        return None
    try:
        token = base64.b32decode(local.removeprefix(LOCAL_PART_PREFIX).upper() + "====")
    except (binascii.Error, ValueError):
        return None
    # A token has one spelling: what decodes to it by other unused bits is not it.
    canonical = len(token) == TOKEN_BYTES and claim_address(token, mail_domain).partition("@")[0] == local
    return token if canonical else None


def token_hash(token: bytes) -> bytes:
    """What is stored of a token: it has 256 random bits, so a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(token).digest()


def is_below(domain: str, parent: str) -> bool:
    """Whether a name lies strictly below another."""
    return domain.endswith(f".{parent}")


def delegated_to(holder: Standing, domain: str, org_id: UUID) -> bool:
    """Whether the claim's organisation gave the name, or one above it, to that organisation."""
    return any(
        given.org_id == org_id and (given.domain == domain or is_below(domain, given.domain))
        for given in holder.delegations
    )


def covers(holder: Standing, domain: str, org_id: UUID) -> bool:
    """Whether a standing claim covers a name against another organisation that claims it."""
    if holder.domain == domain:
        return True
    return holder.wildcard and is_below(domain, holder.domain) and not delegated_to(holder, domain, org_id)


def stands_in_the_way(holder: Standing, newcomer: Standing) -> bool:
    """Whether one of two claims must give way: in either direction, a wildcard covering what lies below it."""
    if holder.org_id == newcomer.org_id or holder.status is ClaimStatus.REVOKED:
        return False
    return covers(holder, newcomer.domain, newcomer.org_id) or covers(newcomer, holder.domain, holder.org_id)


def has_second_factor(amr: Iterable[str]) -> bool:
    """Whether a token's `amr` says that a second factor was shown (RFC 8176)."""
    return not SECOND_FACTORS.isdisjoint(amr)


def message_hash(key: bytes, message_key: bytes) -> bytes:
    """What tells one proof from another in the database, by which a message proves once."""
    return hmac.digest(key, _canonical(_MESSAGE, message_key), "sha256")


def proof_hmac(key: bytes, claim_id: UUID, domain: str, message_key: bytes, facts: Iterable[tuple[str, str]]) -> str:
    """HMAC-SHA-256 over the facts in their order, bound to the claim, in hexadecimal digits.

    Headers can be guessed, so a plain hash would give them away; only who has the key tests a guess (spec 01 rule 3).
    """
    parts = [claim_id.bytes, domain.encode(), message_key]
    parts += [text.encode() for pair in facts for text in pair]
    return hmac.digest(key, _canonical(_PROOF, *parts), "sha256").hex()


def proof_document(
    hmac_hex: str, message: bytes, at: datetime, facts: Iterable[tuple[str, str]], kept: Mapping[str, object] | None
) -> dict[str, object]:
    """What is kept of a proof: the HMAC, the verdicts and the hashes of the DNS answers; no address, subject or body.

    `kept` is the document of before: its delegations stay.
    """
    document: dict[str, object] = {
        "version": 1,
        "hmac": hmac_hex,
        "message": message.hex(),
        "at": at.isoformat(),
        "events": [[name, value] for name, value in facts if name.partition(" ")[0] in KEPT_FACTS],
    }
    if kept and "delegations" in kept:
        document["delegations"] = kept["delegations"]
    return document


def delegations_of(proof: Mapping[str, object] | None) -> tuple[Delegation, ...]:
    """The delegations that a claim's proof lists."""
    listed = (proof or {}).get("delegations")
    if not isinstance(listed, list):
        return ()
    return tuple(
        Delegation(entry["domain"], UUID(entry["org_id"]), datetime.fromisoformat(entry["delegated_at"]))
        for entry in listed
    )


def with_delegations(proof: Mapping[str, object] | None, delegations: Iterable[Delegation]) -> dict[str, object]:
    """The proof with this list of delegations."""
    listed = [
        {"domain": given.domain, "org_id": str(given.org_id), "delegated_at": given.delegated_at.isoformat()}
        for given in delegations
    ]
    return {**(proof or {}), "delegations": listed}


def _canonical(*parts: bytes) -> bytes:
    """Parts with their lengths before them, so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
