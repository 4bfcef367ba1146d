"""DKIM signatures (RFC 6376, RFC 8301, RFC 8463): what each says, whether it holds, and whether a claim may rest on it.

Tags, canonical forms and every rule are read here; libraries do the arithmetic of RSA and Ed25519 only. A signature
that cannot count is sorted out before a key is asked for or a number is raised to a power.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from apportion_identity.domain.mail.message import Canonicalization, Field, Message
from apportion_identity.domain.mail.types import DkimFinding, DnsAnswer, DnsQuestion
from apportion_identity.limits import (
    DOMAIN_CHARS_MAX,
    RSA_KEY_BITS_MAX,
    RSA_KEY_BITS_MIN,
    SIGNATURE_CLOCK_SLOP_S,
    SIGNED_NAMES_MAX,
)

REASONS: Final[dict[str, str]] = {
    "DKIM_TAGS_MALFORMED": "A DKIM signature of the domain is not written as RFC 6376 asks for.",
    "DKIM_TAG_MISSING": "A DKIM signature of the domain lacks a tag that it must have.",
    "DKIM_VERSION": "A DKIM signature of the domain has another version than 1.",
    "DKIM_RSA_SHA1": "The message is signed with rsa-sha1, which proves nothing any more (RFC 8301). Sign with "
    "rsa-sha256.",
    "DKIM_ALGORITHM": "The DKIM signature's algorithm is unknown. Sign with rsa-sha256 or ed25519-sha256.",
    "DKIM_CANONICALIZATION": "The DKIM signature's canonicalization is unknown; it is simple or relaxed.",
    "DKIM_QUERY_METHOD": "The DKIM signature's key is to be fetched in another way than by DNS.",
    "DKIM_DOMAIN_MALFORMED": "The DKIM signature's domain or selector is no host name.",
    "DKIM_IDENTITY_OUTSIDE": "The DKIM signature's identity (i=) lies outside of its domain (d=).",
    "DKIM_FROM_NOT_SIGNED": "The DKIM signature does not cover the From field. Have your mail server sign From.",
    "DKIM_TO_NOT_SIGNED": "The DKIM signature does not cover the To field, so that an old message could be sent here "
    "again. Have your mail server sign To.",
    "DKIM_SIGNED_HEADER_REPEATED": "A signed header field stands in the message more often than it was signed: "
    "something was added.",
    "DKIM_BODY_LENGTH": "The DKIM signature covers a part of the body only (l=). Have your mail server sign all of it.",
    "DKIM_EXPIRED": "The DKIM signature has expired. Send a new message.",
    "DKIM_FROM_FUTURE": "The DKIM signature was made in the future. Set your mail server's clock.",
    "DKIM_NOT_ALIGNED": "The message is signed by another domain than the one that is claimed. Have your mail server "
    "sign with the domain itself (d=).",
    "DKIM_KEY_ABSENT": "The DNS has no key for the DKIM signature's selector. Publish it, or wait until it is seen.",
    "DKIM_KEY_SEVERAL": "The DNS has several records for the DKIM signature's key; there may be one only.",
    "DKIM_KEY_MALFORMED": "The DKIM key in the DNS cannot be read. Publish it as your mail server gives it.",
    "DKIM_KEY_REVOKED": "The DKIM key in the DNS is revoked (p= is empty). Sign with one that stands there.",
    "DKIM_KEY_TYPE": "The DKIM key in the DNS is of another kind than the signature. Publish the key that signs.",
    "DKIM_KEY_HASH": "The DKIM key in the DNS is not for SHA-256 (h=). Take h= away.",
    "DKIM_KEY_SERVICE": "The DKIM key in the DNS is not for mail (s=). Take s= away.",
    "DKIM_KEY_TESTING": "The DKIM key in the DNS is in test mode (t=y), so that its signatures prove nothing. Take "
    "the flag away.",
    "DKIM_KEY_STRICT": "The DKIM key in the DNS is for its own domain alone (t=s), and the signature's identity (i=) "
    "is below it. Take the flag away, or sign without i=.",
    "DKIM_KEY_TOO_SHORT": "The DKIM key has less than 1024 bits. Publish one of 2048.",
    "DKIM_KEY_TOO_LONG": "The DKIM key has more than 4096 bits. Publish one of 2048.",
    "DKIM_KEY_UNAVAILABLE": "The DNS did not answer for the DKIM key. Send the message again later.",
    "DKIM_BODY_CHANGED": "The message's body is not the one that was signed: it was changed on its way. Send it "
    "directly, past whatever adds footers or scans mail.",
    "DKIM_SIGNATURE_WRONG": "The DKIM signature does not fit the message: a signed header field was changed on its "
    "way, or the key is another one. Send it directly; publish the key that signs.",
}

# Fields that servers on the way put before those of the same name; more of them than were signed is their nature.
_TRACE_FIELDS: Final = frozenset(
    {b"received", b"x-received", b"received-spf", b"return-path", b"delivered-to", b"authentication-results"}
    | {b"arc-seal", b"arc-message-signature", b"arc-authentication-results", b"dkim-signature"}
)
_TAG_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_TAG_VALUE: Final = re.compile(rb"[!-:<-~ \t]*")
_FIELD_NAME: Final = re.compile(rb"[!-9;-~]+")
_NUMBER: Final = re.compile(rb"[0-9]{1,12}")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
# Selectors are names in the DNS, not hosts: an underscore is seen in them.
_SELECTOR: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_REQUIRED: Final = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
_ALGORITHMS: Final = {b"rsa-sha256": b"rsa", b"ed25519-sha256": b"ed25519"}
_CANONICALIZATIONS: Final[dict[bytes, Canonicalization]] = {b"simple": "simple", b"relaxed": "relaxed"}
_SHA256_BYTES: Final = 32
_ED25519_KEY_BYTES: Final = 32

# What is wrong: a result in RFC 8601's words, and our reason.
_Problem: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM signature that is written as it must be; `unsigned_value` is its field's value without that of b=."""

    field: Field
    unsigned_value: bytes
    key_type: bytes
    header_canonicalization: Canonicalization
    body_canonicalization: Canonicalization
    domain: str
    selector: str
    identity_domain: str
    names: tuple[bytes, ...]
    body_hash: bytes
    value: bytes
    signed_at_s: int | None
    expires_at_s: int | None

    @property
    def key_question(self) -> DnsQuestion:
        """Where the key is."""
        return DnsQuestion(f"{self.selector}._domainkey.{self.domain}", "TXT")

    def finding(self, result: str, reason: str = "") -> DkimFinding:
        """Return a finding on this signature."""
        return DkimFinding(self.domain, self.selector, result, reason)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key record that may verify signatures of one kind."""

    kind: bytes
    rsa: RSAPublicKey | None
    ed25519: VerifyKey | None
    own_domain_only: bool


def read_signatures(message: Message) -> tuple[Signature | DkimFinding, ...]:
    """Return each signature of a message from top to bottom; a permerror finding where one breaks the RFCs."""
    return tuple(read_signature(field) for field in message.all(b"dkim-signature"))


def read_signature(field: Field) -> Signature | DkimFinding:
    """Read one DKIM-Signature field (RFC 6376, section 3.5)."""
    tags = _tags(field.raw_value)
    if tags is None:
        return DkimFinding("", "", "permerror", "DKIM_TAGS_MALFORMED")
    domain = _text(tags, b"d").lower()
    selector = _text(tags, b"s").lower()
    told = _told(domain, selector)
    problem = _problem_of_tags(tags)
    if problem is not None:
        return DkimFinding(*told, *problem)
    if not _HOST.fullmatch(domain) or not _SELECTOR.fullmatch(selector) or told == ("", ""):
        return DkimFinding(*told, "permerror", "DKIM_DOMAIN_MALFORMED")
    identity_domain = _text(tags, b"i").lower().rpartition("@")[2] if b"i" in tags else domain
    if identity_domain != domain and not identity_domain.endswith(f".{domain}"):
        return DkimFinding(*told, "permerror", "DKIM_IDENTITY_OUTSIDE")
    names = tuple(name.strip(b" \t").lower() for name in tags[b"h"].text.split(b":"))
    body_hash, value = _base64(tags[b"bh"].text), _base64(tags[b"b"].text)
    if body_hash is None or len(body_hash) != _SHA256_BYTES or not value:
        return DkimFinding(*told, "permerror", "DKIM_TAGS_MALFORMED")
    if len(names) > SIGNED_NAMES_MAX or not all(_FIELD_NAME.fullmatch(name) for name in names):
        return DkimFinding(*told, "permerror", "DKIM_TAGS_MALFORMED")
    if b"from" not in names:
        return DkimFinding(*told, "permerror", "DKIM_FROM_NOT_SIGNED")
    canonicalizations = _canonicalizations(tags)
    if canonicalizations is None:
        return DkimFinding(*told, "permerror", "DKIM_CANONICALIZATION")
    start, end = tags[b"b"].span
    return Signature(
        field=field,
        unsigned_value=field.raw_value[:start] + field.raw_value[end:],
        key_type=_ALGORITHMS[tags[b"a"].text],
        header_canonicalization=canonicalizations[0],
        body_canonicalization=canonicalizations[1],
        domain=domain,
        selector=selector,
        identity_domain=identity_domain,
        names=names,
        body_hash=body_hash,
        value=value,
        signed_at_s=int(tags[b"t"].text) if b"t" in tags else None,
        expires_at_s=int(tags[b"x"].text) if b"x" in tags else None,
    )


def problem_for_claim(signature: Signature, message: Message, domain: str, now_s: int) -> DkimFinding | None:
    """Return why a claim of `domain` may not rest on a signature, however well it holds; None when it may.

    These rules are stricter than the RFCs'. They need no key, so that nothing is asked for or computed in vain.
    """
    if signature.domain != domain:
        return signature.finding("policy", "DKIM_NOT_ALIGNED")
    if b"to" not in signature.names:
        return signature.finding("policy", "DKIM_TO_NOT_SIGNED")
    if _is_expired(signature, now_s):
        return signature.finding("policy", "DKIM_EXPIRED")
    if signature.signed_at_s is not None and signature.signed_at_s > now_s + SIGNATURE_CLOCK_SLOP_S:
        return signature.finding("policy", "DKIM_FROM_FUTURE")
    for name in set(signature.names) - _TRACE_FIELDS:
        if len(message.all(name)) > signature.names.count(name):
            return signature.finding("policy", "DKIM_SIGNED_HEADER_REPEATED")
    return None


def verify_signature(signature: Signature, message: Message, key: DnsAnswer, now_s: int) -> DkimFinding:
    """Return whether a signature holds by the RFCs: pass, fail, policy, permerror or temperror (RFC 8601, 2.7.1)."""
    if _is_expired(signature, now_s):
        return signature.finding("policy", "DKIM_EXPIRED")
    if key.is_temporary_failure:
        return signature.finding("temperror", "DKIM_KEY_UNAVAILABLE")
    found = read_key(key, signature.key_type)
    if not isinstance(found, PublicKey):
        return signature.finding(*found)
    if found.own_domain_only and signature.identity_domain != signature.domain:
        return signature.finding("permerror", "DKIM_KEY_STRICT")
    if message.body_sha256(signature.body_canonicalization) != signature.body_hash:
        return signature.finding("fail", "DKIM_BODY_CHANGED")
    if not _holds(found, header_sha256(signature, message), signature.value):
        return signature.finding("fail", "DKIM_SIGNATURE_WRONG")
    return signature.finding("pass")


def header_sha256(signature: Signature, message: Message) -> bytes:
    """Return the hash that the signature is made over (RFC 6376, section 3.7)."""
    canonicalization = signature.header_canonicalization
    digest = hashlib.sha256()
    taken: dict[bytes, int] = {}
    for name in signature.names:
        # Fields of a name are taken from the last upwards; one that is not there counts as empty (section 5.4.2).
        fields = message.all(name)
        nth = taken[name] = taken.get(name, 0) + 1
        if nth <= len(fields):
            digest.update(fields[-nth].canonical(canonicalization))
    own = Field(signature.field.name, signature.field.raw_name, signature.unsigned_value)
    digest.update(own.canonical(canonicalization).removesuffix(b"\r\n"))
    return digest.digest()


def read_key(answer: DnsAnswer, kind: bytes) -> PublicKey | _Problem:
    """Return the key of a record (RFC 6376, section 3.6.1) for signatures of a kind, or what is wrong with it."""
    if not answer.records:
        return "permerror", "DKIM_KEY_ABSENT"
    if len(answer.records) > 1:
        return "permerror", "DKIM_KEY_SEVERAL"
    (record,) = answer.records
    tags = _tags(record) if isinstance(record, bytes) else None
    if tags is None or b"p" not in tags or (b"v" in tags and next(iter(tags)) != b"v"):
        return "permerror", "DKIM_KEY_MALFORMED"
    if b"v" in tags and tags[b"v"].text != b"DKIM1":
        return "permerror", "DKIM_KEY_MALFORMED"
    if (tags[b"k"].text if b"k" in tags else b"rsa") != kind:
        return "permerror", "DKIM_KEY_TYPE"
    if b"h" in tags and b"sha256" not in _parts(tags[b"h"].text):
        return "permerror", "DKIM_KEY_HASH"
    if b"s" in tags and not {b"*", b"email"} & _parts(tags[b"s"].text):
        return "permerror", "DKIM_KEY_SERVICE"
    flags = _parts(tags[b"t"].text) if b"t" in tags else frozenset()
    if b"y" in flags:
        return "policy", "DKIM_KEY_TESTING"
    if not tags[b"p"].text:
        return "permerror", "DKIM_KEY_REVOKED"
    octets = _base64(tags[b"p"].text)
    if octets is None:
        return "permerror", "DKIM_KEY_MALFORMED"
    if kind == b"ed25519":
        if len(octets) != _ED25519_KEY_BYTES:
            return "permerror", "DKIM_KEY_MALFORMED"
        return PublicKey(kind, None, VerifyKey(octets), b"s" in flags)
    return _rsa_key(octets, own_domain_only=b"s" in flags)


def _is_expired(signature: Signature, now_s: int) -> bool:
    return signature.expires_at_s is not None and signature.expires_at_s < now_s - SIGNATURE_CLOCK_SLOP_S


def _rsa_key(octets: bytes, *, own_domain_only: bool) -> PublicKey | _Problem:
    """Return an RSA key, as SubjectPublicKeyInfo or, as RFC 6376 has it by mistake, as bare RSAPublicKey."""
    try:
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        return "permerror", "DKIM_KEY_MALFORMED"
    if not isinstance(key, RSAPublicKey):
        return "permerror", "DKIM_KEY_TYPE"
    if key.key_size < RSA_KEY_BITS_MIN:
        return "permerror", "DKIM_KEY_TOO_SHORT"
    if key.key_size > RSA_KEY_BITS_MAX:
        return "policy", "DKIM_KEY_TOO_LONG"
    return PublicKey(b"rsa", key, None, own_domain_only)


def _holds(key: PublicKey, digest: bytes, value: bytes) -> bool:
    try:
        if key.rsa is not None:
            key.rsa.verify(value, digest, PKCS1v15(), Prehashed(SHA256()))
        elif key.ed25519 is not None:
            # RFC 8463, section 3: what is signed is the hash.
            key.ed25519.verify(digest, value)
        else:
            return False
    except (InvalidSignature, BadSignatureError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag's value, unfolded and without white space around it, and where the whole of it stands."""

    text: bytes
    span: tuple[int, int]


def _tags(raw: bytes) -> dict[bytes, _Tag] | None:
    """Return a list of tags (RFC 6376, section 3.2) in its order; None when it is none. No tag may be there twice."""
    tags: dict[bytes, _Tag] = {}
    start = 0
    parts = raw.removesuffix(b"\r\n").split(b";")
    for number, part in enumerate(parts):
        name, equals, value = part.partition(b"=")
        if not equals:
            if number == len(parts) - 1 and number > 0 and not part.strip(b" \t\r\n"):
                break
            return None
        name = name.strip(b" \t\r\n")
        text = value.replace(b"\r\n", b"").strip(b" \t")
        if name in tags or not _TAG_NAME.fullmatch(name) or not _TAG_VALUE.fullmatch(text):
            return None
        value_start = start + len(part) - len(value)
        tags[name] = _Tag(text, (value_start, start + len(part)))
        start += len(part) + 1
    return tags


def _problem_of_tags(tags: Mapping[bytes, _Tag]) -> _Problem | None:
    """Check rules that the RFCs have for single tags, except for names and hashes."""
    if b"v" in tags and tags[b"v"].text != b"1":
        return "permerror", "DKIM_VERSION"
    if any(not tags[name].text for name in _REQUIRED if name in tags) or not all(name in tags for name in _REQUIRED):
        return "permerror", "DKIM_TAG_MISSING"
    algorithm = tags[b"a"].text
    if algorithm == b"rsa-sha1":
        return "permerror", "DKIM_RSA_SHA1"
    if algorithm not in _ALGORITHMS:
        return "permerror", "DKIM_ALGORITHM"
    if b"q" in tags and tags[b"q"].text != b"dns/txt":
        return "permerror", "DKIM_QUERY_METHOD"
    if b"l" in tags:
        return "policy", "DKIM_BODY_LENGTH"
    if b"i" in tags and b"@" not in tags[b"i"].text:
        return "permerror", "DKIM_IDENTITY_OUTSIDE"
    times = [tags[name].text for name in (b"t", b"x") if name in tags]
    if not all(_NUMBER.fullmatch(time) for time in times):
        return "permerror", "DKIM_TAGS_MALFORMED"
    # The expiry is later than the signing, where both are told (section 3.5).
    if len(times) > 1 and int(times[1]) <= int(times[0]):
        return "permerror", "DKIM_TAGS_MALFORMED"
    return None


def _canonicalizations(tags: Mapping[bytes, _Tag]) -> tuple[Canonicalization, Canonicalization] | None:
    header, slash, body = (tags[b"c"].text if b"c" in tags else b"simple").partition(b"/")
    body = body if slash else b"simple"
    if header not in _CANONICALIZATIONS or body not in _CANONICALIZATIONS:
        return None
    return _CANONICALIZATIONS[header], _CANONICALIZATIONS[body]


def _told(domain: str, selector: str) -> tuple[str, str]:
    """Return what of a signature's names may be in a finding: none that could not be names in the DNS."""
    if len(f"{selector}._domainkey.{domain}") > DOMAIN_CHARS_MAX:
        return "", ""
    if not (_HOST.fullmatch(domain) and _SELECTOR.fullmatch(selector)):
        return "", ""
    return domain, selector


def _text(tags: Mapping[bytes, _Tag], name: bytes) -> str:
    return tags[name].text.decode("ascii") if name in tags else ""


def _parts(text: bytes) -> frozenset[bytes]:
    return frozenset(part.strip(b" \t") for part in text.split(b":"))


def _base64(text: bytes) -> bytes | None:
    """Return the octets of base64 text with white space in it; None when another text would have the same octets."""
    compact = text.replace(b" ", b"").replace(b"\t", b"")
    try:
        octets = b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        return None
    return octets if b64encode(octets) == compact else None
