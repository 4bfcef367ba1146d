"""Makes mail for tests, really signed: messages, signers with their DNS records, and a DNS that holds them.

Canonical forms come from dkimpy and the arithmetic from `cryptography`, so that nothing of what is tested signs its own
work. A signer signs what it is told to, also what no verifier should take.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from apportion_identity.domain.mail.message import read_message
from apportion_identity.domain.mail.types import (
    DnsAnswer,
    DnsQuestion,
    DnsRecord,
    Envelope,
    Evidence,
    NeedsAnswers,
    Rejection,
    Verification,
)
from apportion_identity.domain.mail.verifier import verify
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from dkim.canonicalization import CanonicalizationPolicy

DOMAIN = "acme.com"
ADDRESS = "claim-aaaabbbbccccdddd@claims.apportion.dev"
NOW_S = 1_750_000_000
HEADERS = ("from", "to", "subject", "date", "message-id", "from")

# The shortest key that libraries still make is longer than some that were once published: 512 bits, made beforehand.
_RSA_512 = (
    "MIIBUwIBADANBgkqhkiG9w0BAQEFAASCAT0wggE5AgEAAkEAuvKRwyKkOS7TGC1ghKNuNSD2vhV/kdjIxIKsbCTnMEAarY2/nhFEEaopYf/1v6lP"
    "BaBgQMjHWdwQdC0d+xJjgwIDAQABAkBpAJnSaoCnBZ/XcpVFqq3Z9XvhZB3VA1gw19yUmV2pAUK4VodUu1OcfFGeAs+jTgdsobCujarxhwfFahBq"
    "cetxAiEA3I0V3Q7Dm4ZH09UZ8KPHjG6K4yhJC2dUJMvxeCM55WUCIQDY/tAnziQNqocGrrydUTLKWNF9tL1CIroKXZ/2bgyqxwIgH+O2eZQc7Gvq"
    "DtMNQSItRDznkBjPFvsFy5xBeeF+CZECIDQm8dJPSfz62h7yCiTpKgLV2+uRb9cgT4REQjjQ9DxrAiAgmxTlruwj0mvtn/d6lVS3iQt+cWtd8c1b"
    "YO51ra2+KA=="
)


def make_message(
    *,
    author: str | bytes = f"Ann Owner <ann@{DOMAIN}>",
    to: str | bytes | None = ADDRESS,
    subject: str | None = "We claim our domain",
    date: str | None = "Sun, 15 Jun 2025 12:00:00 +0000",
    message_id: str | None = "<first@acme.com>",
    more: Sequence[tuple[str, str]] = (),
    body: bytes = b"Hello,\r\nthis is us.\r\n",
) -> bytes:
    """A message as an ordinary mail program writes it; None leaves a field out, `more` adds fields at the end."""
    fields: list[tuple[str, str | bytes | None]] = [
        ("From", author),
        ("To", to),
        ("Subject", subject),
        ("Date", date),
        ("Message-ID", message_id),
        *more,
    ]
    lines = [name.encode() + b": " + _octets(value) + b"\r\n" for name, value in fields if value is not None]
    return b"".join(lines) + b"\r\n" + body


def make_envelope(
    *,
    mail_from: str = f"ann@{DOMAIN}",
    rcpt_to: str = ADDRESS,
    client_ip: str = "192.0.2.1",
    helo: str = f"mx.{DOMAIN}",
    trusted_relay: bool = False,
) -> Envelope:
    """The envelope of such a message, from a caller whose word on addresses does not count unless it is said."""
    return Envelope(client_ip, helo, mail_from, rcpt_to, trusted_relay)


@dataclass
class Signer:
    """A mail server that signs: `algorithm` is that of a=, `bits` the length of an RSA key.

    Signers of one kind share their key, for making one takes time; `serial` tells keys apart where that matters.
    """

    domain: str = DOMAIN
    selector: str = "mail"
    algorithm: str = "rsa-sha256"
    bits: int = 2048
    serial: int = 0

    @property
    def question(self) -> DnsQuestion:
        """Where the key is published."""
        return DnsQuestion(f"{self.selector}._domainkey.{self.domain}".lower(), "TXT")

    @property
    def public_key(self) -> str:
        """The key as p= has it."""
        key = _private_key(self.algorithm.partition("-")[0], self.bits, self.serial)
        if isinstance(key, Ed25519PrivateKey):
            octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return b64encode(octets).decode()

    def record(self, **tags: str | None) -> bytes:
        """The key record; `tags` add to it, replace what is there, or with None take it out."""
        values: dict[str, str | None] = {"v": "DKIM1", "k": self.algorithm.partition("-")[0], **tags}
        values.setdefault("p", self.public_key)
        return "; ".join(f"{name}={value}" for name, value in values.items() if value is not None).encode()

    def dns(self, **tags: str | None) -> dict[DnsQuestion, DnsAnswer]:
        """The key record as the DNS answers it."""
        return {self.question: found(self.record(**tags))}

    def sign(
        self,
        message: bytes,
        canonicalization: str = "relaxed/relaxed",
        headers: Sequence[str] = HEADERS,
        *,
        signed_at_s: int | None = NOW_S,
        expires_at_s: int | None = None,
        tags: Mapping[str, str | None] | None = None,
        body_length: int | None = None,
    ) -> bytes:
        """The message with a DKIM-Signature before it; `tags` add, replace or (None) take out tags, all signed."""
        policy = CanonicalizationPolicy.from_c_value(canonicalization.encode())
        head, _, body = message.partition(b"\r\n\r\n")
        hasher = hashlib.sha1 if self.algorithm == "rsa-sha1" else hashlib.sha256
        canonical = policy.canonicalize_body(body)
        hashed = hasher(canonical[:body_length]).digest()
        values: dict[str, str | None] = {
            "v": "1",
            "a": self.algorithm,
            "c": canonicalization,
            "d": self.domain,
            "s": self.selector,
            "t": None if signed_at_s is None else str(signed_at_s),
            "x": None if expires_at_s is None else str(expires_at_s),
            "h": ":".join(headers),
            "l": None if body_length is None else str(body_length),
            "bh": b64encode(hashed).decode(),
            **(tags or {}),
        }
        text = "; ".join(f"{name}={value}" for name, value in values.items() if value is not None)
        unsigned = (b"DKIM-Signature", f" {text};\r\n\tb=".encode() + b"\r\n")
        fields = _fields(head + b"\r\n")
        chosen: list[tuple[bytes, bytes]] = []
        for name in headers:
            places = [place for place, one in enumerate(fields) if one[0].lower() == name.lower().encode()]
            if places:
                chosen.append(fields.pop(places[-1]))
        lines = policy.canonicalize_headers([*chosen, unsigned])
        data = b"".join(name + b":" + value for name, value in lines).removesuffix(b"\r\n")
        value = self._signature(data)
        return unsigned[0] + b":" + unsigned[1].removesuffix(b"\r\n") + b64encode(value) + b"\r\n" + message

    def _signature(self, data: bytes) -> bytes:
        key = _private_key(self.algorithm.partition("-")[0], self.bits, self.serial)
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(hashlib.sha256(data).digest())
        return key.sign(data, PKCS1v15(), SHA1() if self.algorithm == "rsa-sha1" else SHA256())


@dataclass
class FakeDns:
    """A DNS that knows what it is given and answers NXDOMAIN to the rest; it counts what it is asked."""

    records: dict[DnsQuestion, DnsAnswer] = field(default_factory=dict)
    asked: list[DnsQuestion] = field(default_factory=list)

    async def ask(self, questions: Iterable[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
        """Answers to the questions."""
        return self.answer(questions)

    def answer(self, questions: Iterable[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
        """As `ask`, without waiting."""
        wanted = list(questions)
        self.asked.extend(wanted)
        return {question: self.records.get(question, DnsAnswer("nxdomain")) for question in wanted}


class FewSuffixes:
    """The public suffix list as far as tests need it."""

    LISTED = frozenset({"com", "net", "org", "dev", "de", "jp", "uk", "co.uk", "io", "github.io"})

    def is_public_suffix(self, domain: str) -> bool:
        """Whether the list has the name; a name without a full stop is one in any case."""
        return domain in self.LISTED or "." not in domain

    def registrable(self, domain: str) -> str | None:
        """One label more than the longest suffix."""
        labels = domain.split(".")
        for start in range(len(labels)):
            if self.is_public_suffix(".".join(labels[start:])):
                return ".".join(labels[start - 1 :]) if start else None
        return None


def verified(
    raw: bytes,
    records: Mapping[DnsQuestion, DnsAnswer] | None = None,
    *,
    envelope: Envelope | None = None,
    domain: str = DOMAIN,
    address: str = ADDRESS,
    now_s: int = NOW_S,
    rounds_max: int = 20,
) -> Verification:
    """Verify a message with a DNS that has these records; one that cannot be read is rejected for that."""
    message = read_message(raw)
    if isinstance(message, Rejection):
        return Verification(message, Evidence())
    dns = FakeDns(dict(records or {}))
    answers: dict[DnsQuestion, DnsAnswer] = {}
    for _ in range(rounds_max):
        try:
            return verify(
                message,
                envelope or make_envelope(),
                domain=domain,
                address=address,
                now_s=now_s,
                answers=answers,
                suffixes=FewSuffixes(),
            )
        except NeedsAnswers as needs:
            answers.update(dns.answer(needs.questions - answers.keys()))
    raise AssertionError("verifying goes on asking")


def reason_of(verification: Verification) -> str:
    """The reason of a rejection; VERIFIED when there is none."""
    return verification.rejection.reason if verification.rejection else "VERIFIED"


def found(*records: DnsRecord) -> DnsAnswer:
    """An answer with these records."""
    octets = b"\n".join(record if isinstance(record, bytes) else repr(record).encode() for record in records)
    return DnsAnswer("found", tuple(records), hashlib.sha256(octets).hexdigest())


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n")[:-1]:
        if line[:1] in (b" ", b"\t"):
            name, value = fields[-1]
            fields[-1] = (name, value + line + b"\r\n")
        else:
            name, _, value = line.partition(b":")
            fields.append((name, value + b"\r\n"))
    return fields


@lru_cache(maxsize=32)
def _private_key(kind: str, bits: int, serial: int) -> RSAPrivateKey | Ed25519PrivateKey:
    if kind == "ed25519":
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"key {serial}".encode()).digest())
    if bits == 512:
        key = load_der_private_key(b64decode(_RSA_512), None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, RSAPrivateKey)
        return key
    return generate_private_key(65537, bits)


def private_pem(signer: Signer) -> bytes:
    """An RSA signer's private key as dkimpy takes it."""
    key = _private_key("rsa", signer.bits, signer.serial)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
