"""Proofs of claims: the address that proves one, and what is kept of the message that did (spec 01).

Names are in the one spelling of `domain_names`; instants and ids are arguments, nothing is drawn or looked up here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

TOKEN_BYTES: Final = 32
LOCAL_PART_PREFIX: Final = "claim-"

KEPT_FACTS: Final = frozenset({"domain", "spf", "dkim", "dmarc", "dns"})
"""Results and hashes of DNS answers. What says something of a header or the body goes into the HMAC alone."""
_PROOF: Final = b"apportion claim proof v1"
_MESSAGE: Final = b"apportion claim message v1"


def claim_address(token: bytes, mail_domain: str) -> str:
    """Return the address that a mail proves a claim by: the token in base32, lower case since some servers fold it."""
    text = base64.b32encode(token).decode("ascii").rstrip("=").lower()
    return f"{LOCAL_PART_PREFIX}{text}@{mail_domain}"


def token_of_address(address: str, mail_domain: str) -> bytes | None:
    """Return the token in an address of the form of `claim_address`, in any letter case; None for any other address."""
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
    """Return what is stored of a token: it has 256 random bits, so a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(token).digest()


def message_hash(key: bytes, message_key: bytes) -> bytes:
    """Return what tells one proof from another in the database, by which a message proves once."""
    return hmac.digest(key, _canonical(_MESSAGE, message_key), "sha256")


def proof_hmac(key: bytes, claim_id: UUID, domain: str, message_key: bytes, facts: Iterable[tuple[str, str]]) -> str:
    """Return the HMAC-SHA-256 over the facts in their order, bound to the claim, in hexadecimal digits.

    Headers can be guessed, so a plain hash would betray them; only who has the key tests a guess (spec 01 rule 3).
    """
    parts = [claim_id.bytes, domain.encode(), message_key]
    parts += [text.encode() for pair in facts for text in pair]
    return hmac.digest(key, _canonical(_PROOF, *parts), "sha256").hex()


def proof_document(
    hmac_hex: str, message: bytes, at: datetime, facts: Iterable[tuple[str, str]], kept: Mapping[str, object] | None
) -> dict[str, object]:
    """Return what is kept of a proof: HMAC, results and hashes of the DNS answers; no address, subject or body.

    `kept` is the document before this one: its delegations stay.
    """
    document: dict[str, object] = {
        "version": 1,
        "hmac": hmac_hex,
        "message": message.hex(),
        "at": at.isoformat(),
        "facts": [[name, value] for name, value in facts if name.partition(" ")[0] in KEPT_FACTS],
    }
    if kept and "delegations" in kept:
        document["delegations"] = kept["delegations"]
    return document


def _canonical(*parts: bytes) -> bytes:
    """Return the parts with their lengths before them, so that no two lists of parts have the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
