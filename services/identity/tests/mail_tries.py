"""Messages as somebody would send them who wants to have a domain, right and wrong ones."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from apportion_identity.domain.mail.types import (
    DnsAnswer,
    DnsQuestion,
    Envelope,
    Verification,
)
from apportion_identity.limits import SIGNATURE_CLOCK_SLOP_S
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mail_maker import (
    DOMAIN,
    HEADERS,
    NOW_S,
    Signer,
    make_envelope,
    make_message,
    verified,
)

OURS = Signer()
EVIL = Signer("evil.com", "mail")
LATER_S = NOW_S + SIGNATURE_CLOCK_SLOP_S
DMARC = DnsQuestion(f"_dmarc.{DOMAIN}", "TXT")
SPF = DnsQuestion(DOMAIN, "TXT")
SERVFAIL = DnsAnswer("servfail")


@dataclass
class Try:
    """A message with its surroundings, as somebody would send it who wants to have `domain`."""

    raw: bytes
    dns: Mapping[DnsQuestion, DnsAnswer] = field(default_factory=OURS.dns)
    envelope: Envelope = field(default_factory=make_envelope)
    domain: str = DOMAIN

    def verified(self) -> Verification:
        return verified(self.raw, self.dns, envelope=self.envelope, domain=self.domain)


def signed(**parts: object) -> bytes:
    """A message of these parts, signed by our server."""
    return OURS.sign(make_message(**parts))  # type: ignore[arg-type]


def with_tags(**tags: str | None) -> bytes:
    return OURS.sign(make_message(), tags=tags)


def with_key(**tags: str | None) -> Try:
    return Try(signed(), OURS.dns(**tags))


def with_field(name: str, value: str) -> Try:
    """Our message with one more field, which is signed too."""
    return Try(OURS.sign(make_message(more=[(name, value)]), headers=(*HEADERS, name.lower())))


def short_key(bits: int) -> str:
    """A public key of so many bits; nobody has the private one, which does not matter to who checks the length."""
    key = RSAPublicNumbers(65537, (1 << bits) - 1).public_key()
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def from_address(local_part: str) -> Try:
    return Try(signed(author=f"{local_part}@{DOMAIN}"))


def with_part(content_type: str) -> Try:
    """A message of two parts, the second of which is of that type."""
    parts = "".join(f"--b\r\nContent-Type: {one}\r\n\r\nx\r\n" for one in ("text/plain", content_type))
    return Try(signed(more=[("Content-Type", "multipart/mixed; boundary=b")], body=f"{parts}--b--\r\n".encode()))


def encoded(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode()).decode()}?="
