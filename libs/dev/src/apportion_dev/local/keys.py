"""Keys for a local stack: a certificate authority, server certificates, and the key that signs tokens.

Private keys are files that only their owner can read. Nothing here reads a clock: the caller says what time it is.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from apportion_common.files import write_file
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
# A clock that is a little behind the one that signed must not refuse a fresh certificate.
CLOCK_SKEW = timedelta(minutes=5)

TOKEN_ALGORITHM = "EdDSA"  # noqa: S105 - a public name

_PRIVATE = 0o600
_PUBLIC = 0o644


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Where a server's certificate and its private key lie."""

    certificate_file: Path
    key_file: Path


def _private_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    """Return a host name or address as the certificate carries it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class LocalCa:
    """A certificate authority (ECDSA P-256) that vouches for servers of this machine alone."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Hold what `create_or_load` made or found."""
        self._folder = folder
        self._certificate = certificate
        self._key = key

    @property
    def certificate_file(self) -> Path:
        """The authority's certificate, for clients to trust."""
        return self._folder / "ca.pem"

    @classmethod
    def create_or_load(cls, folder: Path, now: datetime) -> LocalCa:
        """Load the authority kept in the folder, or make one when there is none or it ends soon."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
        if certificate_file.exists() and key_file.exists():
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            if (
                isinstance(loaded, ec.EllipticCurvePrivateKey)
                and certificate.public_key() == loaded.public_key()
                and certificate.not_valid_after_utc - RENEW_BEFORE > now
            ):
                return cls(folder, certificate, loaded)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Apportion local authority")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_file(key_file, _private_pem(key), _PRIVATE)
        write_file(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), _PUBLIC)
        return cls(folder, certificate, key)

    def issue_server_certificate(self, names: Sequence[str], now: datetime, label: str) -> ServerCertificate:
        """Issue a certificate for those host names and addresses, kept as `<label>.pem` and `<label>.key`.

        Raises ValueError without names.
        """
        if not names:
            raise ValueError("A server certificate needs at least one name.")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(min(now + CERTIFICATE_LIFE, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        issued = ServerCertificate(self._folder / f"{label}.pem", self._folder / f"{label}.key")
        write_file(issued.key_file, _private_pem(key), _PRIVATE)
        write_file(issued.certificate_file, certificate.public_bytes(serialization.Encoding.PEM), _PUBLIC)
        return issued


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass(frozen=True, slots=True)
class TokenSigningKey:
    """The Ed25519 key that signs tokens, with its key id (the RFC 7638 thumbprint)."""

    private_key: ed25519.Ed25519PrivateKey
    kid: str

    @classmethod
    def create_or_load(cls, file: Path) -> TokenSigningKey:
        """Load the key in the file, or make one when there is none; raises ValueError for another kind of key."""
        if file.exists():
            loaded = serialization.load_pem_private_key(file.read_bytes(), password=None)
            if not isinstance(loaded, ed25519.Ed25519PrivateKey):
                raise ValueError(f"{file} does not hold an Ed25519 key.")
            key = loaded
        else:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ed25519.Ed25519PrivateKey.generate()
            write_file(file, _private_pem(key), _PRIVATE)
        canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": _x(key)}, separators=(",", ":"))
        return cls(key, _base64url(hashlib.sha256(canonical.encode("ascii")).digest()))

    def jwk(self) -> dict[str, str]:
        """Return the public half as a JSON Web Key."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": _x(self.private_key),
            "kid": self.kid,
            "use": "sig",
            "alg": TOKEN_ALGORITHM,
        }


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _x(key: ed25519.Ed25519PrivateKey) -> str:
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return _base64url(public)


def write_jwks(file: Path, keys: Sequence[TokenSigningKey]) -> None:
    """Write the public halves as a JSON Web Key Set, whole or not at all."""
    document = json.dumps({"keys": [key.jwk() for key in keys]}, indent=2) + "\n"
    write_file(file, document.encode("ascii"), _PUBLIC)


def mint_token(
    signing_key: ed25519.Ed25519PrivateKey,
    kid: str,
    issuer: str,
    audience: str,
    sub: str,
    roles: Sequence[str],
    *,
    now: datetime,
    ttl_s: int,
    org_id: str | None = None,
    amr: Sequence[str] = (),
) -> str:
    """Sign a token (JWT, EdDSA) for a subject with roles, valid from `now` for `ttl_s` seconds.

    `org_id` binds it to one organisation and `amr` says how its holder signed in; both are left out when empty.
    Raises ValueError for a life that is not positive.
    """
    if ttl_s <= 0:
        raise ValueError("A token must live for at least one second.")
    issued_at_s = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience,
        "sub": sub,
        "iat": issued_at_s,
        "nbf": issued_at_s,
        "exp": issued_at_s + ttl_s,
        "jti": str(uuid.uuid4()),
        "roles": list(roles),
    }
    if org_id is not None:
        claims["org_id"] = org_id
    if amr:
        claims["amr"] = list(amr)
    return jwt.encode(claims, signing_key, algorithm=TOKEN_ALGORITHM, headers={"kid": kid})
